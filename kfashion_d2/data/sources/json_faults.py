"""This module says for people what is wrong with a file that should be JSON, and where."""

from __future__ import annotations

import json

__all__ = ["describe_json_fault"]

_PYTHON_WORDS = ("None", "True", "False", "nan", "inf")


def describe_json_fault(error: Exception) -> str:
    """
    Describe why a text is no JSON.

    Args:
        error: what Python's parser raised.

    Returns:
        The position and the cause, as in "line 3, column 5: comma before }".
    """
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1}: neither UTF-8 nor cp949"
    if isinstance(error, RecursionError):
        return "nested too deep"
    if not isinstance(error, json.JSONDecodeError):
        return str(error)
    return f"line {error.lineno}, column {error.colno}: {_cause(error)}"


def _cause(error: json.JSONDecodeError) -> str:
    text, before, rest = error.doc, error.doc[: error.pos].rstrip(), error.doc[error.pos :].lstrip()
    if not text.strip():
        return "the file is empty"
    if text.startswith("version https://git-lfs"):
        return "a pointer of Git LFS in place of the file"
    if text.lstrip().startswith("<"):
        return "HTML or XML"
    if not rest or error.msg.startswith("Unterminated string"):
        return "the file ends too early"
    following = rest[1:].lstrip() if rest[0] == "," else rest  # Python 3.13 points to the comma
    if (before.endswith(",") or rest[0] == ",") and following[:1] in ("}", "]"):
        return f"comma before {following[0]}"
    if rest[0] == "'":
        return "single quotes"
    if rest.startswith(("//", "/*", "#")):
        return "a comment"
    if rest.startswith(_PYTHON_WORDS):
        return "a value as Python writes it"
    if error.msg == "Extra data":
        return "something follows the JSON value"
    if error.msg.startswith("Expecting ',' delimiter"):
        return "a comma is missing"
    return error.msg[0].lower() + error.msg[1:]
