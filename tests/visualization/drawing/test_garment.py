import json

import numpy as np
import pytest
import torch
from detectron2.structures import Boxes, Instances

from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization.drawing.garment import as_garments, garments_from_annotations, garments_from_instances

SCHEMA = kfashion_schema()
PART_SCHEMA = SCHEMA.for_classes("part")
CATEGORIES = SCHEMA.thing_classes("category")


def ids(group, *names):
    return [PART_SCHEMA.group(group).index_of.index(name) for name in names]


def annotation(**changes):
    anno = {
        "part": "top",
        "index": 0,
        "category_id": CATEGORIES.index("knitwear"),
        "bbox": [10.0, 20.0, 30.5, 40.0],
        "bbox_mode": 1,
        "iscrowd": 0,
        "segmentation": [[10.0, 20.0, 40.5, 20.0, 40.5, 60.0]],
        "mask_valid": True,
        "attributes": {
            "color": ids("color", "navy")[0],
            "sub_color": SCHEMA.group("sub_color").none_index,
            "neckline": -1,
            "material": ids("material", "knit", "lace"),
            "print": [-1],
            "detail": [],
        },
    }
    return {**anno, **changes}


def test_an_annotation_in_words():
    (garment,) = garments_from_annotations([annotation()], SCHEMA, CATEGORIES)
    assert garment.box == (10.0, 20.0, 40.5, 60.0)
    assert (garment.label, garment.label.korean, garment.part) == ("knitwear", "니트웨어", "top")
    assert garment.score is None and garment.known and garment.mask is None
    # Unknown ones (neckline, print) and those that are not there are left out; "none" is said.
    assert garment.attributes == {
        "color": [("navy", None)],
        "sub_color": [("none", None)],
        "material": [("knit", None), ("lace", None)],
        "detail": [],
    }
    np.testing.assert_array_equal(garment.polygons[0], [[10, 20], [40.5, 20], [40.5, 60]])


def test_a_garment_of_unknown_class_is_named_by_its_part():
    (garment,) = garments_from_annotations([annotation(category_id=-1)], SCHEMA, CATEGORIES)
    assert (garment.label, garment.label.korean, garment.known) == ("unknown top", "상의 (미상)", False)


def test_corners_that_stand_in_for_a_polygon_are_not_drawn():
    (garment,) = garments_from_annotations([annotation(mask_valid=False)], SCHEMA, CATEGORIES)
    assert list(garment.polygons) == []


def instances(classes=(0, 1), parts=None, masks=False):
    result = Instances((100, 80))
    result.pred_boxes = Boxes(torch.tensor([[1.0, 2.0, 31.0, 42.0], [5.0, 40.0, 70.0, 99.5]]))
    result.scores = torch.tensor([0.75, 0.5])
    result.pred_classes = torch.tensor(classes)
    rows = torch.zeros(2, PART_SCHEMA.num_labels)
    color, material = PART_SCHEMA.slice("color"), PART_SCHEMA.slice("material")
    rows[0, color.start + ids("color", "navy")[0]] = 0.625
    rows[0, color.start + ids("color", "black")[0]] = 0.25
    rows[0, material.start + ids("material", "lace")[0]] = 0.5
    rows[0, material.start + ids("material", "knit")[0]] = 0.875
    rows[1, material.start + ids("material", "denim")[0]] = 0.25
    result.pred_attributes = rows
    if parts is not None:
        result.parts = torch.tensor(parts)
    if masks:
        result.pred_masks = torch.zeros(2, 100, 80, dtype=torch.bool)
        result.pred_masks[0, 2:42, 1:31] = True
    return result


def test_instances_in_words():
    first, second = garments_from_instances(instances(masks=True), PART_SCHEMA, PART_SCHEMA.thing_classes("part"))
    assert (first.label, first.part, first.score) == ("top", "top", 0.75)
    assert first.attributes == {"color": [("navy", 0.625)], "material": [("knit", 0.875), ("lace", 0.5)]}
    assert (second.label, second.attributes) == ("bottom", {"material": []})
    assert first.mask.sum() == 30 * 40 and not second.mask.any()


def test_threshold_and_top_k():
    names = PART_SCHEMA.thing_classes("part")
    first, second = garments_from_instances(instances(), PART_SCHEMA, names, threshold=0.25, top_k=2)
    assert first.attributes["color"] == [("navy", 0.625), ("black", 0.25)]
    assert second.attributes["material"] == [("denim", 0.25)]


def test_known_parts_count_more_than_the_class():
    names = PART_SCHEMA.thing_classes("part")
    garments = garments_from_instances(instances(parts=(3, 2)), PART_SCHEMA, names)
    assert [garment.part for garment in garments] == ["dress", "outer"]


@pytest.mark.parametrize(
    "mode, classes, parts",
    [
        ("category", ("knitwear", "coat"), ["top", "outer"]),
        ("category_or_part", ("other dress", "jeans"), ["dress", "bottom"]),
    ],
)
def test_the_part_follows_from_the_class(mode, classes, parts):
    names = PART_SCHEMA.thing_classes(mode)
    found = instances([names.index(name) for name in classes])
    garments = garments_from_instances(found, PART_SCHEMA, [str(name) for name in names])
    assert [garment.part for garment in garments] == parts
    assert [garment.label for garment in garments] == list(classes)


def test_names_of_no_class_mode_are_refused():
    with pytest.raises(ValueError, match="coat, hat are not the classes"):
        garments_from_instances(instances(), PART_SCHEMA, ["coat", "hat"])


def test_a_plain_dict_is_json_and_bilingual():
    first, _ = garments_from_instances(instances(), PART_SCHEMA, PART_SCHEMA.thing_classes("part"))
    plain = first.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain == {
        "bbox": [1.0, 2.0, 30.0, 40.0],
        "score": 0.75,
        "class": "top",
        "class_korean": "상의",
        "part": "top",
        "attributes": {
            "color": [{"label": "navy", "korean": "네이비", "score": 0.625}],
            "material": [
                {"label": "knit", "korean": "니트", "score": 0.875},
                {"label": "lace", "korean": "레이스", "score": 0.5},
            ],
        },
    }
    assert type(plain["class"]) is str and type(plain["attributes"]["color"][0]["label"]) is str


def test_every_kind_of_input_becomes_garments():
    names = PART_SCHEMA.thing_classes("part")
    garments = as_garments(instances(), PART_SCHEMA, names)
    assert as_garments(garments, PART_SCHEMA, names) == garments
    assert [g.label for g in as_garments([annotation(category_id=0)], PART_SCHEMA, names)] == ["top"]
    assert as_garments([], PART_SCHEMA, names) == []
