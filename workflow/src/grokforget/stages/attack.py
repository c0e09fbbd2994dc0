"""Membership attacks with the runs of other seeds as shadow models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grokforget import paths
from grokforget.analysis.likelihood_ratio import attack as likelihood_ratio_attack
from grokforget.analysis.likelihood_ratio import logit_confidence
from grokforget.data.examples import ForgetSplit, Split
from grokforget.stages.job import Job
from grokforget.storage import read_table, read_tensors, write_table


def attack(job: Job) -> None:
    """Attack every cell of one forget set, of every seed.

    Were the forgotten examples trained on? They are told from test examples of the same classes. The shadow models of a
    cell are the models of all *other* seeds' runs, on the full train set and without each forget set, at the same checkpoint:
    some of them were trained on an example and some were not, since splits and forget sets differ from seed to seed. The
    ideal is the retrained model's value. Reads ``root``, the study's folder; writes ``table``: a row a (seed, checkpoint,
    method). Spec: ``setting``, ``data``, ``forget_set``, ``seeds``, ``train_sets``, ``checkpoints``, ``methods``.
    """
    spec, root = job.spec, job.input("root")
    rows: list[dict[str, Any]] = []
    for seed in spec["seeds"]:
        where = {"setting": spec["setting"], "seed": seed, "forget_set": spec["forget_set"]}
        forgotten = ForgetSplit.read(root / paths.FORGET.format(**where)).forget
        unseen = Split.read(root / paths.SPLIT.format(data=spec["data"], seed=seed)).test
        index = np.concatenate([forgotten, unseen])
        losses, member = shadows(root, spec, seed)
        for method in spec["methods"]:
            outputs = read_table(root / paths.OUTPUTS.format(**where, method=method))
            for checkpoint in spec["checkpoints"]:
                cell = outputs[(outputs.checkpoint == checkpoint) & outputs.split.isin(["forget", "test"])]
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


def shadows(root: Path, spec: Any, attacked: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Losses (k, N) by checkpoint, and membership (k, N), of the runs of all seeds but the attacked one."""
    parts = [
        read_tensors(root / paths.SHADOW.format(setting=spec["setting"], seed=seed, train_set=train_set))[0]
        for seed in spec["seeds"]
        if seed != attacked
        for train_set in spec["train_sets"]
    ]
    losses = {name: np.stack([part[f"loss/{name}"] for part in parts]) for name in spec["checkpoints"]}
    return losses, np.stack([part["member"] for part in parts])
