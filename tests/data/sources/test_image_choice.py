"""Which image an annotation gets where several could be its own, and which kinds of images are read."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kfashion_d2.data import KFashionDataset, convert_dataset
from kfashion_d2.data.sources import image_choice, image_types
from tests.data.annotations import with_id, write, write_zip

SIZE = (60, 100)  # of what with_id states
RNG = np.random.default_rng(0)


def picture(path, size=SIZE, **options):
    """Of noise, so that two pictures have two lengths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)).save(path, **options)


def converted(data, **options):
    """The images that were taken, and the problems but for those of the garments."""
    output = data.parent / "out"
    convert_dataset(data, output, **options)
    images = {
        row["image_id"]: str(Path(row["file_name"]).relative_to(data)) if "zip:" not in row["file_name"] else "zip"
        for split in output.glob("*/meta.json")
        for row in KFashionDataset(split.parent)
    }
    lines = map(json.loads, (output / "problems.jsonl").read_text("utf-8").splitlines())
    return images, {(line["path"], line["reason"], line["value"]) for line in lines if not line["part"]}


@pytest.mark.parametrize(
    "winner, loser, loser_size",
    [
        ("images/1.jpg", "crops/1.jpg", (30, 50)),
        ("images/1.png", "crops/1.jpg", (30, 50)),  # the size before the kind
        ("z/1.jpg", "원천데이터_1/1.jpg", (60, 99)),  # and before AI Hub's folder
        ("원천데이터_1/1.png", "a/1.jpg", SIZE),
        ("사진/1.jpg", "annotated/1.jpg", SIZE),
        ("b/1.jpg", "a/1.PNG", SIZE),
        ("labels/1.jpg", "labels/1.png", SIZE),
        ("a/1.jpg", "b/1.jpg", SIZE),  # nothing tells them apart: the first
    ],
)
def test_the_photograph_wins_and_is_named(tmp_path, winner, loser, loser_size):
    data = tmp_path / "data"
    write(data, "labels/1.json", with_id(1), image=False)
    picture(data / winner)
    picture(data / loser, loser_size)
    images, problems = converted(data)
    assert images == {1: winner}
    assert problems == {
        ("labels/1.json", "several images of this name", winner),
        (loser, "annotation has another image of this name", None),
    }


def test_inside_archives_and_across_splits(tmp_path):
    data = tmp_path / "data"
    write(data, "Training/라벨링데이터/1.json", with_id(1), image=False)
    picture(tmp_path / "photo.jpg")
    picture(data / "Training/crops/1.jpg", (30, 50))
    picture(data / "shared/1.jpg", (30, 51))
    picture(data / "Validation/1.jpg")  # of another split, whatever its size
    write_zip(data / "Training/원천데이터_1.zip", {"1.jpg": (tmp_path / "photo.jpg").read_bytes()})
    images, problems = converted(data)
    assert images == {1: "zip"}
    assert (
        "Training/라벨링데이터/1.json",
        "several images of this name",
        "Training/원천데이터_1.zip/1.jpg",
    ) in problems
    assert ("Validation/1.jpg", "image without annotation", None) in problems


def test_images_of_one_length_are_not_opened(tmp_path, monkeypatch):
    data = tmp_path / "data"
    for folder in ("a", "b"):
        write(data, "1.json", with_id(1), image_dir=folder)
    monkeypatch.setattr(image_choice, "SourceReader", lambda *args: None)  # it would be an AttributeError
    assert converted(data)[0] == {1: "a/1.jpg"}


def test_a_broken_annotation_among_several_images(tmp_path):
    data = tmp_path / "data"
    write(data, "1.json", "{")
    write(data, "2.json", with_id(2), image=False)
    (data / "2.jpg").write_bytes(b"no image")
    picture(data / "1.png")
    picture(data / "a/2.jpg")
    images, problems = converted(data)
    assert images == {2: "a/2.jpg"} and ("1.json", "several images of this name", "1.jpg") in problems


def test_one_photograph_of_two_annotations_is_noted(tmp_path):
    data = tmp_path / "data"
    for number, folder in enumerate(("레트로", "히피"), start=1):
        write(data, f"라벨링데이터/{folder}/IMG.json", with_id(number), image_dir="all")
    write(data, "라벨링데이터/히피/3.json", with_id(3), image_dir="all")
    images, problems = converted(data)
    assert images == {1: "all/IMG.jpg", 2: "all/IMG.jpg", 3: "all/3.jpg"}
    assert problems == {("라벨링데이터/히피/IMG.json", "image of another annotation", "all/IMG.jpg")}


@pytest.mark.parametrize("suffix", ["jpeg", "JPG", "jfif", "webp", "bmp", "tif", "gif", "png"])
def test_kinds_of_images(tmp_path, suffix):
    data = tmp_path / "data"
    write(data, "1.json", with_id(1), image=False)
    picture(data / f"1.{suffix}", format={"jfif": "jpeg", "JPG": "jpeg", "tif": "tiff"}.get(suffix, suffix))
    assert converted(data, check_images=True) == ({1: f"1.{suffix}"}, set())


def test_kinds_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    data = tmp_path / "data"
    write(data, "1.json", with_id(1), image=False)
    (data / "1.HEIC").write_bytes(b"x")
    write_zip(data / "more.zip", {"2.heic": b"x"})
    monkeypatch.setattr(Image, "EXTENSION", {".jpg": "JPEG"})
    image_types.can_read.cache_clear()
    images, problems = converted(data)
    image_types.can_read.cache_clear()
    reason = "image type that cannot be read here: convert it to .jpg"
    assert images == {}
    assert problems == {("1.HEIC", reason, None), ("more.zip/2.heic", reason, None), ("1.json", "no image", None)}


def test_an_annotation_with_the_images_ending_in_its_name(tmp_path):
    data = tmp_path / "data"
    for name in ("630.jpg.json", "631.JPEG.json", "a.b.json"):
        number = int(name[:3]) if name[0] == "6" else 1
        write(data, name, with_id(number), image=False)
    for name in ("630.jpg", "631.JPEG", "a.b.jpg"):
        (data / name).write_bytes(b"")
    obj = with_id(632)
    obj["이미지 정보"]["이미지 식별자"] = obj["데이터셋 정보"]["파일 번호"] = None
    write(data, "632.png.json", obj, image=False)  # the id is the file's name
    (data / "632.png").write_bytes(b"")
    images, _ = converted(data)
    assert images == {630: "630.jpg", 631: "631.JPEG", 1: "a.b.jpg", 632: "632.png"}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_checked_as_training_reads_them(tmp_path, orientation):
    """Those that lie on their side are turned by Detectron2, too."""
    from detectron2.data.detection_utils import read_image

    data = tmp_path / "data"
    write(data, "1.json", with_id(1), image=False)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(data / "1.jpg", SIZE[::-1] if orientation > 4 else SIZE, exif=exif)
    assert read_image(str(data / "1.jpg"), "BGR").shape == (SIZE[1], SIZE[0], 3)
    assert converted(data, check_images=True) == ({1: "1.jpg"}, set())
    picture(data / "1.jpg", SIZE if orientation > 4 else SIZE[::-1], exif=exif)
    assert converted(data, check_images=True)[1] == {("1.json", "image of another size", "1.jpg")}


def test_entries_with_backslashes_are_paths(tmp_path):
    data = tmp_path / "data"
    label = json.dumps(with_id(1), ensure_ascii=False)
    entries = {
        "Training\\모던\\1.json": label,
        "Training\\모던\\1.jpg": b"x",
        "Training\\모던\\": b"",
        "..\\2.json": label,
    }
    data.mkdir()
    write_zip(data / "all.zip", entries)
    images, problems = converted(data)
    assert images == {1: "zip"}
    (row,) = KFashionDataset(tmp_path / "out/train")
    assert row["label_file"] == "all.zip/Training/모던/1.json" and row["file_name"].endswith(
        "all.zip!/Training/모던/1.jpg"
    )
    assert {(path, reason) for path, reason, _ in problems} == {("all.zip/../2.json", "zip entry leaves the folder")}
