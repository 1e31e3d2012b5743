import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from tests.evaluation.evaluator_cases import (
    BOTTOM,
    DRESS,
    NAME,
    OUTER,
    RECORDS,
    SCHEMA,
    TOP,
    annotation,
    inputs_of,
    quarters,
    record,
)


@pytest.fixture
def register():
    """Register records under NAME, in part mode unless told otherwise."""

    def register(records=RECORDS, schema=SCHEMA, classes="part"):
        DatasetCatalog.register(NAME, lambda: records)
        facts = {"attribute_schema": schema, "classes": classes}
        MetadataCatalog.get(NAME).set(**{key: value for key, value in facts.items() if value is not None})

    yield register
    DatasetCatalog.pop(NAME, None)
    MetadataCatalog.pop(NAME, None)


@pytest.fixture
def quartered(register):
    """Garments in the quarters 0 and 3 of one image and in quarter 2 of another, with one empty image."""
    first = annotation(TOP, (10, 10, 60, 30), fit=0, prints=[TOP])
    second = annotation(DRESS, (120, 60, 60, 30), fit=3, prints=[DRESS])
    third = annotation(OUTER, (10, 60, 60, 30), fit=1, prints=[BOTTOM])  # the model will say 2 and "outer"
    register([record(1, [first, second]), record(2, []), record(3, [third])])
    return [{**x, "image": quarters()} for x in inputs_of(1, 2, 3)]
