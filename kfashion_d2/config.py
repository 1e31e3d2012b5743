"""This module has the keys that this package adds to Detectron2's config, each with its default and its meaning."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from detectron2.config import CfgNode as CN
from detectron2.config import get_cfg

from .modeling.num_classes import check_num_classes

__all__ = ["add_kfashion_config", "check_num_classes", "get_config_file", "get_kfashion_cfg", "use_available_device"]

logger = logging.getLogger(__name__)


def add_kfashion_config(cfg: CN) -> None:
    """
    Add the keys of kfashion_d2 to a config, and its models to Detectron2's registries.

    Call it before ``cfg.merge_from_file``; a second call resets the keys. The comment above a key is its documentation:
    docs/configs.md is made of these comments by ``python -m tests.config_page``.
    """
    from . import modeling  # noqa: F401  # registers

    # ---------------------------------------------------------------- Data
    cfg.DATASETS.KFASHION = CN()
    # The folder that tools/convert_kfashion.py wrote. Each split in it is registered as kfashion_<split>, as in
    # kfashion_train and kfashion_val. If the key is empty, $DETECTRON2_DATASETS/kfashion is taken, where that exists.
    cfg.DATASETS.KFASHION.ROOT = ""
    # The folder that holds the images, if they moved since the conversion. If the key is empty, the images are read
    # from where the conversion found them.
    cfg.DATASETS.KFASHION.IMAGE_ROOT = ""
    # This key says what the detector's classes are.
    #   category          The 21 categories are the classes. Garments of unknown category are ignored.
    #   part              Top, bottom, outer and dress are the classes. The category becomes one more attribute group,
    #                     so that garments of unknown category train too.
    #   category_or_part  The categories are classes, and so are "other top", "other bottom", "other outer" and
    #                     "other dress" for garments of unknown category: 25 in all.
    cfg.DATASETS.KFASHION.CLASSES = "category"
    # The path of a schema file, which lists the groups and labels of another data set. If the key is empty, the
    # vocabulary is that of K-Fashion.
    cfg.DATASETS.KFASHION.SCHEMA = ""

    # ---------------------------------------------------------------- Attribute branch
    # These keys build the branch that predicts the attributes of each garment. It needs one of our ROI heads as
    # MODEL.ROI_HEADS.NAME.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD = CN()
    # The registered name of the head: "AttributeHead", or "KCoordAttributeHead" for the recipe of K-COORD.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NAME = "AttributeHead"
    # The names of the groups to train, in any order. If the key is empty, all groups of the schema train; in part mode
    # "category" is one of them.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS = []
    # This key says which features the branch reads.
    #   own  The branch has its own pooler, on the levels of the FPN or on the C4 map; the next four keys configure it.
    #   box  The branch reads the features that the box predictor reads: those of the last stage in a Cascade R-CNN, the
    #        mean of res5 in a C4 model. In test they are pooled again on the final boxes.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.FEATURES = "own"
    # The feature maps that the branch pools from. If the key is empty, they are those of ROI_HEADS.IN_FEATURES.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.IN_FEATURES = []
    # The side of the pooled square, in cells.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_RESOLUTION = 7
    # The number of samples along each side of a pooled cell. 0 lets it grow with the box.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_SAMPLING_RATIO = 0
    # The kind of the pooler, one of those that Detectron2's ROIPooler knows.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.POOLER_TYPE = "ROIAlignV2"
    # The number of 3x3 convolutions that the pooled features pass first.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NUM_CONV = 0
    # The number of channels of each convolution.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CONV_DIM = 256
    # The number of fully connected layers between the convolutions and the last, linear layer.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NUM_FC = 2
    # The output size of each fully connected layer.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.FC_DIM = 1024
    # The normalisation of the convolutions, by Detectron2's name, such as "BN" or "GN". If the key is empty, there is
    # none.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.NORM = ""
    # The multiplier of the branch's loss.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS_WEIGHT = 1.0
    # The multiplier of each group's own loss, in the order of GROUPS. If the key is empty, all of them are 1.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUP_WEIGHTS = []
    # The size of a learned vector of the garment's class that the last layer reads beside the features. In training it
    # is the vector of the true class, in test that of the predicted one. 0 means that there is none.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CLASS_EMBED_DIM = 0
    # If the key is True, log P(label | class), counted from the training set, is added to the logits.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.CLASS_PRIOR = False
    # If the key is True, labels that cannot occur on the garment's part, as the schema has it, are left out.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.MASK_IMPOSSIBLE = False

    # ---------------------------------------------------------------- Attribute losses
    # These keys choose the losses of the attribute branch. The defaults are the plain losses, which need no counts of a
    # training set; docs/ablation.md says what the shipped configs choose instead, and why.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS = CN()
    # This key names the loss of single-label groups.
    #   cross_entropy   The softmax cross-entropy is taken as it is.
    #   logit_adjusted  TAU times the logarithm of the training set's prior is added to the logits first
    #                   (arXiv 2007.07314).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.SINGLE = "cross_entropy"
    # The strength of logit adjustment.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.TAU = 1.0
    # The share of a single-label target that is spread over all labels of the group.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.LABEL_SMOOTHING = 0.0
    # This key names the loss of multi-label groups.
    #   bce         The binary cross-entropy of each label is taken as it is.
    #   focal       Labels that are answered well already weigh less (arXiv 1708.02002).
    #   asymmetric  Easy negatives weigh less than easy positives, or nothing (arXiv 2009.14119).
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.MULTI = "bce"
    # The exponent of the focal loss.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.FOCAL_GAMMA = 2.0
    # The weight of positives in the focal loss; negatives have 1 minus it. A negative value means no weights.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.FOCAL_ALPHA = 0.25
    # The asymmetric loss's exponent for negatives.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.GAMMA_NEG = 4.0
    # The asymmetric loss's exponent for positives.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.GAMMA_POS = 0.0
    # The asymmetric loss lowers the probability of negatives by this much, and not below 0.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.CLIP = 0.05
    # Positives of a multi-label group weigh as much as the training set has negatives for each positive, but at least 1
    # and at most this number. 0 means no such weights.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.POS_WEIGHT_CAP = 0.0
    # This key says how the groups' losses are balanced against each other.
    #   fixed        GROUP_WEIGHTS are the weights.
    #   uncertainty  The weights are learned (arXiv 1705.07115), and multiplied by GROUP_WEIGHTS.
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.LOSS.BALANCE = "fixed"

    # ---------------------------------------------------------------- Image style
    # These keys build the head that predicts the style of the whole image. It is there when MODEL.META_ARCHITECTURE is
    # AttributeRCNN; see docs/models.md.
    cfg.MODEL.STYLE_HEAD = CN()
    # The feature maps whose means over the image the head reads. If the key is empty, they are those of
    # ROI_HEADS.IN_FEATURES.
    cfg.MODEL.STYLE_HEAD.IN_FEATURES = []
    # The number of fully connected layers before the last, linear layers.
    cfg.MODEL.STYLE_HEAD.NUM_FC = 0
    # The output size of each fully connected layer.
    cfg.MODEL.STYLE_HEAD.FC_DIM = 512
    # If the key is True, the sub-style is predicted too. Images without a sub-style do not train it.
    cfg.MODEL.STYLE_HEAD.SUB_STYLE = True
    # The multiplier of the head's losses. A large one costs accuracy of the boxes; see docs/models.md.
    cfg.MODEL.STYLE_HEAD.LOSS_WEIGHT = 0.25
    # The multiplier of the gradient that the head sends into the backbone. With 0 the head learns from the detector's
    # features, and the detector trains as if there were no head.
    cfg.MODEL.STYLE_HEAD.GRADIENT_SCALE = 1.0
    # This key names the loss.
    #   cross_entropy   The softmax cross-entropy is taken as it is.
    #   logit_adjusted  TAU times the logarithm of the training set's prior is added to the logits first
    #                   (arXiv 2007.07314).
    cfg.MODEL.STYLE_HEAD.LOSS = "cross_entropy"
    # The strength of logit adjustment.
    cfg.MODEL.STYLE_HEAD.TAU = 1.0
    # The share of a target that is spread over all styles.
    cfg.MODEL.STYLE_HEAD.LABEL_SMOOTHING = 0.0

    # ---------------------------------------------------------------- ViT backbone
    # These keys are read by the backbone build_vitdet_b_backbone.
    cfg.MODEL.VIT = CN()
    # The side, in pixels, of the square that images are padded to. No image may be larger after its resize.
    cfg.MODEL.VIT.IMAGE_SIZE = 1024
    # The probability with which the last block is left out for an image in training (stochastic depth). It grows from
    # 0 at the first block.
    cfg.MODEL.VIT.DROP_PATH_RATE = 0.1

    # ---------------------------------------------------------------- Optimizer and precision
    # The optimizer: "SGD", which is Detectron2's own, or "ADAMW".
    cfg.SOLVER.OPTIMIZER = "SGD"
    # With ADAMW and a ViT backbone, each of the 12 blocks has the learning rate of the block above times this factor.
    cfg.SOLVER.LAYER_DECAY = 1.0
    # If the key is True, a resumed training takes its learning rates from this config. Otherwise it keeps those of the
    # checkpoint, whatever BASE_LR says. The schedule goes on at its iteration in both cases.
    cfg.SOLVER.RESET_LR_ON_RESUME = False
    # What mixed precision (SOLVER.AMP.ENABLED, on CUDA only) computes in: "float16", with scaled losses, or "bfloat16",
    # without.
    cfg.SOLVER.AMP.PRECISION = "float16"

    # ---------------------------------------------------------------- Average of the weights
    # These keys keep an exponential moving average of the weights; see docs/training.md.
    cfg.SOLVER.EMA = CN()
    # If the key is True, the average is kept. It is what is evaluated, and the model of the checkpoints.
    cfg.SOLVER.EMA.ENABLED = False
    # The share of the average that stays at each iteration. The average looks back on about 1 / (1 - DECAY) iterations.
    cfg.SOLVER.EMA.DECAY = 0.9998
    # If the key is True, the average looks back less far at first: at iteration n at most (1 + n) / (10 + n) of it
    # stays.
    cfg.SOLVER.EMA.WARMUP = True

    # ---------------------------------------------------------------- Sampling and augmentation
    # What DATALOADER.SAMPLER_TRAIN AttributeRepeatFactorSampler balances: names of attribute groups, "category" and
    # "style". An image is repeated by its rarest label, if less than DATALOADER.REPEAT_THRESHOLD of the images have
    # that label.
    cfg.DATALOADER.REPEAT_LABELS = ["category"]
    # The share of the images that DATALOADER.SAMPLER_TRAIN RandomSubsetTrainingSampler trains on. Detectron2 reads this
    # key but has no default for it.
    cfg.DATALOADER.RANDOM_SUBSET_RATIO = 1.0
    # The strength of random brightness, contrast and saturation; 0.2 means factors from 0.8 to 1.2. It is refused while
    # a group of COLOR_GROUPS trains, as it would change the colour and keep the label.
    cfg.INPUT.COLOR_JITTER = 0.0
    # The groups whose labels say something about colour.
    cfg.INPUT.COLOR_GROUPS = ["color", "sub_color"]
    # The groups that become unknown for a garment that a random crop (INPUT.CROP.ENABLED) cuts.
    cfg.INPUT.CROP.LENGTH_GROUPS = ["length", "sleeve_length"]

    # ---------------------------------------------------------------- Evaluation
    # At most so many images of a split are evaluated while a model trains, always the same ones, evenly spread. 0 means
    # all. train_net.py --eval-only and evaluate.py take all images, whatever this key says.
    cfg.TEST.MAX_EVAL_IMAGES = 0

    # ---------------------------------------------------------------- Best checkpoint and early stop
    # These keys choose the best checkpoint, and stop a training that no longer improves; see docs/training.md.
    cfg.TEST.BEST = CN()
    # The metric by which model_best.pth is chosen, as an evaluation names it, such as "bbox/AP50". If the key is empty,
    # no checkpoint is chosen.
    cfg.TEST.BEST.METRIC = ""
    # Whether the largest ("max") or the smallest ("min") value of the metric is the best.
    cfg.TEST.BEST.MODE = "max"
    # The number of evaluations in a row without improvement after which training stops. 0 means that it never does.
    cfg.TEST.BEST.PATIENCE = 0
    # An evaluation is an improvement, as PATIENCE counts them, if it is better by more than this, in the metric's unit.
    cfg.TEST.BEST.MIN_DELTA = 0.0

    # ---------------------------------------------------------------- Scores of attributes
    # These keys say how an evaluation scores attributes; see docs/evaluation.md.
    cfg.TEST.ATTRIBUTES = CN()
    # The least IoU at which a detection stands for a garment.
    cfg.TEST.ATTRIBUTES.IOU_THRESHOLD = 0.5
    # The least score of an answer in a multi-label group. A checkpoint that tools/calibrate.py has tuned brings its own
    # thresholds instead.
    cfg.TEST.ATTRIBUTES.SCORE_THRESHOLD = 0.5
    # If the key is True, the attributes are also read from the ground-truth boxes, and scored there. The backbone runs
    # once for both.
    cfg.TEST.ATTRIBUTES.ON_GT_BOXES = True


def get_kfashion_cfg() -> CN:
    """Return Detectron2's default config with the keys of this package."""
    cfg = get_cfg()
    add_kfashion_config(cfg)
    return cfg


def get_config_file(name: str) -> str:
    """
    Return the path of a shipped config, as in ``get_config_file("quick/attribute_rcnn_tiny.yaml")``.

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
