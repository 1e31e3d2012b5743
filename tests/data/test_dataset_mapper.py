import cv2
import numpy as np
import pytest
import torch
from detectron2.data import transforms as T

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.data import AttributeDatasetMapper, SkipBrokenImages, dataset_mapper
from kfashion_d2.data.dataset_mapper import BrokenImageError
from kfashion_d2.schema import kfashion_schema

SCHEMA = kfashion_schema().subset(["color", "length", "detail"])
BOX = [20.0, 10.0, 30.0, 60.0]


@pytest.fixture
def image_file(tmp_path):
    image = np.zeros((100, 80, 3), np.uint8)
    image[10:70, 20:50] = 200
    path = str(tmp_path / "1.png")
    cv2.imwrite(path, image)
    return path


def make_dict(image_file, **changes):
    x, y, w, h = BOX
    anno = {
        "bbox": BOX,
        "bbox_mode": 1,
        "category_id": 2,
        "iscrowd": 0,
        "part": "top",
        "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
        "mask_valid": True,
        "attributes": {"color": 1, "length": 2, "detail": []},
    }
    return {"file_name": image_file, "image_id": 1, "height": 100, "width": 80, "annotations": [{**anno, **changes}]}


def make_mapper(*augmentations, masks=False, **kwargs):
    return AttributeDatasetMapper(
        True, schema=SCHEMA, augmentations=augmentations, image_format="BGR", use_instance_mask=masks, **kwargs
    )


def test_flip_and_resize_keep_box_polygon_and_labels_in_step(image_file):
    mapper = make_mapper(T.RandomFlip(prob=1.0), T.Resize((200, 160)), masks=True)
    instances = mapper(make_dict(image_file))["instances"]
    # x: 80 - 50 = 30 to 80 - 20 = 60, then everything twice as large
    assert instances.gt_boxes.tensor[0].tolist() == [60, 20, 120, 140]
    polygon = instances.gt_masks.polygons[0][0].reshape(-1, 2)
    assert polygon.min(axis=0).tolist() == [60, 20]
    assert polygon.max(axis=0).tolist() == [120, 140]
    assert instances.gt_attributes.dtype == torch.int8
    assert torch.equal(
        instances.gt_attributes[0], torch.from_numpy(SCHEMA.encode({"color": 1, "length": 2, "detail": []}, "top"))
    )


@pytest.mark.parametrize("is_train", [True, False])
def test_the_style_reaches_the_model(image_file, is_train):
    mapper = AttributeDatasetMapper(is_train, schema=SCHEMA, augmentations=[], image_format="BGR")
    mapped = mapper({**make_dict(image_file), "style": 8, "sub_style": -1})
    assert (mapped["style"], mapped["sub_style"]) == (8, -1)


def test_the_box_stays_on_the_garment_pixels(image_file):
    mapped = make_mapper(T.RandomFlip(prob=1.0), T.Resize((150, 120)))(make_dict(image_file))
    x0, y0, x1, y1 = mapped["instances"].gt_boxes.tensor[0].int().tolist()
    inside = mapped["image"][0, y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    assert inside.min() == 200
    assert mapped["image"][0].float().sum().item() == pytest.approx(200 * (x1 - x0) * (y1 - y0), rel=0.05)


@pytest.mark.parametrize("crop, known", [((10, 5, 60, 80), True), ((10, 5, 60, 40), False), ((30, 0, 50, 100), False)])
def test_a_crop_that_cuts_makes_the_length_unknown(image_file, crop, known):
    x, y, w, h = crop
    mapper = make_mapper(T.CropTransform(x, y, w, h), length_groups=["length", "sleeve_length"])
    row = mapper(make_dict(image_file))["instances"].gt_attributes[0]
    length = SCHEMA.slice("length")
    assert (row[length] >= 0).all() == known
    assert row[SCHEMA.slice("color")].tolist() == [0, 1] + [0] * 19
    assert (row[SCHEMA.slice("detail")] == 0).all()


def test_a_garment_outside_the_crop_leaves_with_its_row(image_file):
    data = make_dict(image_file)
    data["annotations"].append({**data["annotations"][0], "bbox": [60.0, 80.0, 15.0, 15.0], "attributes": {"color": 5}})
    instances = make_mapper(T.CropTransform(55, 75, 25, 25))(data)["instances"]
    assert len(instances) == 1
    assert instances.gt_attributes[0, 5] == 1


def test_no_garment(image_file):
    instances = make_mapper()({**make_dict(image_file), "annotations": []})["instances"]
    assert instances.gt_attributes.shape == (0, SCHEMA.num_labels)


def test_mask_validity_follows(image_file):
    instances = make_mapper(masks=True)(make_dict(image_file, mask_valid=False))["instances"]
    assert instances.gt_mask_valid.tolist() == [False]


def test_color_jitter_is_refused_while_colors_train():
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(get_config_file("quick/attribute_rcnn_tiny.yaml"))
    cfg.INPUT.COLOR_JITTER = 0.2
    with pytest.raises(ValueError, match=r"COLOR_JITTER is 0\.2, but color, sub_color train"):
        AttributeDatasetMapper(cfg, True)
    cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS = ["fit"]
    names = [type(a).__name__ for a in AttributeDatasetMapper(cfg, True).augmentations.augs]
    assert names[-3:] == ["RandomBrightness", "RandomContrast", "RandomSaturation"]
    assert len(AttributeDatasetMapper(cfg, False).augmentations.augs) == 1


def test_broken_images_name_the_file_and_are_replaced_in_training(tmp_path, image_file):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 no more")
    mapper = make_mapper()
    with pytest.raises(BrokenImageError, match=r"broken\.jpg"):
        mapper(make_dict(str(broken)))
    with pytest.raises(BrokenImageError, match="absent"):
        mapper(make_dict(str(tmp_path / "absent.jpg")))
    wrong_size = {**make_dict(image_file), "width": 79}
    with pytest.raises(BrokenImageError, match=r"1\.png"):
        mapper(wrong_size)
    dataset = SkipBrokenImages([make_dict(str(broken)), make_dict(image_file)], mapper)
    assert dataset[0]["file_name"] == image_file
    assert dataset.num_broken >= 1
    with pytest.raises(BrokenImageError, match="IMAGE_ROOT"):
        SkipBrokenImages([make_dict(str(broken))], mapper)[0]


def test_a_crop_of_masks_needs_shapely_and_says_so_at_once(monkeypatch):
    cfg = get_kfashion_cfg()
    cfg.INPUT.CROP.ENABLED = cfg.MODEL.MASK_ON = True
    monkeypatch.setattr(dataset_mapper, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"INPUT\.CROP\.ENABLED and MODEL\.MASK_ON .*pip install shapely"):
        AttributeDatasetMapper(cfg, is_train=True)
    AttributeDatasetMapper(cfg, is_train=False)
    cfg.MODEL.MASK_ON = False
    AttributeDatasetMapper(cfg, is_train=True)
