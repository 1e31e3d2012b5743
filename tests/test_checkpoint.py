import numpy as np
import pytest
import torch
from torch import nn

from kfashion_d2.checkpoint import KFashionCheckpointer, to_plain
from kfashion_d2.schema import kfashion_schema


class Model(nn.Module):
    def __init__(self, schema):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.roi_heads = nn.Module()
        self.roi_heads.attribute_schema = schema


def test_another_schema_is_refused_with_both_hashes(tmp_path):
    schema = kfashion_schema()
    KFashionCheckpointer(Model(schema), str(tmp_path)).save("model")
    file = str(tmp_path / "model.pth")
    model = Model(schema)
    KFashionCheckpointer(model).load(file)
    other = schema.subset(["color"])
    with pytest.raises(ValueError, match=f"{schema.hash}.*sub_color.*{other.hash}") as error:
        KFashionCheckpointer(Model(other)).load(file)
    assert "model.pth" in str(error.value)
    assert "ROI_ATTRIBUTE_HEAD.GROUPS" in str(error.value)


def test_weights_without_a_schema_load(tmp_path):
    source, target = Model(kfashion_schema()), Model(kfashion_schema())
    torch.save({"model": source.state_dict()}, tmp_path / "zoo.pth")
    KFashionCheckpointer(target).load(str(tmp_path / "zoo.pth"))
    assert torch.equal(source.layer.weight, target.layer.weight)


def test_numpy_scalars_become_python_numbers(tmp_path):
    plain = to_plain({"a": np.float64(0.5), "b": [np.int64(3), (np.bool_(True),)], "c": torch.ones(2)})
    assert type(plain["a"]) is float and type(plain["b"][0]) is int and type(plain["b"][1][0]) is bool
    KFashionCheckpointer(Model(kfashion_schema()), str(tmp_path)).save("model", best=np.float64(1.5))
    assert torch.load(tmp_path / "model.pth", weights_only=True)["best"] == 1.5
