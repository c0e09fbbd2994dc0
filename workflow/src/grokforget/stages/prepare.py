"""Data sets, splits and forget sets as files. Light: none of it needs torch."""

from __future__ import annotations

import numpy as np

from grokforget.components import build
from grokforget.data.examples import ExampleTable, ForgetSplit, Request, Split, TrainingExamples
from grokforget.seeds import numpy_generator
from grokforget.stages.job import Job
from grokforget.storage import read_tensors


def prepare(job: Job) -> None:
    """All examples of a data set. Writes ``examples``; spec: ``data`` (a component)."""
    build(job.spec["data"]).examples().write(job.outputs["examples"])


def split(job: Job) -> None:
    """Train, validation and test indices of one seed. Reads ``examples``, writes ``split``; spec: ``data``, ``seed``."""
    labels = ExampleTable.read(job.input("examples")).labels
    generator = numpy_generator(job.spec["seed"], "split")
    parts = build(job.spec["data"]).split(labels, generator)
    check_partition([parts.train, parts.validation, parts.test], len(labels))
    parts.write(job.outputs["split"])


def forget(job: Job) -> None:
    """What to forget and what to retain. Reads ``examples``, ``split`` and, where the spec says ``difficulty``: true, the
    file ``difficulty``; writes ``forget``. Spec: ``forget_set`` (a component), ``name``, ``seed``.

    Raises ValueError where the rule leaves nothing to forget or nothing to retain.
    """
    table, train = ExampleTable.read(job.input("examples")), Split.read(job.input("split")).train
    difficulty = difficulty_of(job, train) if job.spec.get("difficulty") else None
    generator = numpy_generator(job.spec["seed"], "forget", job.spec["name"])
    given = TrainingExamples(table.labels[train], table.inputs[train], difficulty)
    answer = build(job.spec["forget_set"], given, generator)
    request = answer if isinstance(answer, Request) else Request(requested=answer, intended=answer)
    chosen = ForgetSplit(
        forget=train[request.requested],
        retain=np.delete(train, request.requested),
        missed=train[np.setdiff1d(request.intended, request.requested)],
        mistaken=train[np.setdiff1d(request.requested, request.intended)],
    )
    if not len(chosen.forget) or not len(chosen.retain):
        raise ValueError(
            f"forget set {job.spec['name']!r} leaves {len(chosen.forget)} to forget and {len(chosen.retain)} to retain"
        )
    chosen.write(job.outputs["forget"])


def difficulty_of(job: Job, train: np.ndarray) -> np.ndarray:
    """The training examples' difficulty; ValueError where the file is of other examples."""
    scores, _ = read_tensors(job.input("difficulty"))
    if not np.array_equal(scores["index"], train):
        raise ValueError(f"{job.input('difficulty')} is not of the training examples of {job.input('split')}")
    return scores["difficulty"]


def check_partition(parts: list, n: int) -> None:
    """Raise ValueError unless the index arrays are disjoint, complete and none is empty."""
    if any(len(part) == 0 for part in parts) or sorted(i for part in parts for i in part.tolist()) != list(range(n)):
        raise ValueError(f"not a partition of {n} examples into non-empty parts: sizes {[len(part) for part in parts]}")
