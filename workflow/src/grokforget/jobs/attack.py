"""Membership attacks with the runs of other seeds as shadow models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokforget.data.examples import ForgetSplit, Split
from grokforget.metrics.mia_lira import attack as likelihood_ratio_attack
from grokforget.metrics.mia_lira import logit_confidence
from grokforget.runtime.files import read_table, read_tensors, write_table
from grokforget.runtime.job import Job

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AttackSpec


def attack(job: Job[AttackSpec]) -> None:
    """Attack every cell of one forget set, of every seed.

    Were the forgotten examples trained on? They are told from test examples of the same classes. The shadow models of a
    cell are the models of all *other* seeds' runs, on the full train set and without each forget set, at the same checkpoint:
    some of them were trained on an example and some were not, since splits and forget sets differ from seed to seed. The
    ideal is the retrained model's value. Reads a file a seed of ``forget`` and ``split``, a file a (seed, method) of
    ``outputs``, and a file a (seed, train set) of ``shadows``; writes ``table``: a row a (seed, checkpoint, method).
    """
    spec = job.spec
    outputs = iter(job.inputs["outputs"])
    rows: list[dict[str, Any]] = []
    for seed, forget, split in zip(spec.seeds, job.inputs["forget"], job.inputs["split"], strict=True):
        forgotten, unseen = ForgetSplit.read(forget).forget, Split.read(split).test
        index = np.concatenate([forgotten, unseen])
        losses, member = shadows(job, seed)
        for method in spec.methods:
            of_method = read_table(next(outputs))
            for checkpoint in spec.checkpoints:
                cell = of_method[(of_method.checkpoint == checkpoint) & of_method.split.isin(["forget", "test"])]
                told = compare(cell, losses[checkpoint][:, index], member[:, index], len(forgotten))
                rows.append({"seed": seed, "checkpoint": checkpoint, "method": method, **told})
    write_table(job.outputs["table"], pd.DataFrame(rows))


def compare(cell: pd.DataFrame, losses: np.ndarray, member: np.ndarray, n_forgotten: int) -> dict[str, float]:
    """The attack on one cell, whose outputs are those of the forgotten examples and then of the test set; ``losses`` and
    ``member`` (k, n) are the shadow models' for the same examples in the same order."""
    forgotten = (cell.split == "forget").to_numpy()
    if not forgotten[:n_forgotten].all() or forgotten[n_forgotten:].any():
        raise ValueError("the outputs of a cell are not in the order of its forget and test set")
    of_their_classes = forgotten | cell.label.isin(cell.label[forgotten].unique()).to_numpy()
    return likelihood_ratio_attack(
        logit_confidence(cell.loss.to_numpy(np.float64))[of_their_classes],
        logit_confidence(losses.astype(np.float64))[:, of_their_classes],
        member[:, of_their_classes].astype(bool),
        forgotten[of_their_classes],
    )


def shadows(job: Job[AttackSpec], attacked: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Losses (k, N) by checkpoint, and membership (k, N), of the runs of all seeds but the attacked one."""
    seeds = np.repeat(job.spec.seeds, len(job.spec.train_sets)).tolist()
    parts = [read_tensors(path)[0] for seed, path in zip(seeds, job.inputs["shadows"], strict=True) if seed != attacked]
    losses = {name: np.stack([part[f"loss/{name}"] for part in parts]) for name in job.spec.checkpoints}
    return losses, np.stack([part["member"] for part in parts])
