"""Membership attacks with the runs of other seeds as shadow models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grokforget.data.examples import ForgetSplit, Split
from grokforget.jobs.checkpoint_rows import Columns, by_checkpoint
from grokforget.jobs.found import is_found
from grokforget.metrics.mia_lira import attack as likelihood_ratio_attack
from grokforget.runtime.files import read_tensors, write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AttackSpec


def attack(job: Job[AttackSpec]) -> None:
    """Attack every cell of one forget set, of every seed.

    Were the forgotten examples trained on? They are told from test examples of the same classes. The shadow models of a
    cell are the models of all *other* seeds' runs, on the full train set and without each forget set, at the same checkpoint:
    some of them were trained on an example and some were not, since splits and forget sets differ from seed to seed. A run
    that has no such checkpoint gives no shadow model. The ideal is the retrained model's value. Reads a file a seed of
    ``forget`` and ``split``, a file a (seed, method) of ``outputs`` and ``diagnostics``, and a file a (seed, train set) of
    ``shadows``; writes ``table``: a row a (seed, checkpoint, method), with the cell's flag.
    """
    spec = job.spec
    outputs, diagnostics = iter(job.inputs["outputs"]), iter(job.inputs["diagnostics"])
    rows: list[dict[str, Any]] = []
    for seed, forget, split in zip(spec.seeds, job.inputs["forget"], job.inputs["split"], strict=True):
        forgotten, unseen = ForgetSplit.read(forget).forget, Split.read(split).test
        index = np.concatenate([forgotten, unseen])
        of_shadows = shadows(job, seed)
        for method in spec.methods:
            of_method, notes = by_checkpoint(next(outputs)), by_checkpoint(next(diagnostics))
            for checkpoint in spec.checkpoints:
                confidences, member = (part[:, index] for part in of_shadows[checkpoint])
                told = compare(of_method[checkpoint], confidences, member, len(forgotten))
                labels = {"seed": seed, "checkpoint": checkpoint, "method": method}
                rows.append({**labels, FLAG: str(notes[checkpoint][FLAG][0]), **told})
    write_rows(job.outputs["table"], rows)


def compare(cell: Columns, confidences: np.ndarray, member: np.ndarray, n_forgotten: int) -> dict[str, float]:
    """The attack on one cell, whose outputs are in the order of the forgotten examples and then of the test set;
    ``confidences`` and ``member`` (k, n) are the shadow models' for the same examples in the same order. NaN where an output
    of the cell, on whatever split, is not finite."""
    asked = np.isin(cell["split"], ["forget", "test"])
    forgotten, label = cell["split"][asked] == "forget", cell["label"][asked]
    if not forgotten[:n_forgotten].all() or forgotten[n_forgotten:].any():
        raise ValueError("the outputs of a cell are not in the order of its forget and test set")
    finite = np.isfinite(cell["confidence"]).all()
    target = cell["confidence"][asked] if finite else np.full(len(label), np.nan)
    of_their_classes = np.isin(label, label[forgotten])
    return likelihood_ratio_attack(
        target[of_their_classes],
        confidences[:, of_their_classes],
        member[:, of_their_classes].astype(bool),
        forgotten[of_their_classes],
    )


def shadows(job: Job[AttackSpec], attacked: int) -> dict[str, tuple[np.ndarray, ...]]:
    """By checkpoint the confidences and the membership, (k, N) each, of the runs that have it, of all seeds but the attacked
    one; none, (0, N), where there is none."""
    seeds = np.repeat(job.spec.seeds, len(job.spec.train_sets)).tolist()
    paths = [path for seed, path in zip(seeds, job.inputs["shadows"], strict=True) if seed != attacked]
    parts = [read_tensors(path)[0] for path in paths]
    found: dict[str, tuple[np.ndarray, ...]] = {}
    for name in job.spec.checkpoints:
        there = [is_found(path, name) for path in paths]
        found[name] = tuple(np.stack([part[key] for part in parts])[there] for key in (f"confidence/{name}", "member"))
    return found
