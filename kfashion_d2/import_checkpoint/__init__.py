"""This package brings weights of torchvision's R-CNNs, of Match R-CNN and of K-COORD into our models, name by name."""

from ..utils.lazy import lazy_exports

__all__ = ["ImportedWeights", "import_checkpoint", "import_state_dict", "our_name", "read_state_dict"]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ImportedWeights": ".importer",
        "import_checkpoint": ".importer",
        "import_state_dict": ".importer",
        "our_name": ".names",
        "read_state_dict": ".importer",
    },
)
