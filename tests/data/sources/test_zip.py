import os
import random
import struct
import unicodedata
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pytest
from detectron2.data.detection_utils import read_image
from detectron2.utils.file_io import PathManager
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fuzzing.checks import check_archive
from kfashion_d2.data.sources import zip_index
from kfashion_d2.data.sources.zip_index import entry_fault, read_zip_index
from kfashion_d2.data.store.zip_handler import register_zip_handler
from kfashion_d2.data.store.zip_reader import (
    EntryLocation,
    ZipChangedError,
    ZipEntryError,
    parse_zip_uri,
    read_at,
    read_entry,
    read_zip_uri,
    zip_uri,
)
from kfashion_d2.schema import kfashion_schema
from tests.data.annotations import write_zip

NAMES = ["모던/1.json", "a b/2.jpg", "x.txt", "folder/", "펑크/3.json"]


def without_utf8_flag(path):
    """Rewrites the names in cp949 and clears the flag, as Korean Windows tools write them."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
    for info in infos:
        old, new = info.filename.encode("utf-8"), info.filename.encode("cp949")
        new += b"_" * (len(old) - len(new))
        at = data.find(old)
        while at >= 0:
            data[at : at + len(old)] = new
            at = data.find(old)
    for signature, location in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = data.find(signature)
        while at >= 0:
            (flags,) = struct.unpack_from("<H", data, at + location)
            struct.pack_into("<H", data, at + location, flags & ~(1 << 11))
            at = data.find(signature, at + 4)
    path.write_bytes(data)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_index_and_bytes_equal_zipfile(tmp_path, method):
    rng = random.Random(0)
    files = {name: b"" if name.endswith("/") else rng.randbytes(rng.choice([0, 10, 5000])) * 3 for name in NAMES}
    path = write_zip(tmp_path / "a.zip", files, method)
    # Something before the archive, and a comment behind it.
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"PK\1\2 a comment"
    path.write_bytes(b"stub" * 9 + path.read_bytes())
    entries = list(read_zip_index(path))
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        assert [(e.name, e.offset, e.compressed_size, e.size, e.method, e.crc, e.encrypted) for e in entries] == [
            (i.filename, i.header_offset, i.compress_size, i.file_size, i.compress_type, i.CRC, False) for i in infos
        ]
    fd = os.open(path, os.O_RDONLY)
    for entry in entries:
        data = read_at(fd, entry.offset, entry.compressed_size, entry.size, entry.method, "a.zip")
        assert data == files[entry.name] and zlib.crc32(data) == entry.crc
    os.close(fd)


def test_zip64(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive, archive.open("모던/1.json", "w", force_zip64=True) as file:
        file.write(b"{}")
    (entry,) = read_zip_index(path)
    assert (entry.name, entry.size) == ("모던/1.json", 2)
    # A table of contents in the Zip64 form, with all three numbers in the extra field: made by hand.
    name = b"b.jpg"
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 0, 0, 0, 0, 3, 3, len(name), 0) + name + b"xyz"
    extra = struct.pack("<2H3Q", 1, 24, 3, 3, 0)
    central = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 0, 0, 0, 0, *[0xFFFFFFFF] * 2, len(name), 28, 0, 0, 0, 0, 0xFFFFFFFF
    )
    central += name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(central), len(local))
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(local) + len(central), 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, *[0xFFFFFFFF] * 2, 0)
    path.write_bytes(local + central + end64 + locator + end)
    (entry,) = read_zip_index(path)
    assert (entry.offset, entry.compressed_size, entry.size) == (0, 3, 3)
    fd = os.open(path, os.O_RDONLY)
    assert read_at(fd, 0, 3, 3, 0, "") == b"xyz"
    os.close(fd)


def test_names_without_the_utf8_flag(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"모던/1.json": b"{}"})
    without_utf8_flag(path)
    (entry,) = read_zip_index(path)
    assert entry.name.startswith("모던/1.json")


@pytest.mark.parametrize("style", ["키치", "모던", "기타", "소피스트케이티드"])
@pytest.mark.parametrize("encoding", ["cp949", "utf-8"])
def test_styles_without_the_utf8_flag(tmp_path, style, encoding):
    """키치 in cp949 happens to be UTF-8 too; every style of the real archives, and NFD names."""
    path = tmp_path / "a.zip"
    for name in {style, unicodedata.normalize("NFD", style) if encoding == "utf-8" else style}:
        raw = name.encode(encoding) + b"/1.json"
        data = write_zip(path, {"a" * len(raw): b"{}"}).read_bytes()
        path.write_bytes(data.replace(b"a" * len(raw), raw))
        assert [entry.name for entry in read_zip_index(path)] == [f"{name}/1.json"]


def test_every_style_of_the_vocabulary_without_the_flag(tmp_path):
    path = tmp_path / "a.zip"
    for style in kfashion_schema().styles.labels:
        raw = style.korean.encode("cp949")
        path.write_bytes(write_zip(path, {"a" * len(raw): b"{}"}).read_bytes().replace(b"a" * len(raw), raw))
        assert [entry.name for entry in read_zip_index(path)] == [style.korean]


NAMES_AS_STORED = st.lists(
    st.tuples(
        st.sampled_from(["키치/1.json", "모던/2.jpg", "a.json", "é.png", "ÅŰ.zip", "\u1112\u1161/3.json"]),
        st.sampled_from(["utf-8", "cp949", "latin-1"]),
        st.sampled_from([0, 1 << 11]),
    )
)


@given(NAMES_AS_STORED, st.binary(max_size=8))
def test_names_read_together_equal_each_read_alone(names, any_bytes):
    """Those of an archive go through Arrow at once; what they are follows from each one's bytes and flag only."""
    raw = [name.encode(encoding, "ignore") for name, encoding, _ in names] + [any_bytes]
    flags = [flag for *_, flag in names] + [0]
    found = zip_index._decode_all(pa.array(raw, pa.large_binary()), np.array(flags, dtype=np.uint16))
    assert found.to_pylist() == [zip_index._decode(*pair) for pair in zip(raw, flags, strict=True)]


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=400), how=st.sampled_from(["alone", "head", "tail", "middle"]), at=st.integers(0, 500))
def test_any_bytes_are_an_index_or_a_named_error(tmp_path_factory, data, how, at):
    folder = tmp_path_factory.getbasetemp()
    whole = write_zip(folder / "fuzz.zip", {"모던/1.json": b"{}" * 50, "2.jpg": b"x"}).read_bytes()
    at %= len(whole)
    mixed = {
        "alone": data,
        "head": data + whole,
        "tail": whole[:at] + data,
        "middle": whole[:at] + data + whole[at + len(data) :],
    }[how]
    check_archive(mixed, folder / "fuzz.zip")


def test_faults(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.json": b"{}"})
    (entry,) = read_zip_index(path)
    faults = {
        "": entry,
        "zip entry encrypted": entry._replace(encrypted=True),
        "zip entry of an unknown compression": entry._replace(method=14),
        "zip entry too large": entry._replace(size=1001),
        "zip entry of two sizes": entry._replace(method=0, size=3, compressed_size=2),
    }
    for reason, changed in faults.items():
        assert entry_fault(changed, 1000) == reason
    for name in ("../1.json", "a/../../1.json", "/etc/1.json", "C:\\1.json", "a\\..\\..\\1.json"):
        assert entry_fault(entry._replace(name=name), 1000) == "zip entry leaves the folder"


def test_a_bomb_that_lies_is_stopped_at_its_declared_size(tmp_path):
    content = b"\0" * 10_000_000
    path = write_zip(tmp_path / "a.zip", {"1.json": content})
    (entry,) = read_zip_index(path)
    fd = os.open(path, os.O_RDONLY)
    with pytest.raises(ZipEntryError, match="not of the 100 bytes"):
        read_at(fd, entry.offset, entry.compressed_size, 100, entry.method, "a.zip")
    os.close(fd)


@pytest.fixture
def picture(tmp_path):
    """A zip with a picture, and its URI."""
    image = tmp_path / "1.png"
    Image.new("RGB", (7, 5), (10, 20, 30)).save(image)
    path = write_zip(tmp_path / "원천데이터_1.zip", {"모던/1.png": image.read_bytes()})
    (entry,) = read_zip_index(path)
    stat = path.stat()
    location = EntryLocation(
        entry.offset, entry.compressed_size, entry.size, entry.method, stat.st_size, stat.st_mtime_ns
    )
    return path, zip_uri(str(path), entry.name, location), image.read_bytes()


def test_uri(picture):
    path, uri, data = picture
    found_path, name, location = parse_zip_uri(uri)
    assert (found_path, name) == (str(path), "모던/1.png")
    assert zip_uri(found_path, name, location) == uri
    assert os.path.basename(uri) == "1.png"
    assert read_zip_uri(uri) == data
    for wrong in ("1.png", "kfashion-zip://1-2-3/a.zip!/1.png", uri.replace("!/", "/"), "kfashion-zip://"):
        with pytest.raises(ValueError, match="URI"):
            parse_zip_uri(wrong)


def test_detectron2_reads_it(picture, tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    _, uri, data = picture
    register_zip_handler()
    register_zip_handler()
    assert read_image(uri, "RGB")[4, 6].tolist() == [10, 20, 30]
    assert PathManager.exists(uri) and PathManager.isfile(uri) and not PathManager.isdir(uri)
    assert not PathManager.exists(uri.replace("원천데이터_1", "원천데이터_2"))
    with open(PathManager.get_local_path(uri), "rb") as file:
        assert file.read() == data
    with pytest.raises(ValueError, match="only be read"):
        PathManager.open(uri, "wb")


def test_an_archive_that_changed_is_refused(picture):
    path, uri, _ = picture
    _, _, location = parse_zip_uri(uri)
    os.utime(path, ns=(0, location.zip_mtime_ns + 1))
    with pytest.raises(
        ZipChangedError, match=r"원천데이터_1\.zip changed since the conversion.*Convert the data again"
    ):
        read_entry(str(path), location)
    os.utime(path, ns=(0, location.zip_mtime_ns))
    with open(path, "ab") as file:
        file.write(b"more")
    with pytest.raises(ZipChangedError):
        read_entry(str(path), location)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_read_at_once(picture, method):
    """Through one descriptor that they inherited, or their own."""
    _, uri, data = picture
    assert read_zip_uri(uri) == data
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        assert set(pool.map(read_zip_uri, [uri] * 50)) == {data}


@pytest.mark.parametrize("comment", [b"PK\5\6 in a comment", b"PK\5\6" * 12])
def test_a_comment_may_look_like_an_end(tmp_path, comment):
    path = write_zip(tmp_path / "a.zip", {"1.json": b"{}"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = comment
    assert [entry.name for entry in read_zip_index(path)] == ["1.json"]


def test_something_behind_the_archive(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"1.json": b"{}"})
    path.write_bytes(path.read_bytes() + b"\0" * 10)
    assert [entry.name for entry in read_zip_index(path)] == ["1.json"]


def test_a_file_that_took_the_archives_name_is_read(picture):
    """The old one is still open in this process; the URI is of the new one."""
    path, uri, data = picture
    assert read_zip_uri(uri) == data
    other = write_zip(path.with_name("new.zip"), {"모던/1.png": data, "모던/2.png": b"more"})
    (entry, _), stat = read_zip_index(other), other.stat()
    os.replace(other, path)
    location = EntryLocation(
        entry.offset, entry.compressed_size, entry.size, entry.method, stat.st_size, stat.st_mtime_ns
    )
    assert read_zip_uri(zip_uri(str(path), entry.name, location)) == data
    with pytest.raises(ZipChangedError):
        read_zip_uri(uri)
