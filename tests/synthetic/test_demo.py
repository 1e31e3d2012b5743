"""The demo set: reproducible, in the real format, dirty at the stated rates; what is labelled is in the pixels."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from kfashion_d2.data import convert_dataset, make_demo_data, parse_annotation
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.synthetic import faults
from kfashion_d2.synthetic.annotation_json import outline_polygon, polygon_entry, rect_of
from kfashion_d2.synthetic.demo import draw_example
from kfashion_d2.synthetic.faults import ALIAS_RATE, FAULT_RATE, FAULTS, NO_TIER_B_RATE
from kfashion_d2.synthetic.labels import COLORS, NONE, sample_garment

SCHEMA = kfashion_schema()
PARTS = {label.korean: label.name for label in SCHEMA.parts.labels}
SINGLE = [group.name for group in SCHEMA.groups if group.is_single]


@pytest.fixture(scope="module")
def dirty():
    """1000 annotations with faults, unpainted."""
    return [draw_example(0, 0, i, with_image=False) for i in range(1000)]


@pytest.fixture(scope="module")
def faulty():
    """250 annotations, unpainted, each with a fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "FAULT_RATE", 1.0)
        return [draw_example(0, 1, i, with_image=False) for i in range(250)]


@pytest.fixture(scope="module")
def painted():
    """60 clean pictures."""
    return [draw_example(3, 1, i, with_faults=False) for i in range(60)]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def tables(annotation: dict) -> tuple[dict, dict, dict]:
    details = annotation["데이터셋 정보"]["데이터셋 상세설명"]
    return details["렉트좌표"], details["폴리곤좌표"], details["라벨링"]


def ring(entry: dict) -> np.ndarray:
    n = len(entry) // 2
    return np.array([(entry[f"X좌표{i}"], entry[f"Y좌표{i}"]) for i in range(1, n + 1)])


def inside(example, polygon) -> np.ndarray:
    mask = np.zeros(example.image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(polygon - 0.5).astype(np.int32)], 1)
    return example.image[mask > 0].astype(np.float64)


def test_two_runs_give_the_same_bytes_and_another_seed_gives_others(tmp_path):
    summaries = [make_demo_data(tmp_path / name, 6, 3, seed) for name, seed in (("a", 5), ("b", 5), ("c", 6))]
    a, b, c = (tree(tmp_path / name) for name in "abc")
    assert a == b and summaries[0] == summaries[1]
    assert len(a) == 1 + 9 + sum(summaries[0]["images"].values())
    assert a.keys() & c.keys() and all(a[k] != c[k] for k in a.keys() & c.keys())


def test_a_larger_set_begins_with_the_smaller_one(tmp_path):
    make_demo_data(tmp_path / "small", 3, 2, seed=1)
    make_demo_data(tmp_path / "large", 6, 5, seed=1)
    small, large = tree(tmp_path / "small"), tree(tmp_path / "large")
    del small["DEMO_SET"]
    assert small.items() <= large.items() and len(large) > len(small) + 6


def test_the_annotation_is_the_same_without_the_picture(painted):
    for index, example in enumerate(painted[:12]):
        again = draw_example(3, 1, index, with_faults=False, with_image=False)
        assert again.image is None and again.annotation == example.annotation and again.folder == example.folder


def test_ids_are_unique_over_both_splits_and_agree(dirty):
    examples = [*dirty, *(draw_example(0, 1, i, with_image=False) for i in range(30))]
    assert len({e.image_id for e in examples}) == 1030
    for e in examples:
        assert e.annotation["이미지 정보"]["이미지 식별자"] == e.annotation["데이터셋 정보"]["파일 번호"] == e.image_id


def test_layout(tmp_path):
    summary = make_demo_data(tmp_path / "set", 30, 4, seed=0, dirt=False)
    assert summary["images"] == summary["annotations"] == {"Training": 30, "Validation": 4} and summary["dirt"] == {}
    styles = {label.korean for label in SCHEMA.styles.labels}
    for path in (tmp_path / "set").rglob("*.json"):
        split, table, style = path.relative_to(tmp_path / "set").parts[:3]
        annotation = json.loads(path.read_text(encoding="utf-8"))
        image = cv2.imread(str(path.parents[2] / "원천데이터_1" / style / f"{path.stem}.jpg"))
        size = annotation["이미지 정보"]["이미지 높이"], annotation["이미지 정보"]["이미지 너비"]
        assert split in ("Training", "Validation") and table == "라벨링데이터" and image.shape[:2] == size
        assert annotation["이미지 정보"]["이미지 식별자"] == int(path.stem)
        entry = tables(annotation)[2]["스타일"][0]
        assert entry.get("스타일", "기타") == style and (style in styles or entry == {})


def test_annotations_only_writes_no_picture(tmp_path):
    summary = make_demo_data(tmp_path, 4, 1, annotations_only=True)
    assert sum(summary["images"].values()) == 0 and len(list(tmp_path.rglob("*.json"))) == 5
    assert not list(tmp_path.rglob("*.jpg"))


def test_another_folder_is_refused_and_a_demo_set_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious.txt").write_text("keep")
    with pytest.raises(ValueError, match=r"mine holds something else than a demo set"):
        make_demo_data(tmp_path / "mine", 1, 1)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["precious.txt"]
    make_demo_data(tmp_path / "set", 3, 1, seed=2)
    make_demo_data(tmp_path / "set", 1, 1, seed=2)
    assert len(list((tmp_path / "set").rglob("*.json"))) == 2
    with pytest.raises(ValueError, match="num_val=-1"):
        make_demo_data(tmp_path / "set", 1, -1)
    with pytest.raises(ValueError, match=r"image_size=\(16, 224\)"):
        make_demo_data(tmp_path / "set", 1, 1, image_size=(16, 224))


def test_rect_of_a_polygon_by_hand():
    # x from 10.25 to 110.9: 100.65 wide; y from 20.5 to 99.99: 79.49 high. Truncated, not rounded.
    polygon = np.array([(10.25, 25.0), (110.9, 20.5), (60.0, 99.99)])
    assert rect_of(polygon) == {"X좌표": 9.75, "Y좌표": 20.0, "가로": 100, "세로": 79}
    assert rect_of(np.array([(0.0, 0.0), (5.0, 3.999)])) == {"X좌표": -0.5, "Y좌표": -0.5, "가로": 5, "세로": 3}
    assert polygon_entry(polygon)["X좌표2"] == 110.9 and polygon_entry(polygon)["Y좌표3"] == 99.99


def test_outline_of_a_rectangle_by_hand():
    mask = np.zeros((100, 90), dtype=bool)
    mask[20:61, 30:71] = True  # its edges are at 30, 71 and 20, 61
    polygon = outline_polygon(mask, np.random.default_rng(0))
    assert np.allclose(polygon.min(axis=0), (30, 20), atol=0.5) and np.allclose(polygon.max(axis=0), (71, 61), atol=0.5)
    assert len(polygon) == 8  # edges of 41 pixels, two clicks each
    mask[:] = False
    mask[20:25, 30:71] = True
    assert outline_polygon(mask, np.random.default_rng(0)) is None


def test_clean_annotations_hold_to_the_format(painted):
    points, orders = [], set()
    for example in painted:
        rects, polygons, labels = tables(example.annotation)
        assert set(rects) == set(polygons) == set(PARTS) and set(labels) == {*PARTS, "스타일"}
        height, width = example.image.shape[:2]
        for part in PARTS:
            assert bool(rects[part][0]) == bool(polygons[part][0]) == bool(labels[part][0])
            if not rects[part][0]:
                continue
            xy = ring(polygons[part][0])
            rect, low, high = rects[part][0], xy.min(axis=0), xy.max(axis=0)
            assert (xy >= 0).all() and (xy <= (width, height)).all()
            assert (rect["X좌표"], rect["Y좌표"]) == pytest.approx(tuple(low - 0.5), abs=6e-4)
            assert (rect["가로"], rect["세로"]) == tuple((high - low).astype(int))
            assert all(value == float(f"{value:.6g}") for value in polygons[part][0].values())
            points.append(len(xy))
            orders.add(tuple(rect))
    assert 22 < np.mean(points) < 45 and len(orders) > 4


def test_every_clean_label_is_one_of_its_part_and_parses_without_a_problem(painted, tmp_path):
    for example in painted:
        record, problems = parse_annotation(example.annotation, SCHEMA)
        assert problems == [] and len(record["annotations"]) == len(example.garments)
        by_part = {annotation["part"]: annotation for annotation in record["annotations"]}
        for garment, _ in example.garments:
            annotation = by_part[garment.part]
            assert SCHEMA.categories.labels[annotation["category_id"]].name == garment.category
            for group in SCHEMA.groups:
                if garment.part not in group.part_labels:
                    assert group.name not in annotation["attributes"]
                    continue
                value, ids = getattr(garment, group.name), annotation["attributes"][group.name]
                if group.name in garment.hidden:
                    assert ids == -1
                elif group.is_single:
                    assert group.labels[ids].name == value and ids in group.part_labels[garment.part]
                else:
                    expected = value or ([] if group.absent == "none" else [None])
                    assert {group.labels[i].name if i >= 0 else None for i in ids} == set(expected)


def test_a_clean_set_converts_without_a_problem(tmp_path):
    make_demo_data(tmp_path / "data", 25, 5, seed=4, dirt=False)
    convert_dataset(tmp_path / "data", tmp_path / "store")
    assert (tmp_path / "store" / "problems.jsonl").read_text() == ""


def test_faults_are_where_they_were_planted(faulty):
    """Find each fault in the JSON, with no help from what planted it."""
    for example in faulty:
        found = set()
        rects, polygons, labels = tables(example.annotation)
        height = example.annotation["이미지 정보"]["이미지 높이"]
        for part in PARTS:
            rect, polygon, label = rects[part][0], polygons[part][0], labels[part][0]
            values = [value for value in label.values() if isinstance(value, str)]
            checks = {
                "rect_missing": polygon and not rect,
                "polygon_missing": rect and not polygon,
                "labels_alone": label and not rect and not polygon,
                "rect_empty": rect.get("가로") == 0,
                "partner_missing": len(polygon) % 2,
                "leaves_picture": any(k[0] == "Y" and not 0 <= v <= height for k, v in polygon.items()),
                "unheard_of": {"무지개", "초슬림", "바닥", "우주복"} & set(values),
            }
            if rect and polygon and len(polygon) % 2 == 0:
                xy = ring(polygon)
                checks["stray_ends"] = stray = (xy[-2:] == 0).all()
                xy = xy[:-2] if stray else xy
                width, high = (xy.max(axis=0) - xy.min(axis=0)).astype(int)
                checks["rect_elsewhere"] = 0 < rect["가로"] < 0.8 * width
                checks["rect_off"] = rect["가로"] == width and rect["세로"] != high
            found |= {fault for fault, yes in checks.items() if yes}
        assert found == set(example.planted) & set(FAULTS) - {"no_image", "truncated"}
    assert set(FAULTS) <= {fault for example in faulty for fault in example.planted}


def test_faults_come_at_their_rates(dirty):
    planted = Counter(fault for example in dirty for fault in example.planted)
    labels = [entry[0] for e in dirty for part, entry in tables(e.annotation)[2].items() if part in PARTS and entry[0]]
    assert planted["no_tier_b"] == sum("카테고리" not in entry for entry in labels)
    assert planted["alias"] >= sum("칼라" in entry for entry in labels) > 0
    for fault, rate in (("no_tier_b", NO_TIER_B_RATE), ("alias", ALIAS_RATE)):
        assert planted[fault] / len(labels) == pytest.approx(rate, abs=0.02)
    assert sum(planted[fault] for fault in FAULTS) / len(dirty) == pytest.approx(FAULT_RATE, abs=0.025)


def test_the_parser_finds_the_planted_faults_and_no_others(faulty, dirty):
    reasons = {
        "leaves_picture": {"polygon leaves the image"},
        "unheard_of": {"unknown value"},
        "rect_empty": {"rect without area"},
        "partner_missing": {"polygon point incomplete"},
        "rect_elsewhere": {"polygon and rect disagree"},
        "rect_missing": {"no rect"},
        "polygon_missing": {"no polygon"},
        "stray_ends": {"stray (0, 0) at the polygon's end"},
        "labels_alone": {"no rect", "no polygon", "no geometry"},
    }
    for example in [*faulty, *dirty]:
        record, problems = parse_annotation(example.annotation, SCHEMA)
        faults = [fault for fault in example.planted if fault in FAULTS]
        expected = reasons.get(faults[0], set()) if faults else set()
        assert expected <= {p.reason for p in problems} <= expected | {"rect leaves the image"}, faults
        assert len(record["annotations"]) == len(example.garments) - ("labels_alone" in faults)


def test_file_faults_are_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "FAULT_RATE", 1.0)
    summary = make_demo_data(tmp_path, 40, 0, seed=0)
    planted = summary["dirt"]
    assert planted["truncated"] > 0 and planted["no_image"] > 0
    assert sum(not is_json(path) for path in tmp_path.rglob("*.json")) == planted["truncated"]
    assert len(list(tmp_path.rglob("*.jpg"))) == summary["images"]["Training"] == 40 - planted["no_image"]


def is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError:
        return False


def test_labels_are_drawn_evenly(dirty):
    """No label has more than its share by far: a constant guess must score little."""
    counts = {name: Counter() for name in ("category", *SINGLE)}
    for example in dirty:
        for garment, _ in example.garments:
            for name, counter in counts.items():
                value = getattr(garment, name)
                if value is not None and name not in garment.hidden:
                    counter[value] += 1
    num_labels = {"category": len(SCHEMA.categories)} | {name: SCHEMA.group(name).num_labels for name in SINGLE}
    most = {"category": 0.15, "color": 0.09, "sub_color": 0.28, "length": 0.22, "sleeve_length": 0.26}
    most |= {"neckline": 0.26, "collar": 0.40, "fit": 0.30}
    assert most.keys() == counts.keys()
    for name, counter in counts.items():
        share = np.array(list(counter.values())) / counter.total()
        evenness = -(share * np.log(share)).sum() / np.log(num_labels[name])
        assert len(counter) == num_labels[name], name
        assert evenness > 0.88, name
        assert share.max() < most[name], name


def test_what_an_outer_hides_is_not_labelled(dirty):
    hidden = shown = 0
    for example in dirty:
        outer = next((g for g, _ in example.garments if g.part == "outer"), None)
        for garment, _ in example.garments:
            assert garment.inside == (outer is not None and garment is not outer) or outer is None
            if garment.inside and garment.part in ("top", "dress") and outer is not None:
                covered = outer.sleeve_length != "sleeveless"
                assert ("sleeve_length" in garment.hidden) == covered
                hidden, shown = hidden + covered, shown + (not covered)
    assert hidden > 50 and shown > 5


def test_the_colour_is_in_the_pixels(painted):
    """The commonest colour name among the pixels of a plain dress or pair of trousers is its label."""
    names, palette = list(COLORS), np.array(list(COLORS.values()), dtype=np.float64)
    right = []
    for example in painted:
        for garment, polygon in example.garments:
            if garment.part in ("bottom", "dress") and garment.print == ["solid"]:
                pixels = inside(example, polygon)
                nearest = np.abs(pixels[:, None] - palette).sum(axis=2).argmin(axis=1)
                right.append(names[np.bincount(nearest).argmax()] == garment.color)
    assert len(right) > 25 and np.mean(right) > 0.9


def test_the_sub_colour_is_in_the_pixels(painted):
    shares = []
    for example in painted:
        for garment, polygon in example.garments:
            if garment.sub_color != NONE:
                far = np.abs(inside(example, polygon) - COLORS[garment.sub_color]).max(axis=1)
                shares.append((far < 45).mean())
    assert len(shares) > 60 and np.mean(np.array(shares) > 0.02) > 0.97


def test_garments_cannot_be_what_a_body_forbids():
    rng = np.random.default_rng(0)
    seen = Counter()
    for _ in range(1500):
        garment = sample_garment(rng, ("top", "outer", "dress")[int(rng.integers(3))], [])
        seen[garment.category] += 1
        assert (garment.category == "hoodie") <= (garment.neckline == "hood")
        assert (garment.category == "vest") <= (garment.sleeve_length == "sleeveless")
        if garment.neckline in ("turtleneck", "hood", "off-shoulder", "one-shoulder"):
            assert garment.collar == NONE
        if garment.category == "bra top":
            assert garment.length == "crop" and garment.sleeve_length in ("no sleeve", "sleeveless")
        if garment.part == "outer":
            assert garment.sleeve_length != "no sleeve" and garment.neckline not in ("halter neck", "sweetheart")
        assert garment.sub_color != NONE or garment.print[0] in ("solid", "graphic", "lettering")
    assert len(seen) == 16


def test_the_tool(tmp_path):
    tool = Path(__file__).parents[2] / "tools" / "make_demo_data.py"
    command = [sys.executable, str(tool), str(tmp_path / "set"), "--num-train", "2", "--num-val", "1", "--seed", "3"]
    done = subprocess.run([*command, "--annotations-only"], capture_output=True, text=True, check=True)
    garments = sum(len(draw_example(3, s, i, with_image=False).garments) for s, i in ((0, 0), (0, 1), (1, 0)))
    assert done.stdout.startswith(f"3 annotations, {garments} garments, 0 pictures")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    command[2] = str(tmp_path / "other")
    failed = subprocess.run(command, capture_output=True, text=True)
    assert failed.returncode == 2 and "holds something else" in failed.stderr and "Traceback" not in failed.stderr
