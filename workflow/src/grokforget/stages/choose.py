"""The rule by which hyper-parameters are chosen."""

from __future__ import annotations

import pandas as pd

from grokforget import paths
from grokforget.stages.collect import labelled
from grokforget.stages.job import Job
from grokforget.storage import whole

TIE = 0.005
"""Candidates this near to the best count as equal to it, and the smallest of them is taken: the least change for the same effect."""


def choose(job: Job) -> None:
    """One value a (setting, method), the same for all checkpoints.

    Of every candidate the *balance* is ½ (1 - A_f/A_f⁰) + ½ A_r/A_r⁰: forgetting and retaining, each relative to the checkpoint before
    unlearning, which puts checkpoints of different accuracy on one scale; a diverged run counts 0. It is averaged over the forget sets, and the
    candidate is taken whose *worst checkpoint* is best. So no checkpoint is served at another's cost, and none collapses where a value
    exists that spares it. Writes ``candidates`` (all balances) and ``choice``. Spec: ``settings``, ``methods``, ``root``.
    """
    tables = [
        labelled(job, paths.TUNING, {"setting": setting, "method": method})
        for setting in job.spec["settings"]
        for method in job.spec["methods"]
    ]
    table = pd.concat(tables, ignore_index=True)
    table["balance"] = balance(table)
    keys = ["setting", "method", "parameter", "value"]
    by_checkpoint = table.pivot_table("balance", keys, "checkpoint", aggfunc="mean")
    by_checkpoint["worst"] = by_checkpoint.min(axis=1)
    candidates = by_checkpoint.reset_index()
    choice = candidates.groupby(["setting", "method", "parameter"]).apply(best, include_groups=False).reset_index()
    for name, frame in (("candidates", candidates), ("choice", choice)):
        with whole(job.outputs[name]) as beside:
            frame.round(4).to_csv(beside, index=False, lineterminator="\n")


def balance(table: pd.DataFrame) -> pd.Series:
    """½ (1 - A_f/A_f⁰) + ½ A_r/A_r⁰ a row; a ratio to an accuracy of 0 counts as 1, a diverged run as 0."""
    forgotten = 1 - (table.forget_accuracy / table.forget_accuracy_before).fillna(1.0)
    retained = (table.retain_accuracy / table.retain_accuracy_before).fillna(1.0)
    return ((forgotten + retained) / 2).where(~table.diverged, 0.0)


def best(candidates: pd.DataFrame) -> pd.Series:
    """The smallest of the values whose worst checkpoint is within ``TIE`` of the best."""
    near = candidates[candidates.worst >= candidates.worst.max() - TIE]
    return near.loc[near.value.idxmin(), ["value", "worst"]]
