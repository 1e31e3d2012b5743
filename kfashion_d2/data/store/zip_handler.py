"""
This module lets Detectron2's PathManager open images inside zip archives: stock mappers, tools and drawing read them
too.
"""

from __future__ import annotations

import hashlib
import io
import os
from typing import IO, Any

from iopath.common.file_io import PathHandler, get_cache_dir

from ...utils.files import write_file
from .zip_reader import PREFIX, parse_zip_uri, read_zip_uri

__all__ = ["ZipPathHandler", "register_zip_handler"]


class ZipPathHandler(PathHandler):
    """This handler reads ``kfashion-zip://`` URIs, see :func:`zip_uri`; there is no writing."""

    def _get_supported_prefixes(self) -> list[str]:
        return [PREFIX]

    def _open(self, path: str, mode: str = "r", buffering: int = -1, **kwargs: Any) -> IO:
        if set(mode) - set("rbt"):
            raise ValueError(f"mode {mode!r}: {path} can only be read")
        data = io.BytesIO(read_zip_uri(path))
        return data if "b" in mode else io.TextIOWrapper(data, encoding=kwargs.get("encoding", "utf-8"))

    def _get_local_path(self, path: str, force: bool = False, **kwargs: Any) -> str:
        _, name, _ = parse_zip_uri(path)
        folder = os.path.join(get_cache_dir(), "kfashion_d2")
        target = os.path.join(folder, hashlib.sha256(path.encode()).hexdigest()[:16] + os.path.splitext(name)[1])
        if force or not os.path.isfile(target):
            write_file(target, read_zip_uri(path))
        return target

    def _exists(self, path: str, **kwargs: Any) -> bool:
        try:
            return os.path.isfile(parse_zip_uri(path)[0])
        except ValueError:
            return False

    _isfile = _exists

    def _isdir(self, path: str, **kwargs: Any) -> bool:
        return False


def register_zip_handler() -> None:
    """Tell Detectron2's PathManager, where there is a Detectron2. The same call again does nothing."""
    try:
        from detectron2.utils.file_io import PathManager
    except ImportError:
        return
    PathManager.register_handler(ZipPathHandler(), allow_override=True)
