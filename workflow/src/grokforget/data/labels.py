"""Labels of any type as classes 0 to K-1."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from grokforget.data.refusal import DataError, check_finite, listed

WHOLE = re.compile(r"-?\d+")


def known_classes(values: np.ndarray, names: tuple[str, ...], place: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """As ``classes_of`` for classes that are known: ``values`` (N,) are whole numbers in [0, K), and every class is there.
    DataError where they are not."""
    if values.dtype.kind not in "iu":
        raise DataError(place, "labels of another type", values.dtype, "whole numbers")
    allowed = f"0 to {len(names) - 1}, a class of {len(names)} for every example"
    out = np.flatnonzero((values < 0) | (values >= len(names)))
    if len(out):
        found = f"{values[out[0]]}, that of example {out[0]}" + (f", and {len(out) - 1} more" if len(out) > 1 else "")
        raise DataError(place, "labels out of range", found, allowed)
    empty = [name for label, name in enumerate(names) if not np.any(values == label)]
    if empty:
        raise DataError(place, "classes without examples", listed(empty), "at least one example of every class")
    return values.astype(np.int64), names


def classes_of(values: np.ndarray, place: str | Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The class of every example, int64 (N,) in [0, K), and the names of the K classes as the data have them.

    ``values`` (N,) are whole numbers of any type, booleans or texts. Classes are in the order of their numbers, which texts
    may be too, or of the alphabet. DataError where a label is missing or no whole number, or where there is one class only;
    ``place`` is where the labels stand.
    """
    given: np.ndarray = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    if given.dtype.kind not in "biufU":
        raise DataError(place, "labels of another type", given.dtype, "whole numbers, booleans or texts")
    if given.dtype.kind == "f":
        check_finite(place, "labels", given)
        broken = given[given != np.floor(given)]
        if len(broken):
            found = f"{broken[0]} and {len(broken) - 1} more"
            raise DataError(place, "labels that are no whole numbers", found, "a class for every example")
    classes, labels = np.unique(given, return_inverse=True)
    names = [str(int(value)) if given.dtype.kind == "f" else str(value) for value in classes]
    if "" in names:
        missing = int(np.sum(given == ""))
        raise DataError(place, "labels that are missing", f"{missing} empty texts", "a class for every example")
    if len(names) < 2:
        raise DataError(place, "a single class", ", ".join(map(repr, names)) or "no example", "two classes or more")
    if given.dtype.kind == "U" and all(WHOLE.fullmatch(name) for name in names):
        order = sorted(range(len(names)), key=lambda position: (int(names[position]), names[position]))
        labels, names = np.argsort(order)[labels], [names[position] for position in order]
    return labels.astype(np.int64), tuple(names)
