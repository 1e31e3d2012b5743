"""This package has the attribute branch, the style head, the models around them, their losses and a small backbone."""

from ..utils.lazy import lazy_exports

__all__ = [
    "ROI_ATTRIBUTE_HEAD_REGISTRY",
    "AttributeCascadeROIHeads",
    "AttributeCriterion",
    "AttributeHead",
    "AttributeRCNN",
    "AttributeRCNNWithTTA",
    "AttributeROIHeadsMixin",
    "AttributeRes5ROIHeads",
    "AttributeStandardROIHeads",
    "LabelPrior",
    "StyleHead",
    "attribute_probabilities",
    "build_attribute_head",
    "multi_label_loss",
    "single_label_loss",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ROI_ATTRIBUTE_HEAD_REGISTRY": ".attribute_head",
        "AttributeCascadeROIHeads": ".roi_heads",
        "AttributeCriterion": ".criterion",
        "AttributeHead": ".attribute_head",
        "AttributeRCNN": ".attribute_rcnn",
        "AttributeRCNNWithTTA": ".test_time_augmentation",
        "AttributeRes5ROIHeads": ".roi_heads",
        "AttributeROIHeadsMixin": ".roi_heads",
        "AttributeStandardROIHeads": ".roi_heads",
        "LabelPrior": ".label_prior",
        "StyleHead": ".style_head",
        "attribute_probabilities": ".attribute_head",
        "build_attribute_head": ".attribute_head",
        "multi_label_loss": ".losses",
        "single_label_loss": ".losses",
    },
)

# Importing the package registers its models. Without Detectron2 the losses still import: they need torch alone.
try:
    from . import attribute_rcnn, backbone, kcoord_head, roi_heads, torchvision_anchors, vitdet  # noqa: F401
except ImportError as error:
    if "detectron2" not in (error.name or str(error)):
        raise
