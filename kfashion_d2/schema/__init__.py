"""
This package has the vocabulary: groups, labels, categories, parts and styles, in English and Korean. It needs Python
and NumPy only.
"""

from .attribute_schema import CATEGORY_GROUP, CLASS_MODES, AttributeSchema, kfashion_schema
from .serialization import schema_from_dict, schema_to_dict
from .text import normalize_text
from .vocabulary import UNKNOWN, UNSURE, AttributeGroup, Label, LabelIndex

__all__ = [
    "CATEGORY_GROUP",
    "CLASS_MODES",
    "UNKNOWN",
    "UNSURE",
    "AttributeGroup",
    "AttributeSchema",
    "Label",
    "LabelIndex",
    "kfashion_schema",
    "normalize_text",
    "schema_from_dict",
    "schema_to_dict",
]
