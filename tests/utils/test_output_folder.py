import pytest

from kfashion_d2.utils.output_folder import check_output_folder


def test_new_empty_and_own_folders_pass(tmp_path):
    check_output_folder(tmp_path / "new/deeper", marker="mark.json")
    (tmp_path / "empty").mkdir()
    check_output_folder(tmp_path / "empty", marker="mark.json")
    (tmp_path / "empty/.DS_Store").write_bytes(b"")
    (tmp_path / "empty/Thumbs.db").write_bytes(b"")
    check_output_folder(tmp_path / "empty", marker="mark.json")
    (tmp_path / "made").mkdir()
    for name in ("mark.json", "result.txt"):
        (tmp_path / "made" / name).write_text("x")
    check_output_folder(tmp_path / "made", marker="mark.json")
    check_output_folder(tmp_path / "made", marker=lambda folder: (folder / "result.txt").is_file())


def test_folders_of_others_are_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"x")
    for marker in ("mark.json", lambda folder: (folder / "mark.json").is_file()):
        with pytest.raises(ValueError, match=r"photos holds something else .*\(a\.jpg and 2 more\).*another folder"):
            check_output_folder(tmp_path / "photos", marker=marker)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden/.git").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for name, content in (("hidden", r"\.git"), ("link", r"a\.jpg and 2 more")):
        with pytest.raises(ValueError, match=rf"{name} holds something else .*\({content}\)"):
            check_output_folder(tmp_path / name, marker="mark.json")
    for path in ("photos/a.jpg", "photos/a.jpg/deeper"):
        with pytest.raises(ValueError, match=r"a\.jpg is a file: give a folder"):
            check_output_folder(tmp_path / path, marker="mark.json")


def test_folders_in_and_around_what_is_read_are_refused(tmp_path):
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for target, message in (
        (data, "is what is read"),
        (tmp_path / "link", "is what is read"),
        (data / "train", "lies inside"),
        (tmp_path / "link/out/deeper", "lies inside"),
        (tmp_path, "holds .*data, which is read"),
        (data / "../data/out", "lies inside"),
    ):
        with pytest.raises(ValueError, match=message):
            check_output_folder(target, marker="mark.json", sources=[data])
    check_output_folder(tmp_path / "data_out", marker="mark.json", sources=[data])  # a name that begins like another's
    (data / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"holds .*a\.json"):
        check_output_folder(data, marker="mark.json", sources=[data / "a.json"])
