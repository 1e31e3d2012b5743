from importlib.util import find_spec

import pytest
from detectron2.modeling import build_model

from kfashion_d2.modeling import config_checks
from kfashion_d2.modeling.config_checks import check_attribute_branch, check_compiled_operators
from kfashion_d2.modeling.num_classes import check_num_classes

HEADS = "AttributeCascadeROIHeads, AttributeRes5ROIHeads, AttributeStandardROIHeads"


@pytest.mark.parametrize("name", ["RetinaNet", "ProposalNetwork", "SemanticSegmentor", "PanopticFPN", "nonsense"])
def test_architectures_that_cannot_carry_the_branch(tiny_cfg, name):
    tiny_cfg.MODEL.META_ARCHITECTURE = name
    with pytest.raises(
        ValueError, match=rf"is '{name}'.* set it to AttributeRCNN or GeneralizedRCNN, .*one of {HEADS}$"
    ):
        check_attribute_branch(tiny_cfg)


def test_heads_without_the_branch(tiny_cfg):
    check_attribute_branch(tiny_cfg)
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    with pytest.raises(ValueError, match=rf"ROI_HEADS\.NAME is 'StandardROIHeads', .*set it to one of {HEADS}$"):
        check_attribute_branch(tiny_cfg)


@pytest.mark.parametrize(
    "opts",
    [
        ["MODEL.LOAD_PROPOSALS", True],
        ["MODEL.PROPOSAL_GENERATOR.NAME", "PrecomputedProposals"],
        ["MODEL.KEYPOINT_ON", True],
    ],
)
def test_what_the_data_cannot_train(tiny_cfg, opts):
    tiny_cfg.merge_from_list(opts)
    with pytest.raises(ValueError, match=f"{opts[0]}.* set (it|them) to False"):
        check_attribute_branch(tiny_cfg)


def test_the_number_of_classes_is_checked_wherever_a_model_is_built(tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 80, but the data has 4 classes .*CLASSES: part"):
        build_model(tiny_cfg)
    tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES = -1
    tiny_cfg.freeze()
    assert build_model(tiny_cfg).roi_heads.num_classes == 4
    assert tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES == -1
    tiny_cfg.defrost()
    check_num_classes(tiny_cfg)
    assert tiny_cfg.MODEL.ROI_HEADS.NUM_CLASSES == 4


@pytest.mark.parametrize("compiled", [False, True])
def test_deformable_convolutions_need_compiled_operators(tiny_cfg, monkeypatch, compiled):
    monkeypatch.setattr(config_checks, "find_spec", lambda name: find_spec("json") if compiled else None)
    check_compiled_operators(tiny_cfg)
    tiny_cfg.MODEL.RESNETS.DEFORM_ON_PER_STAGE = [False, True, True, True]
    if compiled:
        check_compiled_operators(tiny_cfg)
    else:
        with pytest.raises(ValueError, match=r"DEFORM_ON_PER_STAGE is .*install_detectron2\.py --from-source"):
            check_compiled_operators(tiny_cfg)
