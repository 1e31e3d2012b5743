"""Every key that this package adds to Detectron2's config, with its default."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

from .schema import AttributeSchema

__all__ = ["add_kfashion_config", "check_num_classes", "get_config_file", "get_kfashion_cfg", "use_available_device"]

logger = logging.getLogger(__name__)


def add_kfashion_config(cfg: CN) -> None:
    """
    Add the keys of kfashion_d2 to a config, and its models to Detectron2's registries. Call it before
    ``cfg.merge_from_file``; a second call resets the keys.
    """
    from . import modeling  # noqa: F401  # registers

    # ---------------------------------------------------------------- the data
    cfg.DATASETS.KFASHION = CN()
    # Folder that tools/convert_kfashion.py wrote. Its splits register as kfashion_train, kfashion_val, ...
    # Empty: $DETECTRON2_DATASETS/kfashion, if it is there.
    cfg.DATASETS.KFASHION.ROOT = ""
    # Where the images are, if they moved since conversion. Empty: where they were.
    cfg.DATASETS.KFASHION.IMAGE_ROOT = ""
    # What the detector's classes are:
    #   category           the 21 categories; garments of unknown category are ignored
    #   part               top, bottom, outer, dress; the category becomes one more attribute group
    #   category_or_part   the categories, and "other top", "other bottom", ... for the unknown ones
    cfg.DATASETS.KFASHION.CLASSES = "category"
    # A schema file of your own. Empty: K-Fashion's.
    cfg.DATASETS.KFASHION.SCHEMA = ""

    # ---------------------------------------------------------------- the attribute branch
    cfg.MODEL.ROI_ATTRIBUTE_HEAD = CN()
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME = "AttributeHead"
    # Names of the groups to train, in any order. Empty: all of the schema ("category" among them in part mode).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS = []
    # What the branch reads:
    #   own   its own pooler, on FPN levels or the C4 map (the four keys below)
    #   box   the features that the box predictor reads (of Cascade's last stage; the mean of res5 in a C4 model),
    #         pooled again on the final boxes in test
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.FEATURES = "own"
    # Feature maps that the branch pools from. Empty: those of ROI_HEADS.IN_FEATURES.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.IN_FEATURES = []
    # Side of the pooled square, in cells.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_SAMPLING_RATIO = 0
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_TYPE = "ROIAlignV2"
    # 3x3 convolutions, then fully connected layers, before the last linear layer; both may be 0.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NUM_CONV = 0
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CONV_DIM = 256
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.FC_DIM = 1024
    # Normalisation of the convolutions: "", "BN", "GN", ...
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NORM = ""
    # Multiplier of the branch's loss, and of every group's own loss in the order of GROUPS (empty: 1 for each).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS_WEIGHT = 1.0
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUP_WEIGHTS = []

    # Size of a learned vector of the garment's class beside the features; 0: none. The true class in training, the
    # predicted one in test.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CLASS_EMBED_DIM = 0
    # Add log P(label | class), counted from the training set, to the logits.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CLASS_PRIOR = False
    # Leave out labels that the schema says cannot occur on the garment's part.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.MASK_IMPOSSIBLE = False

    # The plain losses; what the shipped configs choose, and why, is in docs/ablation.md.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS = CN()
    # Single-label groups: cross_entropy, or logit_adjusted (arXiv 2007.07314) with the training set's prior and TAU.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.SINGLE = "cross_entropy"
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.TAU = 1.0
    # Share of a single-label target that is spread over all labels.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.LABEL_SMOOTHING = 0.0
    # Multi-label groups: bce, focal (arXiv 1708.02002) or asymmetric (arXiv 2009.14119).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.MULTI = "bce"
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.FOCAL_GAMMA = 2.0
    # Weight of positives, 1 - it of negatives; negative: no weights.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.FOCAL_ALPHA = 0.25
    # The asymmetric loss's exponents, and its shift of the negatives' probability.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.GAMMA_NEG = 4.0
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.GAMMA_POS = 0.0
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.CLIP = 0.05
    # Weight positives of a multi-label group by negatives / positives of the training set, between 1 and this; 0: off.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.POS_WEIGHT_CAP = 0.0
    # Between groups: fixed (GROUP_WEIGHTS), or uncertainty (arXiv 1705.07115: learned weights, times GROUP_WEIGHTS).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.BALANCE = "fixed"

    # ---------------------------------------------------------------- image style (META_ARCHITECTURE AttributeRCNN)
    cfg.MODEL.STYLE_HEAD = CN()
    # Feature maps whose mean over the image the head reads. Empty: those of ROI_HEADS.IN_FEATURES.
    cfg.MODEL.STYLE_HEAD.IN_FEATURES = []
    # Fully connected layers before the last, linear ones.
    cfg.MODEL.STYLE_HEAD.NUM_FC = 0
    cfg.MODEL.STYLE_HEAD.FC_DIM = 512
    # Predict the sub-style, too. Images without one do not train it.
    cfg.MODEL.STYLE_HEAD.SUB_STYLE = True
    # Multiplier of the head's losses. Much of it costs boxes: see docs/models.md.
    cfg.MODEL.STYLE_HEAD.LOSS_WEIGHT = 0.25
    # Multiplier of the gradient that the head sends into the backbone. 0: the head learns from the detector's features,
    # and the detector nothing from the head.
    cfg.MODEL.STYLE_HEAD.GRADIENT_SCALE = 1.0
    # cross_entropy, or logit_adjusted (arXiv 2007.07314) with the training set's prior and TAU.
    cfg.MODEL.STYLE_HEAD.LOSS = "cross_entropy"
    cfg.MODEL.STYLE_HEAD.TAU = 1.0
    # Share of a target that is spread over all styles.
    cfg.MODEL.STYLE_HEAD.LABEL_SMOOTHING = 0.0

    # ---------------------------------------------------------------- the ViT backbone (build_vitdet_b_backbone)
    cfg.MODEL.VIT = CN()
    # Side, in pixels, of the square that pictures are padded to; no picture may be larger.
    cfg.MODEL.VIT.IMAGE_SIZE = 1024
    cfg.MODEL.VIT.DROP_PATH_RATE = 0.1

    # ---------------------------------------------------------------- training and evaluation
    # SGD (Detectron2's own) or ADAMW.
    cfg.SOLVER.OPTIMIZER = "SGD"
    # With ADAMW and a ViT backbone: the learning rate's factor from each of its 12 blocks to the one below.
    cfg.SOLVER.LAYER_DECAY = 1.0
    # With SOLVER.AMP.ENABLED (CUDA alone): float16, with scaled losses, or bfloat16, without.
    cfg.SOLVER.AMP.PRECISION = "float16"
    # An exponential moving average of the weights: evaluated, saved as the checkpoint's model, and thus predicted with.
    cfg.SOLVER.EMA = CN()
    cfg.SOLVER.EMA.ENABLED = False
    # Share of the average that stays at each iteration; it looks back on about 1 / (1 - DECAY) of them.
    cfg.SOLVER.EMA.DECAY = 0.9998
    # Begin with a shorter look back: at iteration n at most (1 + n) / (10 + n) of the average stays.
    cfg.SOLVER.EMA.WARMUP = True
    # The evaluation's metric, as "bbox/AP50", by which model_best.pth is chosen. Empty: none is.
    cfg.TEST.BEST = CN()
    cfg.TEST.BEST.METRIC = ""
    # max or min: what is better.
    cfg.TEST.BEST.MODE = "max"
    # Stop after so many evaluations in a row that were no better; 0: never.
    cfg.TEST.BEST.PATIENCE = 0
    # What counts as better for PATIENCE: more than this, in the metric's unit.
    cfg.TEST.BEST.MIN_DELTA = 0.0
    # What DATALOADER.SAMPLER_TRAIN AttributeRepeatFactorSampler balances: names of attribute groups, "category" and
    # "style". An image repeats by its rarest label, where a smaller share of the images than
    # DATALOADER.REPEAT_THRESHOLD has it.
    cfg.DATALOADER.REPEAT_LABELS = ["category"]
    # Share of the images that DATALOADER.SAMPLER_TRAIN RandomSubsetTrainingSampler trains on. (Detectron2 reads the
    # key, but has no default for it.)
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 1.0
    # Strength of random brightness, contrast and saturation (0.2: factors of 0.8 to 1.2). Refused while a group of
    # COLOR_GROUPS trains: it would change the colour and keep the label.
    cfg.INPUT.COLOR_JITTER = 0.0
    cfg.INPUT.COLOR_GROUPS = ["color", "sub_color"]
    # Groups that a crop makes unknown when it cuts the garment.
    cfg.INPUT.CROP.LENGTH_GROUPS = ["length", "sleeve_length"]
    # At most so many images of a split are evaluated while a model trains (TEST.EVAL_PERIOD), always the same ones,
    # evenly spread; 0: all. train_net.py --eval-only and evaluate.py look at all.
    cfg.TEST.MAX_EVAL_IMAGES = 0
    cfg.TEST.ATTRIBUTES = CN()
    # A detection stands for a garment from this IoU on.
    cfg.TEST.ATTRIBUTES.IOU_THRESHOLD = 0.5
    # Score from which a label of a multi-label group is given, of a checkpoint without tools/calibrate.py's thresholds.
    cfg.TEST.ATTRIBUTES.SCORE_THRESHOLD = 0.5
    # Also score the branch alone, on ground-truth boxes. The backbone runs once for both.
    cfg.TEST.ATTRIBUTES.ON_GT_BOXES = True


def get_kfashion_cfg() -> CN:
    """Detectron2's default config with the keys of this package."""
    cfg = get_cfg()
    add_kfashion_config(cfg)
    return cfg


def get_config_file(name: str) -> str:
    """
    Path of a shipped config, as in ``get_config_file("quick/attribute_rcnn_tiny.yaml")``.

    Raises:
        FileNotFoundError: there is no such config; the message lists those that exist.
    """
    here = Path(__file__).parent
    # In a checkout the configs lie beside the package, in an installed wheel inside it.
    root = next((folder for folder in (here / "configs", here.parent / "configs") if folder.is_dir()), here)
    path = root / name
    if not path.is_file():
        files = [*root.rglob("*.yaml"), *(file for file in root.rglob("*.py") if file.parent.name != "common")]
        known = ", ".join(sorted(str(file.relative_to(root)) for file in files))
        raise FileNotFoundError(f"no config {name!r}; choose from {known}")
    return str(path)


def use_available_device(cfg: CN) -> None:
    """Let a config that asks for CUDA run on the CPU where there is none, and say so. The config may be frozen."""
    if not cfg.MODEL.DEVICE.startswith("cuda") or torch.cuda.is_available():
        return
    logger.warning("MODEL.DEVICE is %s, but no CUDA device is available: running on the CPU", cfg.MODEL.DEVICE)
    frozen = cfg.is_frozen()
    cfg.defrost()
    cfg.MODEL.DEVICE = "cpu"
    if frozen:
        cfg.freeze()


def check_num_classes(cfg: CN) -> None:
    """
    Set ``MODEL.ROI_HEADS.NUM_CLASSES`` from the data's class mode where it is -1, or refuse one that disagrees.

    Raises:
        ValueError: the two numbers differ.
    """
    mode = cfg.DATASETS.KFASHION.CLASSES
    classes = AttributeSchema.from_config(cfg).thing_classes(mode)
    if cfg.MODEL.ROI_HEADS.NUM_CLASSES == -1:
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(classes)
    if len(classes) != cfg.MODEL.ROI_HEADS.NUM_CLASSES:
        raise ValueError(
            f"MODEL.ROI_HEADS.NUM_CLASSES is {cfg.MODEL.ROI_HEADS.NUM_CLASSES}, but the data has {len(classes)} "
            f"classes (DATASETS.KFASHION.CLASSES: {mode}). Set it to {len(classes)}, or to -1 to take it from the data"
        )
