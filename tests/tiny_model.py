"""The configuration of the tiny model for prediction, and an image of noise."""

import numpy as np

from kfashion_d2.config import get_config_file, get_kfashion_cfg

CONFIG = get_config_file("quick/attribute_rcnn_tiny.yaml")
IMAGE = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)


def tiny_cfg(*opts):
    """Give a configuration of the tiny model that keeps three detections, whatever their scores."""
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(CONFIG)
    # A model that never trained is sure of nothing.
    cfg.merge_from_list(["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0, "TEST.DETECTIONS_PER_IMAGE", 3])
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = 20
    cfg.merge_from_list(list(opts))
    return cfg
