"""Data as files: a table of examples, one split a seed, one forget set a (setting, seed, name)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from grokforget.data.shape import DataShape
from grokforget.runtime.files import mapped_tensor, read_tensors, write_tensors

EXTRAS = "extras/"
"""What the names of extras begin with in the file of a table."""


@dataclass(frozen=True)
class ExampleTable:
    """All examples of a data set: ``inputs`` (N, ...) as float32 vectors or images, uint8 images or int64 tokens, ``labels``
    (N,) int64 in [0, n_classes).

    ``mean`` and ``std`` are given with uint8 images (N, C, H, W): what models normalise them by (``DataShape``). ``names`` are
    the classes as the data call them, none where they are called by their numbers. ``test`` has the sorted int64 indices of a
    test set that belongs to the data; None where every seed draws its own.

    ``targets`` (N, ...) are what a model learns of the inputs where that is not the labels: of tokens (N, T) int64, the token to
    predict at every position (``data/language/encode.py``); in regression numbers (N, 1) float32. ``extras`` are
    arrays by name that only some measures look at.
    """

    inputs: np.ndarray
    labels: np.ndarray
    n_classes: int
    vocabulary: int = 0
    names: tuple[str, ...] = ()
    test: np.ndarray | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    targets: np.ndarray | None = None
    extras: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        """Accuracy of guessing: of classes one of them; of texts, whose extraction strength it is, none. That of numbers is
        told to the jobs (``config/specs/runs.py``), for it goes by the recipe's tolerance."""
        return 1 / self.n_classes if self.targets is None else 0.0

    @property
    def shape(self) -> DataShape:
        return DataShape(self.inputs.shape[1:], self.n_classes, self.vocabulary, self.mean, self.std)

    def write(self, path: Path) -> None:
        arrays = {"inputs": self.inputs, "labels": self.labels, "test": self.test, "targets": self.targets}
        given = {"names": self.names, "mean": self.mean, "std": self.std}
        write_tensors(
            path,
            {name: array for name, array in arrays.items() if array is not None}
            | {f"{EXTRAS}{name}": array for name, array in self.extras.items()},
            {"n_classes": str(self.n_classes), "vocabulary": str(self.vocabulary)}
            | {name: values for name, values in given.items() if values},
        )

    @classmethod
    def read(cls, path: Path) -> ExampleTable:
        """As it was written, but that ``inputs`` is a read-only view of the file: of what is indexed alone there is a copy in
        memory."""
        arrays, metadata = read_tensors(path, leave=["inputs"])
        return cls(
            mapped_tensor(path, "inputs"),
            arrays["labels"],
            int(metadata["n_classes"]),
            int(metadata["vocabulary"]),
            tuple(metadata.get("names", ())),
            arrays.get("test"),
            tuple(metadata.get("mean", ())),
            tuple(metadata.get("std", ())),
            arrays.get("targets"),
            {name.removeprefix(EXTRAS): array for name, array in arrays.items() if name.startswith(EXTRAS)},
        )


@dataclass(frozen=True)
class Split:
    """Sorted, disjoint int64 indices into an ``ExampleTable``. Examples in none of them are not used."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def write(self, path: Path, noise: LabelNoise | None = None) -> None:
        """With the label noise where there is any."""
        write_tensors(path, {**vars(self), **({} if noise is None else noise.arrays())})

    @classmethod
    def read(cls, path: Path) -> Split:
        return cls(**read_tensors(path, leave=LabelNoise.NAMES)[0])


@dataclass(frozen=True)
class LabelNoise:
    """The training examples of a split whose labels were replaced: sorted int64 indices into the ``ExampleTable``, and the
    labels that stand for theirs. They stand with the split in its file."""

    index: np.ndarray
    labels: np.ndarray
    NAMES: ClassVar[tuple[str, str]] = ("noisy", "noisy_labels")

    @classmethod
    def drawn(
        cls, share: float, train: np.ndarray, labels: np.ndarray, n_classes: int, generator: np.random.Generator
    ) -> LabelNoise:
        """A share of the training examples, rounded to a whole number of them, each with one of the other classes, all of them
        equally likely."""
        index = np.sort(generator.choice(train, round(share * len(train)), replace=False))
        return cls(index, (labels[index] + generator.integers(1, n_classes, len(index))) % n_classes)

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(zip(self.NAMES, (self.index, self.labels), strict=True))


def read_examples(examples: Path, split: Path) -> tuple[ExampleTable, Split]:
    """The examples with the labels that a split's training examples have, noise and all, and the split.

    What reads the labels of training examples reads them here.
    """
    table, (arrays, _) = ExampleTable.read(examples), read_tensors(split)
    index, labels = (arrays.pop(name, no_indices()) for name in LabelNoise.NAMES)
    if len(index):
        changed = table.labels.copy()
        changed[index] = labels
        table = replace(table, labels=changed)
    return table, Split(**arrays)


@dataclass(frozen=True)
class Rows:
    """The rows ``index`` (n,) of an ``array``: as many as are asked for are read, and of a rule that asks for none, none."""

    array: np.ndarray
    index: np.ndarray

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, positions: np.ndarray | slice | int) -> np.ndarray:
        rows: np.ndarray = self.array[self.index[positions]]
        return rows

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


@dataclass(frozen=True)
class TrainingExamples:
    """What a forget set's rule is given: the n training examples in the order of ``Split.train``.

    ``labels`` (n,) int64, ``inputs`` (n, ...) as in the ``ExampleTable``, an array or something to index as one. ``difficulty``
    (n,) float64, higher is harder. ``falls`` (n,) float64, nats: by how much the loss fell from a candidate epoch to the end of
    the run, where it is ``final_losses``; ``gaps``, by how much the loss of the paraphrased question is larger at the end. Each
    for a rule that asks for it, and None for all others. Of texts ``lengths``, the answers' tokens, and ``templates`` (n,) int64,
    where they are made after any.
    """

    labels: np.ndarray
    inputs: np.ndarray | Rows
    difficulty: np.ndarray | None = None
    falls: np.ndarray | None = None
    final_losses: np.ndarray | None = None
    gaps: np.ndarray | None = None
    lengths: np.ndarray | None = None
    templates: np.ndarray | None = None

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
