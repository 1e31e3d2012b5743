import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from PIL import Image

from kfashion_d2.checkpoint import KFashionCheckpointer, add_calibration
from kfashion_d2.evaluation import Calibration
from kfashion_d2.predictor import KFashionPredictor, find_images, predict_files
from tests.tiny_model import CONFIG, IMAGE, tiny_cfg


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    KFashionCheckpointer(build_model(tiny_cfg()), str(folder)).save("tiny")
    return str(folder / "tiny.pth")


@pytest.fixture(scope="module")
def predictor(weights):
    cfg = tiny_cfg("MODEL.WEIGHTS", weights)
    cfg.freeze()
    return KFashionPredictor(cfg, score_threshold=None, top_k=2, attribute_threshold=0.55)


def test_it_agrees_with_detectron2s_own_predictor(predictor, weights):
    ours = predictor(IMAGE)["instances"]
    theirs = DefaultPredictor(tiny_cfg("MODEL.WEIGHTS", weights))(IMAGE)["instances"]
    assert len(ours) == 3 and ours.image_size == (150, 200)
    assert sorted(ours.get_fields()) == ["pred_attributes", "pred_boxes", "pred_classes", "scores"]
    torch.testing.assert_close(ours.pred_boxes.tensor, theirs.pred_boxes.tensor)
    torch.testing.assert_close(ours.pred_attributes, theirs.pred_attributes)


def test_garments_are_the_instances_in_words(predictor):
    result = predictor(IMAGE)
    instances, garments = result["instances"], result["garments"]
    assert json.loads(json.dumps(garments, allow_nan=False)) == garments
    schema = predictor.schema
    for i, garment in enumerate(garments):
        assert sorted(garment) == ["attributes", "bbox", "class", "class_korean", "part", "score"]
        x0, y0, x1, y1 = instances.pred_boxes.tensor[i].tolist()
        assert garment["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert garment["score"] == instances.scores[i].item()
        assert garment["class"] == garment["part"] == schema.parts.labels[instances.pred_classes[i]]
        assert garment["class_korean"] == schema.parts.labels[instances.pred_classes[i]].korean
        # Each group that applies, and no other.
        assert set(garment["attributes"]) == {g.name for g in schema.groups if garment["part"] in g.parts}
        color = garment["attributes"]["color"]
        row = instances.pred_attributes[i, schema.slice("color")]
        best = schema.group("color").labels[int(row.argmax())]
        assert len(color) == 2 and color[0]["score"] >= color[1]["score"]
        assert color[0] == {"label": best.name, "korean": best.korean, "score": pytest.approx(row.max().item())}


def test_files_and_arrays_give_the_same(predictor, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), IMAGE)
    assert predictor(tmp_path / "a.png")["garments"] == predictor(IMAGE)["garments"]
    with pytest.raises(OSError):
        predictor(str(tmp_path / "b.png"))


def test_the_input_format_decides_the_channels(predictor, weights):
    rgb = KFashionPredictor(
        tiny_cfg("MODEL.WEIGHTS", weights, "INPUT.FORMAT", "RGB"),
        score_threshold=None,
        top_k=2,
        attribute_threshold=0.55,
    )
    assert rgb(IMAGE[:, :, ::-1])["garments"] == predictor(IMAGE)["garments"]
    assert rgb(IMAGE)["garments"] != predictor(IMAGE)["garments"]


def test_the_attribute_threshold_is_used(weights):
    cfg = tiny_cfg("MODEL.WEIGHTS", weights)
    all_of_them, none_of_them = (
        KFashionPredictor(cfg, score_threshold=None, attribute_threshold=t)(IMAGE)["garments"][0]["attributes"]
        for t in (0.0, 1.0)
    )
    assert len(all_of_them["material"]) == 25 and none_of_them["material"] == []
    assert all_of_them["color"] == none_of_them["color"]


def test_a_calibrated_checkpoint_decides(weights, tmp_path):
    """Its temperatures change the scores, its thresholds what is said, and the caller's thresholds go before them."""
    cfg = tiny_cfg("MODEL.WEIGHTS", weights)
    plain = KFashionPredictor(cfg, score_threshold=None)
    assert plain.calibration is None and plain.attribute_threshold == 0.5
    schema = plain.schema
    temperatures = {name: 0.5 for name in schema.group_names}
    thresholds = {g.name: 0.0 if g.is_single else 0.4 for g in schema.groups} | {"color": 1.0, "material": 0.05}
    tuned = Calibration(schema, temperatures, thresholds)
    cfg.MODEL.WEIGHTS = str(add_calibration(weights, tuned, tmp_path / "tuned.pth"))
    predictor = KFashionPredictor(cfg, score_threshold=None)
    assert predictor.calibration.to_dict() == tuned.to_dict()
    before, after = plain(IMAGE), predictor(IMAGE)
    expected = tuned.apply(before["instances"].pred_attributes)
    torch.testing.assert_close(after["instances"].pred_attributes, expected)
    assert not torch.allclose(expected, before["instances"].pred_attributes, atol=1e-3)
    best = expected[0, schema.slice("color")].max().item()
    attributes = after["garments"][0]["attributes"]
    assert attributes["color"] == [{"label": "unsure", "korean": "불확실", "score": pytest.approx(best)}]
    assert attributes["sub_color"][0]["label"] == before["garments"][0]["attributes"]["sub_color"][0]["label"]
    passing = (expected[0, schema.slice("material")] >= 0.05).sum()
    assert len(attributes["material"]) == passing
    own = KFashionPredictor(cfg, score_threshold=None, attribute_threshold=1.0)(IMAGE)["garments"][0]["attributes"]
    assert own["color"][0]["label"] != "unsure" and own["material"] == []


@pytest.mark.parametrize("image", [IMAGE[:, :, 0], IMAGE.astype(np.float32), IMAGE[:0]])
def test_what_is_no_picture_is_refused(predictor, image):
    with pytest.raises(ValueError, match="expected a uint8"):
        predictor(image)


def test_the_number_of_classes_comes_from_the_config_or_must_agree(weights):
    cfg = tiny_cfg("MODEL.WEIGHTS", weights, "MODEL.ROI_HEADS.NUM_CLASSES", -1)
    assert len(KFashionPredictor(cfg, score_threshold=None)(IMAGE)["garments"]) == 3
    assert cfg.MODEL.ROI_HEADS.NUM_CLASSES == -1  # a copy was changed
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 80, but the data has 4 classes .*CLASSES: part"):
        KFashionPredictor(tiny_cfg("MODEL.WEIGHTS", weights, "MODEL.ROI_HEADS.NUM_CLASSES", 80))


def test_weights_must_be_there_and_of_the_same_schema(weights, tmp_path):
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        KFashionPredictor(tiny_cfg())
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: no such file"):
        KFashionPredictor(tiny_cfg("MODEL.WEIGHTS", str(tmp_path / "gone.pth")))
    with pytest.raises(ValueError, match="was made with schema"):
        KFashionPredictor(tiny_cfg("MODEL.WEIGHTS", weights, "MODEL.ROI_ATTRIBUTE_HEAD.GROUPS", ["color", "fit"]))
    with pytest.raises(ValueError, match="top_k=0"):
        KFashionPredictor(tiny_cfg("MODEL.WEIGHTS", weights), top_k=0)


def test_find_images(tmp_path):
    for name in ("b/2.JPG", "b/1.png", "b/c/3.webp", "b/notes.txt", "a[1].jpg", "x1.jpg", "x2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    inputs = [tmp_path / "x2.jpg", tmp_path / "b", tmp_path / "a[1].jpg", str(tmp_path / "x*.jpg"), tmp_path / "b"]
    found = [str(path.relative_to(tmp_path)) for path in find_images(inputs)]
    assert found == ["x2.jpg", "b/1.png", "b/2.JPG", "b/c/3.webp", "a[1].jpg", "x1.jpg"]
    (tmp_path / "empty").mkdir()
    for wrong, message in (("empty", "no image in it"), ("gone.jpg", "no such file"), ("*.gif", "no such file")):
        with pytest.raises(FileNotFoundError, match=message):
            find_images([str(tmp_path / wrong)])


def test_stems_that_collide_get_a_number(predictor, tmp_path):
    files = []
    for name in ("a/1.jpg", "b/1.jpg", "1.png", "1-2.jpg", "c/1.JPEG"):
        files.append(tmp_path / "in" / name)
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGE).save(files[-1])
    run = predict_files(predictor, files, tmp_path / "out")
    names = [entry["picture"] for entry in run.predictions]
    assert names == ["1.jpg", "1-2.jpg", "1.png", "1-2-2.jpg", "1-3.jpg"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([*names, "predictions.json"])


def test_a_picture_keeps_the_colours_of_its_image(predictor, tmp_path):
    Image.new("RGB", (600, 500), (200, 30, 60)).save(tmp_path / "red.png")
    predict_files(predictor, [tmp_path / "red.png"], tmp_path / "out")
    drawn = np.asarray(Image.open(tmp_path / "out" / "red.png"))[:500, :600]
    np.testing.assert_array_equal(np.median(drawn.reshape(-1, 3), axis=0), [200, 30, 60])


def test_an_input_is_never_overwritten(predictor, tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "1.jpg")
    before = (tmp_path / "1.jpg").read_bytes()
    with pytest.raises(ValueError, match="would overwrite an input"):
        predict_files(predictor, [tmp_path / "1.jpg"], tmp_path)
    assert (tmp_path / "1.jpg").read_bytes() == before


def test_the_tool_end_to_end(weights, tmp_path, run_tool, capsys):
    folder = tmp_path / "사진"
    folder.mkdir()
    Image.fromarray(IMAGE).save(folder / "look.jpg")
    Image.fromarray(IMAGE[:, :, 0]).save(folder / "gray.png")
    (folder / "broken.jpg").write_bytes((folder / "look.jpg").read_bytes()[:300])
    out = tmp_path / "out"
    args = ["--config-file", CONFIG, "--input", folder, "--output", out, "--score-threshold", "0", "--top-k", "2"]
    args += ["--attribute-threshold", "0.55"]
    opts = ["MODEL.WEIGHTS", weights, "TEST.DETECTIONS_PER_IMAGE", "2"]
    run_tool("predict", *args, *opts)
    assert "4 garments in 2 images; 1 not readable" in capsys.readouterr().out
    entries = json.loads((out / "predictions.json").read_text("utf-8"))
    assert [(Path(e["file_name"]).name, e["picture"]) for e in entries] == [("gray.png",) * 2, ("look.jpg",) * 2]
    for entry in entries:
        assert sorted(entry) == ["file_name", "garments", "height", "picture", "width"]
        assert (entry["height"], entry["width"], len(entry["garments"])) == (150, 200, 2)
        assert all(len(garment["attributes"]["color"]) == 2 for garment in entry["garments"])
        assert Image.open(out / entry["picture"]).width > 640  # 200 enlarged to 640, and the cards


def test_the_tool_fails_in_one_line(weights, tmp_path, run_tool):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    args = ["--config-file", CONFIG, "--output", tmp_path / "out"]
    with pytest.raises(SystemExit, match=r"^predict\.py: error: not one of 1 images could be read$"):
        run_tool("predict", *args, "MODEL.WEIGHTS", weights, "--input", broken)
    with pytest.raises(SystemExit, match=r"^predict\.py: error: .*gone\.jpg: no such file"):
        run_tool("predict", *args, "--input", tmp_path / "gone.jpg")
    shutil.copy(broken, tmp_path / "a.jpg")
    with pytest.raises(SystemExit, match=r"^predict\.py: error: MODEL\.WEIGHTS is empty"):
        run_tool("predict", *args, "--input", tmp_path / "a.jpg")
    with pytest.raises(SystemExit, match=r"^predict\.py: error: the least score of a garment is 50: give one"):
        run_tool("predict", *args, "--score-threshold", "50", "--input", broken)
    with pytest.raises(SystemExit, match=r"^predict\.py: error: MODEL\.WEIGHTS stands behind --input, among its files"):
        run_tool("predict", *args, "--input", broken, "MODEL.WEIGHTS", weights)


def test_one_score_threshold_by_default_here_and_in_the_tool(weights):
    """The config's is for evaluations. An untrained model is sure of nothing, so one class gets a high score."""
    cfg = tiny_cfg("MODEL.WEIGHTS", weights)
    predictor = KFashionPredictor(cfg)
    assert predictor(IMAGE)["garments"] == []
    torch.nn.init.constant_(predictor.model.roi_heads.box_predictor.cls_score.bias[1:2], 4.0)
    scores = [garment["score"] for garment in predictor(IMAGE)["garments"]]
    assert len(scores) == 3 and min(scores) > 0.5
    for threshold, message in ((-0.1, "garment is -0.1"), (1.5, "garment is 1.5")):
        with pytest.raises(ValueError, match=message):
            KFashionPredictor(cfg, score_threshold=threshold)
    with pytest.raises(ValueError, match="attribute fit is 2: give one from 0 to 1"):
        KFashionPredictor(cfg, attribute_threshold={"fit": 2})


def test_it_works_under_autocast(predictor):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        instances = predictor(IMAGE)["instances"]
    assert len(instances) == 3
    assert {instances.scores.dtype, instances.pred_attributes.dtype} == {torch.float32}


@pytest.mark.parametrize("shape", [(860, 4), (1, 1000), (5000, 1), (400, 20000)])
def test_extreme_pictures_are_predicted_on(predictor, shape):
    instances = predictor(np.zeros((*shape, 3), np.uint8))["instances"]
    assert instances.image_size == shape
    assert (instances.pred_boxes.tensor[:, 2:] <= torch.tensor([shape[1], shape[0]])).all()


def test_a_picture_that_the_model_does_not_take_is_left_out_by_name(predictor, tmp_path, monkeypatch, caplog):
    for name, shade in (("a.png", 0), ("b.png", 255), ("c.png", 0)):
        Image.new("RGB", (40, 30), (shade,) * 3).save(tmp_path / name)
    predict = KFashionPredictor.__call__

    def fail_on_white(self, image):
        if image.max() == 255:
            raise RuntimeError("out of memory")
        return predict(self, image)

    monkeypatch.setattr(KFashionPredictor, "__call__", fail_on_white)
    files = [tmp_path / name for name in ("a.png", "b.png", "c.png")]
    run = predict_files(predictor, files, tmp_path / "out")
    assert run.broken == [tmp_path / "b.png"] and [entry["picture"] for entry in run.predictions] == ["a.png", "c.png"]
    assert f"left out {tmp_path / 'b.png'} (40 x 30 pixels): out of memory" in caplog.text


def test_ctrl_c_keeps_what_was_predicted(predictor, tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.fromarray(IMAGE).save(tmp_path / name)
    results = iter([predictor(IMAGE)])

    def interrupt_after_one(self, image):
        try:
            return next(results)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(KFashionPredictor, "__call__", interrupt_after_one)
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor, [tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    (entry,) = json.loads((tmp_path / "out" / "predictions.json").read_text("utf-8"))
    assert entry["picture"] == "a.png" and len(entry["garments"]) == 3
