"""
This module computes F1 between two sets of attributes, as Fashionpedia's metric takes it, and what answers that know
nothing get.

Shapes: N garments, P pairs of a garment and a detection, A attributes; sets are packed bits, uint8 (., ceil(A / 8)).
"""

from __future__ import annotations

import numpy as np

__all__ = ["F1_TYPES", "chance_levels", "check_f1_type", "count_attributes", "f1_from_counts"]

F1_TYPES = ("binary_macro", "binary_micro", "micro", "macro")

_POPCOUNT = np.array([bin(i).count("1") for i in range(256)], dtype=np.uint8)
_LEVELS = (0.5, 0.75)
_ANSWERS = ("nothing", "all_wrong", "commonest")


def check_f1_type(f1_type: str) -> None:
    """
    Refuse an unknown type of F1.

    Raises:
        ValueError: there is no such type.
    """
    if f1_type not in F1_TYPES:
        raise ValueError(f"f1_type is {f1_type!r}; choose one of {', '.join(F1_TYPES)}")


def count_attributes(packed: np.ndarray) -> np.ndarray:
    """Count the attributes in each set; int64 (N,)."""
    return _POPCOUNT[packed].sum(axis=1, dtype=np.int64)


def f1_from_counts(
    both: np.ndarray, true: np.ndarray, pred: np.ndarray, num_attributes: int, f1_type: str
) -> np.ndarray:
    """
    Compute what scikit-learn's ``f1_score`` gives for the multi-hot vectors of the truth and the answer, to the bit:

    - ``binary_macro``: mean of the F1 of "present" and the F1 of "absent", over the A entries of the vector; of one
      of them where the other occurs in neither vector.
    - ``binary_micro``: the share of the A entries that are right.
    - ``micro``: F1 of "present"; 0 where both are empty.
    - ``macro``: attributes in both, divided by A. Its mean is over all attributes, so that even a perfect answer gets
      only the share of the vocabulary that is true.

    With one attribute in all, ``micro`` and ``macro`` are the binary ones.

    Args:
        both, true, pred: int (P,), attributes in both sets, in the truth, in the answer.
        num_attributes: A, at least 1.
        f1_type: one of F1_TYPES.

    Returns:
        float64 (P,).
    """
    if num_attributes == 1 and not f1_type.startswith("binary_"):
        f1_type = f"binary_{f1_type}"
    neither = num_attributes - true - pred + both
    if f1_type == "binary_micro":
        return 2.0 * (both + neither) / (2 * num_attributes)
    if f1_type == "macro":
        return both / float(num_attributes)
    listed, unlisted = true + pred, 2 * num_attributes - true - pred
    present = 2.0 * both / np.maximum(listed, 1)
    if f1_type == "micro":
        return present
    absent = 2.0 * neither / np.maximum(unlisted, 1)
    return np.where(listed == 0, absent, np.where(unlisted == 0, present, (absent + present) / 2))


def chance_levels(attributes: np.ndarray, num_attributes: int, f1_type: str = "binary_macro") -> dict[str, float]:
    """
    Compute the F1 of answers that know nothing of the garment: what a result has to be read against. A vocabulary is
    long and a garment has few of its attributes, so that "absent" is nearly always right.

    - ``nothing/F1``: of an empty answer.
    - ``all_wrong/F1``: of an answer as long as the truth, without one true attribute in it (with more than half of
      the vocabulary true, as few as can be).
    - ``commonest/F1``: of the same answer for every garment: the attributes that more than half of them have.

    With ``nothing/F150``, ``nothing/F175`` and so on: the share of garments for which the answer reaches that F1, the
    AP_F150 and AP_F175 that it could reach with perfect boxes.

    Args:
        attributes: uint8 (N, ceil(A / 8)), the garments' true sets, as ``pack_attributes`` gives them.
        num_attributes: A.
        f1_type: one of F1_TYPES.

    Returns:
        floats, 0 to 1; NaN without garments or attributes.

    Raises:
        ValueError: there is no such f1_type.
    """
    check_f1_type(f1_type)
    names = [f"F1{int(100 * level)}" for level in _LEVELS]
    if not len(attributes) or not num_attributes:
        return {f"{answer}/{name}": float("nan") for answer in _ANSWERS for name in ("F1", *names)}
    true = count_attributes(attributes)
    frequency = sum(
        np.unpackbits(attributes[start : start + 65536], axis=1).sum(axis=0, dtype=np.int64)
        for start in range(0, len(attributes), 65536)
    )
    commonest = np.packbits(frequency > len(attributes) / 2)
    wrong = np.minimum(true, num_attributes - true)
    length = np.full_like(true, count_attributes(commonest[None])[0])
    shared = count_attributes(attributes & commonest)
    none = np.zeros_like(true)
    levels: dict[str, float] = {}
    for answer, (both, pred) in zip(_ANSWERS, [(none, none), (none, wrong), (shared, length)], strict=True):
        f1 = f1_from_counts(both, true, pred, num_attributes, f1_type)
        levels[f"{answer}/F1"] = float(f1.mean())
        for name, level in zip(names, _LEVELS, strict=True):
            levels[f"{answer}/{name}"] = float((f1 >= level).mean())
    return levels
