"""An export replaces an earlier export, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from kfashion_d2.data import KFashionDataset, convert_dataset, formats, import_coco, make_demo_data
from kfashion_d2.data.formats import export_coco, export_fiftyone, export_parquet, export_yolo
from kfashion_d2.data.formats.export_folder import MARKER
from kfashion_d2.data.splits.resplit import resplit, take_subset

TOOL = Path(__file__).parents[3] / "tools/export_data.py"


def contents(folder):
    """Map every file below a folder to its bytes, and every link to its target."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def opened(folder):
    return KFashionDataset(folder, "category_or_part")


@pytest.mark.parametrize("name", ["yolo", "parquet", "fiftyone"])
def test_a_folder_of_other_files_is_refused_and_stays(dataset, tmp_path, name):
    photos = tmp_path / "photos/images/train"
    photos.mkdir(parents=True)
    for i in range(3):
        (photos / f"{dataset.image_ids[i]}.jpg").write_bytes(b"holiday")
    before = contents(tmp_path)
    export = getattr(formats, f"export_{name}")
    for target in (tmp_path / "photos", photos):
        with pytest.raises(ValueError, match="holds something else than an earlier result"):
            export(dataset, target)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["yolo", "parquet", "fiftyone"])
def test_targets_in_and_around_the_data_are_refused(dataset, demo_store, tmp_path, name):
    export = getattr(formats, f"export_{name}")
    for target in (demo_store, demo_store / "train", demo_store / "train/out", dataset.image_root):
        with pytest.raises(ValueError, match=r"which is read|is what is read"):
            export(dataset, target)
    with pytest.raises(ValueError, match="lies inside"):
        export(dataset, Path(dataset.image_root, "new"))
    assert not Path(dataset.image_root, "new").exists()


def test_the_marker_names_format_and_files(dataset, tmp_path):
    export_yolo(dataset, tmp_path / "y")
    marker = json.loads((tmp_path / "y" / MARKER).read_bytes())
    assert marker["format"] == "yolo" and list(marker["splits"]) == ["train"]
    assert marker["splits"]["train"]["files"] == sorted(contents(tmp_path / "y").keys() - {MARKER})


def test_a_smaller_split_leaves_nothing_of_the_larger_one(dataset, tmp_path):
    take_subset(dataset, tmp_path / "small/train", fraction=0.3)
    small = opened(tmp_path / "small/train")
    for name in ("yolo", "fiftyone", "parquet"):
        export = getattr(formats, f"export_{name}")
        export(dataset, tmp_path / name)
        (tmp_path / name / "notes.txt").write_text("mine")
        export(small, tmp_path / name)
        files = contents(tmp_path / name)
        assert files.pop("notes.txt") == b"mine"
        export(small, tmp_path / f"new {name}")
        new = contents(tmp_path / f"new {name}")
        assert files.keys() == new.keys()
        assert all(files[key] == new[key] for key in files.keys() - {"data.yaml"})


def test_another_format_leaves_nothing_of_the_first(dataset, tmp_path):
    export_yolo(dataset, tmp_path / "out")
    export_parquet(dataset, tmp_path / "out")
    assert contents(tmp_path / "out").keys() == {MARKER, "images.parquet", "garments.parquet"}
    assert not (tmp_path / "out/images").exists()


@pytest.mark.parametrize("order", [("train", "val"), ("val", "train")])
def test_after_a_new_division_no_image_lies_in_two_splits(dataset, tmp_path, order, caplog):
    export_yolo(dataset, tmp_path / "y")
    resplit([dataset], tmp_path / "new", {"train": 0.5, "val": 0.5})
    for split in order:
        export_yolo(opened(tmp_path / "new" / split), tmp_path / "y")
    stems = {
        kind: {s: {p.stem for p in (tmp_path / "y" / kind / s).iterdir()} for s in order}
        for kind in ("images", "labels")
    }
    for kind in ("images", "labels"):
        assert not stems[kind]["train"] & stems[kind]["val"]
        assert {int(stem) for split in order for stem in stems[kind][split]} == set(dataset.image_ids.tolist())
    assert ("it goes" in caplog.text) == (order == ("val", "train"))
    data = yaml.safe_load((tmp_path / "y/data.yaml").read_text("utf-8"))
    assert (data["train"], data["val"]) == ("images/train", "images/val")


def test_splits_of_two_stores_that_share_no_image_stay_together(demo_store, dataset, tmp_path):
    take_subset(dataset, tmp_path / "small/train", fraction=0.3)
    export_yolo(opened(tmp_path / "small/train"), tmp_path / "y")
    export_yolo(opened(demo_store / "val"), tmp_path / "y")
    assert len(list((tmp_path / "y/labels/train").iterdir())) == len(opened(tmp_path / "small/train"))


def test_an_export_that_fails_changes_nothing(tmp_path):
    make_demo_data(tmp_path / "data", num_train=4, num_val=0, seed=1)
    convert_dataset(tmp_path / "data", tmp_path / "store")
    dataset = opened(tmp_path / "store/train")
    export_yolo(dataset, tmp_path / "y")
    before = contents(tmp_path / "y")
    Path(dataset[2]["file_name"]).unlink()
    for target in ("y", "new"):
        with pytest.raises(FileNotFoundError):
            export_yolo(dataset, tmp_path / target)
    assert contents(tmp_path / "y") == before
    assert not (tmp_path / "new").exists()


def test_a_file_of_the_user_in_the_way_is_refused(demo_store, dataset, tmp_path):
    export_yolo(dataset, tmp_path / "y")
    val = opened(demo_store / "val")
    (tmp_path / "y/labels/val").mkdir()
    (tmp_path / f"y/labels/val/{val.image_ids[0]}.txt").write_text("mine")
    before = contents(tmp_path / "y")
    with pytest.raises(ValueError, match=f"{val.image_ids[0]}.txt is of no earlier export"):
        export_yolo(val, tmp_path / "y")
    assert contents(tmp_path / "y") == before


@pytest.mark.parametrize("text", [b"[]", b"{", b'{"format": "yolo", "splits": {"a": {"files": ["../x"]}}}'])
def test_a_damaged_marker_is_refused(dataset, tmp_path, text):
    (tmp_path / "y").mkdir()
    (tmp_path / "x").write_text("outside")
    (tmp_path / "y" / MARKER).write_bytes(text)
    with pytest.raises(ValueError, match=f"{MARKER} is damaged"):
        export_yolo(dataset, tmp_path / "y")
    assert (tmp_path / "x").read_text() == "outside"


@pytest.mark.parametrize("name", ["coco", "fashionpedia"])
def test_a_file_that_is_no_export_is_refused(dataset, tmp_path, name):
    export = getattr(formats, f"export_{name}")
    for existing in (b"\xff\xd8 a photograph", b'{"images": []}'):
        (tmp_path / "a.json").write_bytes(existing)
        with pytest.raises(ValueError, match=r"a\.json is not an export of this tool"):
            export(dataset, tmp_path / "a.json")
        assert (tmp_path / "a.json").read_bytes() == existing
    with pytest.raises(ValueError, match="is a folder: this format is one file"):
        export(dataset, tmp_path)
    with pytest.raises(ValueError, match="lies inside"):
        export(dataset, dataset.split_dir / "a.json")
    first = export(dataset, tmp_path / "b.json").read_bytes()
    assert export(dataset, tmp_path / "b.json").read_bytes() == first


def test_importing_replaces_a_split_only(dataset, tmp_path):
    file = export_coco(dataset, tmp_path / "val.json")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "photos/holiday0.jpg")
    before = contents(tmp_path)
    for target in ("photos", ".", "val.json"):
        with pytest.raises(ValueError):
            import_coco(file, tmp_path / target)
    with pytest.raises(ValueError, match="lies inside"):
        import_coco(file, Path(dataset.image_root, "store"))
    assert contents(tmp_path) == before
    import_coco(file, tmp_path / "mine/train")
    assert import_coco(file, tmp_path / "mine/train")["images"] == len(dataset)
    (tmp_path / "mine/train/holiday.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"would be replaced, but also holds holiday\.jpg"):
        import_coco(file, tmp_path / "mine/train")


def test_splitting_replaces_a_split_only(demo_store, dataset, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"x")
    before = contents(tmp_path)
    for output in (tmp_path / "photos", demo_store, Path(dataset.image_root, "new")):
        with pytest.raises(ValueError):
            take_subset(dataset, output, fraction=0.5)
    with pytest.raises(ValueError, match="photos holds something else"):
        resplit([dataset], tmp_path, {"new": 0.5, "photos": 0.5})
    assert contents(tmp_path) == before


def test_the_tool_says_so_in_one_line(demo_store, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"x")
    command = [sys.executable, TOOL, demo_store / "val", "--format", "yolo", "--output", tmp_path / "photos"]
    run = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOOL.parents[1])}
    )
    assert run.returncode == 1 and run.stdout == ""
    assert run.stderr.startswith("export_data.py: error: ") and run.stderr.count("\n") == 1
    assert os.listdir(tmp_path / "photos") == ["a.jpg"]
    assert export_fiftyone(opened(demo_store / "val"), tmp_path / "f") == tmp_path / "f"
