"""What all data sets have in common that are read from files of the user's: labels, normalisation and split."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from grokforget.data.examples import ExampleTable, Split, drawn_by_class
from grokforget.data.labels import classes_of, known_classes
from grokforget.data.normalise import normalised, pixel_constants
from grokforget.data.refusal import DataError, check_finite

GIVEN = ("train", "test")
"""What an example of a given split may belong to."""


class Raw(NamedTuple):
    """What was read of N examples."""

    inputs: np.ndarray
    """(N, features) or (N, channels, height, width), numbers of any real type."""
    labels: np.ndarray
    """(N,), of any type that ``classes_of`` takes."""
    parts: np.ndarray | None = None
    """(N,) texts of ``GIVEN``, where the data bring a test set along."""
    labels_at: str = "y"
    """What the labels are called in the file; below, what the inputs and the parts are."""
    inputs_at: str = "x"
    parts_at: str = "split"
    names: tuple[str, ...] = ()
    """What the classes are called, where the labels are their numbers 0 to K-1 and all of them must be there."""


@dataclass(frozen=True, kw_only=True)
class OwnData:
    """A data set that ``examples`` reads from a path.

    ``train``, ``validation`` and ``test`` are numbers of examples (int) or shares (float) of all that are not in a given test
    set, where there is one ``test`` of that; ``test`` None is all that are left over, or all that are given. ``sampling`` is
    ``stratified`` or ``balanced``, ``normalise`` is ``none``, ``standardise`` or ``mean`` and ``std`` of images' channels.
    """

    train: int | float
    validation: int | float
    test: int | float | None
    sampling: str
    normalise: str | dict[str, list[float]]

    def examples(self, *files: Path) -> ExampleTable:
        """All examples, images of uint8 as they are and all others float32. Raises DataError where what the files hold cannot be
        used, or not be split as asked."""
        raw, place = self.read(*files), self.place(*files)
        if not raw.inputs.size:
            raise DataError(
                place, f"{raw.inputs_at} without values", f"shape {raw.inputs.shape}", "examples with values"
            )
        labels_at = f"{place}: {raw.labels_at}"
        labels, names = (
            known_classes(raw.labels, raw.names, labels_at) if raw.names else classes_of(raw.labels, labels_at)
        )
        test = None if raw.parts is None else given_test(raw.parts, f"{place}: {raw.parts_at}")
        others = np.delete(np.arange(len(labels)), () if test is None else test)
        self.counts(np.bincount(labels[others], minlength=len(names)), names, test is not None, place)
        if test is not None:
            self.of_given(labels[test], names, place)
        if raw.inputs.dtype == np.uint8 and raw.inputs.ndim == 4:
            mean, std = pixel_constants(raw.inputs, others, self.normalise, place)
            return ExampleTable(raw.inputs, labels, len(names), names=names, test=test, mean=mean, std=std)
        check_finite(place, raw.inputs_at, raw.inputs)
        inputs = normalised(raw.inputs, others, self.normalise, place)
        with np.errstate(over="ignore"):
            inputs = inputs.astype(np.float32)
        check_finite(place, f"{raw.inputs_at}, as float32,", inputs)
        return ExampleTable(inputs, labels, len(names), names=names, test=test)

    def read(self, *files: Path) -> Raw:
        """What the files hold. Raises DataError."""
        raise NotImplementedError

    def place(self, *files: Path) -> Path:
        """What messages call the files by."""
        return Path(os.path.commonpath(files))

    def split(self, labels: np.ndarray, generator: np.random.Generator, test: np.ndarray | None = None) -> Split:
        """Train, validation and test examples drawn anew, the latter from those with the indices ``test`` where these are
        given; all of them where it has no size."""
        free = np.delete(np.arange(len(labels)), () if test is None else test)
        classes = np.unique(labels)
        sizes = np.array([np.sum(labels[free] == label) for label in classes])
        counts = self.counts(sizes, tuple(map(str, classes)), test is not None)
        train, validation, *drawn, _ = (free[part] for part in drawn_by_class(labels[free], counts, generator))
        if test is None:
            return Split(train, validation, drawn[0])
        if self.test is not None:
            test = test[drawn_by_class(labels[test], self.of_given(labels[test])[None], generator)[0]]
        return Split(train, validation, test)

    def counts(
        self, sizes: np.ndarray, names: tuple[str, ...], has_test: bool, place: str | Path = "the split"
    ) -> np.ndarray:
        """How many examples of each class go into train, validation and, unless it is given, test: int64 (parts, K).

        ``sizes`` (K,) are the classes' examples outside a given test set, ``names`` what they are called. Raises DataError
        where a class is too small for what is asked.
        """
        asked = {"train": self.train, "validation": self.validation}
        if not has_test:
            asked["test"] = 1.0 if self.test is None else self.test
        smallest = int(np.argmin(sizes))
        if sizes[smallest] < len(asked):
            found = f"{sizes[smallest]} in class {names[smallest]!r}" + (" outside the test set" if has_test else "")
            allowed = f"at least {len(asked)} in each class, one for each of {', '.join(asked)}"
            raise DataError(place, "a class with too few examples", found, allowed)
        counts, left, total = [], sizes, int(sizes.sum())
        for later, (part, size) in enumerate(asked.items(), 1 - len(asked)):
            if part == "test" and self.test is None:
                share = left
            else:
                wanted = round(size * total) if isinstance(size, float) else size
                share = self.of_each(wanted, sizes, left + later, part, names, place)
            counts.append(share)
            left = left - share
        return np.array(counts)

    def of_given(self, labels: np.ndarray, names: tuple[str, ...] = (), place: str | Path = "the split") -> np.ndarray:
        """How many of each class that there is in a given test set, with these ``labels``, are used: int64 (K,)."""
        classes, sizes = np.unique(labels, return_counts=True)
        if self.test is None:
            return sizes
        wanted = round(self.test * len(labels)) if isinstance(self.test, float) else self.test
        called = tuple(names[label] if names else str(label) for label in classes)
        return self.of_each(wanted, sizes, sizes, "test", called, place)

    def of_each(
        self, wanted: int, sizes: np.ndarray, most: np.ndarray, part: str, names: tuple[str, ...], place: str | Path
    ) -> np.ndarray:
        """How many of each class make up a part of ``wanted`` examples, at least one and at most ``most`` (K,)."""
        if self.sampling == "stratified":
            if not len(sizes) <= wanted <= most.sum():
                allowed = (
                    f"{len(sizes)} to {most.sum()}, so that every part has one of each of the {len(sizes)} classes"
                )
                raise DataError(place, f"the size of {part}", wanted, allowed)
            return in_proportion(wanted, sizes, most)
        each, rest = divmod(wanted, len(sizes))
        if not each or (rest and isinstance(getattr(self, part), int)):
            raise DataError(place, f"the size of {part}, balanced", wanted, f"a multiple of the {len(sizes)} classes")
        smallest = int(np.argmin(most))
        if each > most[smallest]:
            found = f"{most[smallest]} in class {names[smallest]!r} that no other part needs"
            raise DataError(place, "a class with too few examples", found, f"at least {each}, for {part}")
        return np.full(len(sizes), each)


def in_proportion(wanted: int, sizes: np.ndarray, most: np.ndarray) -> np.ndarray:
    """``wanted`` shared out in proportion to ``sizes`` (K,), each share at least 1 and at most ``most`` (K,): int64 (K,).

    Rounded by largest remainders, of equal ones the first; what bounds add or take is made up by the shares that are then
    furthest from their proportion. ``wanted`` lies between K and the sum of ``most``.
    """
    ideal = wanted * sizes / sizes.sum()
    # A quotient that stands for a whole number may lie a last bit below it.
    shares = np.clip(np.floor(ideal + 1e-9).astype(np.int64), 1, most)
    while (missing := wanted - int(shares.sum())) != 0:
        short = (ideal - shares) * np.sign(missing)
        short[shares == (most if missing > 0 else 1)] = -np.inf
        shares[np.argmax(short)] += np.sign(missing)
    return shares


def given_test(parts: np.ndarray, place: str) -> np.ndarray:
    """Sorted indices of the examples that are given as the test set. DataError where a part is none of ``GIVEN``, or where one
    of them is empty."""
    if parts.dtype.kind == "S":
        parts = np.char.decode(parts, "utf-8")
    named = sorted({str(part) for part in np.unique(parts)})
    if named != sorted(GIVEN):
        raise DataError(
            place, "a given split", ", ".join(map(repr, named[:5])), "'train' and 'test', each at least once"
        )
    return np.flatnonzero(parts == "test")
