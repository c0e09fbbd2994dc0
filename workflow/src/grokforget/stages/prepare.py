"""Data sets, splits and forget sets as files. Light: none of it needs torch."""

from __future__ import annotations

from grokforget.components import build, load_implementation
from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.seeds import numpy_generator
from grokforget.stages.job import Job


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
    """Forget and retain indices. Reads ``examples``, ``split``, writes ``forget``; spec: ``forget_set`` (a component),
    ``name``, ``seed``."""
    labels = ExampleTable.read(job.input("examples")).labels
    train = Split.read(job.input("split")).train
    generator = numpy_generator(job.spec["seed"], "forget", job.spec["name"])
    rule = job.spec["forget_set"]
    positions = load_implementation(rule["implementation"])(labels[train], generator, **rule["settings"])
    chosen = ForgetSplit(train[positions], train[sorted(set(range(len(train))) - set(positions.tolist()))])
    if not len(chosen.forget) or not len(chosen.retain):
        raise ValueError(
            f"forget set {job.spec['name']!r} leaves {len(chosen.forget)} to forget and {len(chosen.retain)} to retain"
        )
    chosen.write(job.outputs["forget"])


def check_partition(parts: list, n: int) -> None:
    """Raise ValueError unless the index arrays are disjoint, complete and none is empty."""
    if any(len(part) == 0 for part in parts) or sorted(i for part in parts for i in part.tolist()) != list(range(n)):
        raise ValueError(f"not a partition of {n} examples into non-empty parts: sizes {[len(part) for part in parts]}")
