"""
This module lets packages load their names on first use (PEP 562), so that importing one ring never imports a higher
one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["lazy_exports", "needs_detectron2"]

REMEDY = (
    "this part of kfashion_d2 needs Detectron2, which is not installed. Run 'python tools/install_detectron2.py', "
    "or see https://github.com/facebookresearch/detectron2"
)


@contextmanager
def needs_detectron2() -> Iterator[None]:
    """
    Say how to get Detectron2 where an import inside the block finds that it is missing.

    Raises:
        ModuleNotFoundError: Detectron2 is not installed, with the remedy; any other missing module as it was.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "detectron2" or str(error) == REMEDY:
            raise
        raise ModuleNotFoundError(REMEDY, name="detectron2") from error


def lazy_exports(package: str, names: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """
    Make the two functions with which a package loads its names on first use.

    Args:
        package: the package's ``__name__``.
        names: public name -> submodule that defines it, as in ``{"parse_annotation": ".parser"}``.

    Returns:
        The package's ``__getattr__`` and ``__dir__``. Where a name needs Detectron2 and there is none, the error of
        :func:`needs_detectron2` says how to get it.
    """

    def __getattr__(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with needs_detectron2():
            return getattr(importlib.import_module(names[name], package), name)

    def __dir__() -> list[str]:
        return sorted(names)

    return __getattr__, __dir__
