"""Data sets, splits and forget sets as files. Light: none of it needs torch."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from grokforget.data.examples import (
    ExampleTable,
    ForgetSplit,
    LabelNoise,
    Request,
    Rows,
    TrainingExamples,
    read_examples,
)
from grokforget.data.language.encode import IGNORED
from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ForgetSpec, PrepareSpec, SplitSpec


def prepare(job: Job[PrepareSpec]) -> None:
    """All examples of a data set, read from ``files`` where it is one of the user's. Writes ``examples``, and as ``labels``
    which class of the data every label stands for."""
    table = job.spec.data.build().examples(*job.inputs.get("files", []))
    table.write(job.outputs["examples"])
    write_text(job.outputs["labels"], labels_csv(table))


def split(job: Job[SplitSpec]) -> None:
    """Train, validation and test indices of one seed, and which training examples have a wrong label. Reads ``examples``,
    writes ``split``."""
    table = ExampleTable.read(job.input("examples"))
    generator = numpy_generator(job.spec.seed, "split")
    given = {} if table.test is None else {"test": table.test}
    parts = job.spec.data.build().split(table.labels, generator, **given)
    check_parts([parts.train, parts.validation, parts.test], len(table.labels))
    noise = None
    if share := job.spec.label_noise:
        if share == "random":
            share = 1 - 1 / table.n_classes
        noise = LabelNoise.drawn(
            share, parts.train, table.labels, table.n_classes, numpy_generator(job.spec.seed, "label noise")
        )
    parts.write(job.outputs["split"], noise)


def forget(job: Job[ForgetSpec]) -> None:
    """What to forget and what to retain. Reads ``examples``, ``split`` and, for a forget set that is drawn by it,
    ``difficulty`` (of ``jobs/difficulty.py`` or ``jobs/losses.py``); writes ``forget``. Raises ValueError where the rule
    leaves nothing to forget or nothing to retain."""
    spec = job.spec
    table, parts = read_examples(job.input("examples"), job.input("split"))
    train = parts.train
    scored = scores_of(job, train) if job.optional("difficulty") else {}
    generator = numpy_generator(spec.seed, "forget", spec.name)
    given = TrainingExamples(table.labels[train], Rows(table.inputs, train), **scored, **texts_of(table, train))
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


def scores_of(job: Job[ForgetSpec], train: np.ndarray) -> dict[str, np.ndarray]:
    """The training examples' difficulty, or how their losses went; ValueError where the file is of other examples."""
    scores, _ = read_tensors(job.input("difficulty"))
    if not np.array_equal(scores["index"], train):
        raise ValueError(f"{job.input('difficulty')} is not of the training examples of {job.input('split')}")
    if "difficulty" in scores:
        return {"difficulty": scores["difficulty"]}
    (before,), final = scores["losses"][scores["steps"] == scores["from_step"]], scores["losses"][-1]
    gaps = {"gaps": scores["paraphrase_losses"][-1] - final} if "paraphrase_losses" in scores else {}
    return {"falls": before - final, "final_losses": final, **gaps}


def texts_of(table: ExampleTable, train: np.ndarray) -> dict[str, np.ndarray]:
    """What is known of training examples that are texts: how long their answers are, and after which template they are made."""
    if table.targets is None:
        return {}
    # The last target is the end of the text.
    lengths = (table.targets[train] != IGNORED).sum(1) - 1
    templates = {"templates": table.extras["templates"][train]} if "templates" in table.extras else {}
    return {"lengths": lengths, **templates}


def check_parts(parts: list[np.ndarray], n: int) -> None:
    """Raise ValueError unless the index arrays are disjoint, within ``n`` examples, and none is empty."""
    together = np.concatenate(parts)
    apart = len(np.unique(together)) == len(together) and np.isin(together, np.arange(n)).all()
    if any(len(part) == 0 for part in parts) or not apart:
        raise ValueError(f"not disjoint, non-empty parts of {n} examples: sizes {[len(part) for part in parts]}")


def labels_csv(table: ExampleTable) -> str:
    """A line a label: the class that it stands for as the data call it, and how many examples have it."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["label", "class", "examples"])
    counts = np.bincount(table.labels, minlength=table.n_classes)
    for label, count in enumerate(counts.tolist()):
        writer.writerow([label, table.names[label] if table.names else label, count])
    return lines.getvalue()
