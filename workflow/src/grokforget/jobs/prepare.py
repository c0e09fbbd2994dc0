"""Data sets, splits and forget sets as files. Light: none of it needs torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grokforget.data.examples import ExampleTable, ForgetSplit, Request, Split, TrainingExamples
from grokforget.runtime.files import read_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ForgetSpec, PrepareSpec, SplitSpec


def prepare(job: Job[PrepareSpec]) -> None:
    """All examples of a data set. Writes ``examples``."""
    job.spec.data.build().examples().write(job.outputs["examples"])


def split(job: Job[SplitSpec]) -> None:
    """Train, validation and test indices of one seed. Reads ``examples``, writes ``split``."""
    labels = ExampleTable.read(job.input("examples")).labels
    generator = numpy_generator(job.spec.seed, "split")
    parts = job.spec.data.build().split(labels, generator)
    check_partition([parts.train, parts.validation, parts.test], len(labels))
    parts.write(job.outputs["split"])


def forget(job: Job[ForgetSpec]) -> None:
    """What to forget and what to retain. Reads ``examples``, ``split`` and, for a forget set that is drawn by it,
    ``difficulty``; writes ``forget``. Raises ValueError where the rule leaves nothing to forget or nothing to retain."""
    spec = job.spec
    table, train = ExampleTable.read(job.input("examples")), Split.read(job.input("split")).train
    difficulty = difficulty_of(job, train) if job.optional("difficulty") else None
    generator = numpy_generator(spec.seed, "forget", spec.name)
    given = TrainingExamples(table.labels[train], table.inputs[train], difficulty)
    answer = spec.forget_set.build(given, generator)
    request = answer if isinstance(answer, Request) else Request(requested=answer, intended=answer)
    chosen = ForgetSplit(
        forget=train[request.requested],
        retain=np.delete(train, request.requested),
        missed=train[np.setdiff1d(request.intended, request.requested)],
        mistaken=train[np.setdiff1d(request.requested, request.intended)],
    )
    if not len(chosen.forget) or not len(chosen.retain):
        raise ValueError(
            f"forget set {spec.name!r} leaves {len(chosen.forget)} to forget and {len(chosen.retain)} to retain"
        )
    chosen.write(job.outputs["forget"])


def difficulty_of(job: Job[ForgetSpec], train: np.ndarray) -> np.ndarray:
    """The training examples' difficulty; ValueError where the file is of other examples."""
    scores, _ = read_tensors(job.input("difficulty"))
    if not np.array_equal(scores["index"], train):
        raise ValueError(f"{job.input('difficulty')} is not of the training examples of {job.input('split')}")
    return scores["difficulty"]


def check_partition(parts: list, n: int) -> None:
    """Raise ValueError unless the index arrays are disjoint, complete and none is empty."""
    if any(len(part) == 0 for part in parts) or sorted(i for part in parts for i in part.tolist()) != list(range(n)):
        raise ValueError(f"not a partition of {n} examples into non-empty parts: sizes {[len(part) for part in parts]}")
