import numpy as np
import pytest
import torch
from torch import nn

from kfashion_d2.checkpoint import KFashionCheckpointer, add_calibration, to_plain
from kfashion_d2.evaluation import Calibration
from kfashion_d2.schema import kfashion_schema


class Model(nn.Module):
    def __init__(self, schema):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.roi_heads = nn.Module()
        self.roi_heads.attribute_schema = schema
        self.roi_heads.attribute_head = nn.Module()


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


def test_layers_that_would_stay_random_are_refused_unless_they_train_on(tmp_path):
    """As of 21 classes where the config has 25: the schema is the same."""
    schema = kfashion_schema()
    KFashionCheckpointer(Model(schema), str(tmp_path)).save("model")
    model = Model(schema)
    model.layer = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"model\.pth.*layer\.weight \(2, 2\) and \(3, 2\).*KFASHION\.CLASSES"):
        KFashionCheckpointer(model).load(str(tmp_path / "model.pth"))
    # A training may start from them.
    KFashionCheckpointer(model, trainer=nn.Linear(1, 1)).load(str(tmp_path / "model.pth"), checkpointables=[])


def test_layers_that_the_checkpoint_lacks_are_refused_unless_they_train_on(tmp_path):
    """A head more than the checkpoint has, whether it is ours or the model zoo's."""
    schema = kfashion_schema()
    source = Model(schema)
    KFashionCheckpointer(source, str(tmp_path)).save("ours")
    torch.save({"model": source.state_dict()}, tmp_path / "zoo.pth")
    model = Model(schema)
    model.style_head = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    model.style_head.register_buffer("counts", torch.zeros(3))  # which only training reads
    for name in ("ours.pth", "zoo.pth"):
        with pytest.raises(
            ValueError, match=rf"{name} has no weights for style_head\.0, style_head\.1, which would stay"
        ):
            KFashionCheckpointer(model).load(str(tmp_path / name))
        KFashionCheckpointer(model, trainer=nn.Linear(1, 1)).load(str(tmp_path / name), checkpointables=[])
    model.style_head = nn.Module()
    model.style_head.register_buffer("counts", torch.zeros(3))
    KFashionCheckpointer(model).load(str(tmp_path / "ours.pth"))


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


def test_a_calibration_goes_in_and_comes_out_and_nothing_else_changes(tmp_path):
    schema = kfashion_schema().subset(["fit", "material"])
    model = Model(schema)
    KFashionCheckpointer(model, str(tmp_path)).save("model", iteration=7, optimizer={"lr": 0.1})
    file = tmp_path / "model.pth"
    before = torch.load(file, weights_only=True)
    tuned = Calibration(schema, {"fit": np.float64(2.0), "material": 0.5}, {"fit": 0.4, "material": 0.3})
    assert add_calibration(file, tuned) == file
    after = torch.load(file, weights_only=True)  # plain values alone
    assert after.pop("kfashion_calibration") == tuned.to_dict()
    assert str(after) == str(before)
    assert [path.name for path in tmp_path.glob("*.pth")] == ["model.pth"] and not list(tmp_path.glob(".*"))

    checkpointer = KFashionCheckpointer(model, str(tmp_path))
    rest = checkpointer.load(str(file))
    assert rest == {"iteration": 7, "optimizer": {"lr": 0.1}}
    assert model.roi_heads.attribute_head.calibration.to_dict() == tuned.to_dict()
    checkpointer.save("again")
    assert torch.load(tmp_path / "again.pth", weights_only=True)["kfashion_calibration"] == tuned.to_dict()
    # Weights without a calibration end it.
    torch.save({"model": Model(schema).state_dict()}, tmp_path / "zoo.pth")
    checkpointer.load(str(tmp_path / "zoo.pth"))
    assert model.roi_heads.attribute_head.calibration is None


def test_a_calibration_needs_its_own_checkpoint(tmp_path):
    schema = kfashion_schema().subset(["fit"])
    tuned = Calibration.default(schema)
    KFashionCheckpointer(Model(kfashion_schema()), str(tmp_path)).save("model")
    with pytest.raises(ValueError, match=f"{kfashion_schema().hash}, the calibration with {schema.hash}"):
        add_calibration(tmp_path / "model.pth", tuned)
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: no such file"):
        add_calibration(tmp_path / "gone.pth", tuned)
    torch.save({"model": {}}, tmp_path / "zoo.pth")
    with pytest.raises(ValueError, match=r"zoo\.pth holds no 'kfashion_schema'"):
        add_calibration(tmp_path / "zoo.pth", tuned)
