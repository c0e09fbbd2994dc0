"""Data as files: a table of examples, one split a seed, one forget set a (setting, seed, name)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grokforget.data.shape import DataShape
from grokforget.runtime.files import read_tensors, write_tensors


@dataclass(frozen=True)
class ExampleTable:
    """All examples of a data set: ``inputs`` (N, ...) as float32 vectors or images, uint8 images or int64 tokens, ``labels``
    (N,) int64 in [0, n_classes).

    ``mean`` and ``std`` are given with uint8 images (N, C, H, W): what models normalise them by (``DataShape``). ``names`` are
    the classes as the data call them, none where they are called by their numbers. ``test`` has the sorted int64 indices of a
    test set that belongs to the data; None where every seed draws its own.
    """

    inputs: np.ndarray
    labels: np.ndarray
    n_classes: int
    vocabulary: int = 0
    names: tuple[str, ...] = ()
    test: np.ndarray | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def shape(self) -> DataShape:
        return DataShape(self.inputs.shape[1:], self.n_classes, self.vocabulary, self.mean, self.std)

    def write(self, path: Path) -> None:
        arrays = {"inputs": self.inputs, "labels": self.labels}
        given = {"names": self.names, "mean": self.mean, "std": self.std}
        write_tensors(
            path,
            arrays if self.test is None else {**arrays, "test": self.test},
            {"n_classes": str(self.n_classes), "vocabulary": str(self.vocabulary)}
            | {name: values for name, values in given.items() if values},
        )

    @classmethod
    def read(cls, path: Path) -> ExampleTable:
        arrays, metadata = read_tensors(path)
        return cls(
            arrays["inputs"],
            arrays["labels"],
            int(metadata["n_classes"]),
            int(metadata["vocabulary"]),
            tuple(metadata.get("names", ())),
            arrays.get("test"),
            tuple(metadata.get("mean", ())),
            tuple(metadata.get("std", ())),
        )


@dataclass(frozen=True)
class Split:
    """Sorted, disjoint int64 indices into an ``ExampleTable``. Examples in none of them are not used."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def write(self, path: Path) -> None:
        write_tensors(path, vars(self))

    @classmethod
    def read(cls, path: Path) -> Split:
        return cls(**read_tensors(path)[0])


@dataclass(frozen=True)
class TrainingExamples:
    """What a forget set's rule is given: the n training examples in the order of ``Split.train``.

    ``labels`` (n,) int64, ``inputs`` (n, ...) as in the ``ExampleTable``, and ``difficulty`` (n,) float64, higher is harder,
    for a rule that asks for it and None for all others.
    """

    labels: np.ndarray
    inputs: np.ndarray
    difficulty: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Request:
    """A request to forget that is not what was meant: sorted int64 positions among the training examples of what was
    asked for and of what should have been."""

    requested: np.ndarray
    intended: np.ndarray


def no_indices() -> np.ndarray:
    """None, (0,) int64."""
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class ForgetSplit:
    """The training examples parted in two: sorted, disjoint int64 indices into the ``ExampleTable``.

    ``forget`` is the request as it came in, ``retain`` all the rest: what methods and retrained references go by. Where the
    request is not what was meant, ``missed`` are those of ``retain`` that should have been forgotten, and ``mistaken`` those
    of ``forget`` that should have been retained; else both are empty.
    """

    forget: np.ndarray
    retain: np.ndarray
    missed: np.ndarray = field(default_factory=no_indices)
    mistaken: np.ndarray = field(default_factory=no_indices)

    def write(self, path: Path) -> None:
        write_tensors(path, vars(self))

    @classmethod
    def read(cls, path: Path) -> ForgetSplit:
        return cls(**read_tensors(path)[0])


def class_balanced(labels: np.ndarray, sizes: Sequence[int], generator: np.random.Generator) -> list[np.ndarray]:
    """Disjoint random draws of the given sizes, each with the same number of every class, and last what is left over.

    Raises ValueError where a class has too few examples or a size is not a multiple of the number of classes.
    """
    classes, members = np.unique(labels, return_counts=True)
    if any(size % len(classes) for size in sizes):
        raise ValueError(f"sizes {list(sizes)} are not multiples of the {len(classes)} classes")
    of_each = sum(size // len(classes) for size in sizes)
    if of_each >= members.min():
        smallest = int(np.argmin(members))
        raise ValueError(
            f"class {classes[smallest]} has {members[smallest]} examples; {of_each} and one for the test set asked for"
        )
    return drawn_by_class(labels, np.array([[size // len(classes)] * len(classes) for size in sizes]), generator)


def drawn_by_class(labels: np.ndarray, counts: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Disjoint random draws, sorted, and last what is left over: part p has ``counts[p, k]`` examples of the k-th class.

    ``labels`` (N,), ``counts`` (parts, K) for the K classes that there are, in sorted order; no class has fewer examples than
    its column asks for.
    """
    drawn: list[list[np.ndarray]] = [[] for _ in range(len(counts) + 1)]
    for label, of_class in zip(np.unique(labels), counts.T, strict=True):
        members = generator.permutation(np.flatnonzero(labels == label))
        for part, chunk in zip(drawn, np.split(members, np.cumsum(of_class)), strict=True):
            part.append(chunk)
    return [np.sort(np.concatenate(part)) for part in drawn]
