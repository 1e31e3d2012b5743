import io
import logging
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kfashion_d2.config import get_config_file
from kfashion_d2.data import KFashionDataset, read_image_bytes
from kfashion_d2.data.sources.zip_index import read_zip_index
from kfashion_d2.data.store.zip_reader import EntryLocation, zip_uri
from kfashion_d2.schema import kfashion_schema
from kfashion_d2.visualization import draw_dataset

SCHEMA = kfashion_schema()


def write_images(folder, count=6, size=(90, 60)):
    records = []
    for i in range(count):
        path = folder / f"photo {i}.png"
        Image.new("RGB", size, (10 * i, 0, 0)).save(path)
        records.append({"file_name": str(path), "width": size[0], "height": size[1], "annotations": []})
    return records


def draw(records, output, **options):
    return draw_dataset(records, output, schema=SCHEMA, class_names=SCHEMA.thing_classes("category"), **options)


def test_pictures_and_a_contact_sheet_are_written(tmp_path):
    files = draw(write_images(tmp_path), tmp_path / "new" / "out", num=4, seed=3)
    assert len(files) == 5 and files[-1].name == "contact_sheet.jpg"
    assert files[:-1] == sorted(files[:-1])
    # The names say which image it is, and the picture is that image.
    for file in files[:-1]:
        index = int(file.name[:6])
        assert file.name == f"{index:06d}-photo {index}.jpg"
        np.testing.assert_allclose(np.asarray(Image.open(file))[200, 200], [10 * index, 0, 0], atol=3)
    again = draw(write_images(tmp_path), tmp_path / "again", num=4, seed=3)
    assert [f.name for f in again] == [f.name for f in files]
    assert [f.read_bytes() for f in again] == [f.read_bytes() for f in files]
    picks = {tuple(f.name for f in draw(write_images(tmp_path), tmp_path / "o", num=2, seed=s)) for s in range(6)}
    assert len(picks) > 1


def test_a_known_style_is_written_above_the_picture(tmp_path):
    records = write_images(tmp_path, 2)
    records[1].update(style=8, sub_style=-1)
    without, with_style = (Image.open(file) for file in draw(records, tmp_path / "out")[:2])
    assert without.height == 480 < with_style.height
    assert with_style.width == without.width


def test_more_than_there_are_is_all(tmp_path):
    assert len(draw(write_images(tmp_path, 3), tmp_path / "out", num=50)) == 4


def test_broken_images_are_left_out_and_named(tmp_path, caplog):
    records = write_images(tmp_path, 4)
    Path(records[0]["file_name"]).unlink()
    Path(records[1]["file_name"]).write_bytes(b"no image")
    records[2]["width"] = 91
    with caplog.at_level(logging.WARNING, logger="kfashion_d2"):
        files = draw(records, tmp_path / "out")
    assert [file.name for file in files] == ["000003-photo 3.jpg", "contact_sheet.jpg"]
    assert len(caplog.records) == 3
    assert "it is 90 x 60, its annotation says 91 x 60" in caplog.text


def test_a_turned_photo_is_drawn_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees to see it upright
    Image.new("RGB", (60, 90)).save(tmp_path / "turned.jpg", exif=exif)
    record = {"file_name": str(tmp_path / "turned.jpg"), "width": 90, "height": 60, "annotations": []}
    assert len(draw([record], tmp_path / "out")) == 2


def test_nothing_to_draw_is_an_error(tmp_path):
    records = write_images(tmp_path, 2)
    with pytest.raises(ValueError, match="num=0 of 2"):
        draw(records, tmp_path / "out", num=0)
    with pytest.raises(ValueError, match="of 0 images"):
        draw([], tmp_path / "out")
    for record in records:
        record["file_name"] = ""
    with pytest.raises(ValueError, match="not one of 2 images could be read"):
        draw(records, tmp_path / "out")


def test_the_tool_draws_a_converted_split(demo_store, tmp_path, run_tool, capsys):
    run_tool("visualize_data", demo_store / "val", "--output", tmp_path, "--num", 3, "--classes", "part")
    assert f"3 pictures; all of them on {tmp_path / 'contact_sheet.jpg'}" in capsys.readouterr().out
    dataset = KFashionDataset(demo_store / "val")
    files = sorted(tmp_path.glob("0*.jpg"))
    assert len(files) == 3
    for file in files:
        assert Path(dataset[int(file.name[:6])]["file_name"]).stem in file.name


def test_the_tool_writes_korean(demo_store, tmp_path, run_tool, hangul_font):
    for language in ("en", "ko"):
        run_tool(
            "visualize_data", demo_store / "val", "--output", tmp_path / language, "--num", 1, "--language", language
        )
    english, korean = (next((tmp_path / language).glob("0*.jpg")) for language in ("en", "ko"))
    assert english.name == korean.name and english.read_bytes() != korean.read_bytes()


def test_the_tool_draws_a_registered_split(demo_store, tmp_path, run_tool, capsys):
    config = get_config_file("quick/attribute_rcnn_tiny.yaml")
    common = ["--config-file", config, "--output", tmp_path, "--num", 2]
    opts = ["DATASETS.KFASHION.ROOT", demo_store]
    run_tool("visualize_data", *common, "--dataset", "kfashion_train", *opts)
    assert "2 pictures" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no dataset 'kfashion_none'; choose from .*kfashion_train"):
        run_tool("visualize_data", *common, "--dataset", "kfashion_none", *opts)


def test_the_tool_says_what_is_wrong_in_one_line(tmp_path, run_tool):
    with pytest.raises(SystemExit, match=r"^visualize_data.py: error: .* holds no converted split; make one with"):
        run_tool("visualize_data", tmp_path, "--output", tmp_path / "out")
    with pytest.raises(SystemExit) as exit_info:
        run_tool("visualize_data", "--output", tmp_path / "out")
    assert exit_info.value.code == 2


def test_draws_images_inside_an_archive(tmp_path):
    content = io.BytesIO()
    Image.new("RGB", (640, 640), (0, 120, 40)).save(content, "PNG")
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("스트리트/7.png", content.getvalue())
    (entry,) = read_zip_index(archive)
    stat = archive.stat()
    uri = zip_uri(str(archive), entry.name, EntryLocation(*entry[1:5], stat.st_size, stat.st_mtime_ns))
    record = {"file_name": uri, "height": 640, "width": 640, "annotations": []}
    names = SCHEMA.thing_classes("category")
    files = draw_dataset([record], tmp_path / "out", schema=SCHEMA, class_names=names, read_bytes=read_image_bytes)
    assert files[0].name == "000000-7.jpg"
    np.testing.assert_allclose(np.asarray(Image.open(files[0]))[200, 200], [0, 120, 40], atol=3)
