"""The rule by which hyper-parameters are chosen."""

from __future__ import annotations

import pandas as pd

from grokforget import paths
from grokforget.stages.collect import labelled
from grokforget.stages.job import Job
from grokforget.storage import whole

TIE = 0.005
"""Candidates this near to the best count as equal to it, and the smallest of them is taken: the least change for the
same effect."""
COLLAPSE = 0.5
"""A checkpoint that loses more than this share of its retain accuracy has collapsed."""


def choose(job: Job) -> None:
    """One value a (setting, method), the same for all checkpoints.

    Of every candidate and checkpoint, averaged over the forget sets: *retained* is A_r/A_r⁰, and *balance* ½ (1 -
    A_f/A_f⁰) + ½ A_r/A_r⁰, forgetting and retaining, each relative to the checkpoint before unlearning, which puts
    checkpoints of different accuracy on one scale. Candidates under which any checkpoint collapses are out. Of the
    others the one with the best balance on average over the checkpoints is taken; where all collapse some checkpoint,
    the smallest. The rule names no checkpoint, so it serves none at another's cost. Writes ``candidates`` (all of them)
    and ``choice``. Spec: ``settings``, ``methods``, ``seed`` (the one that chooses).
    """
    tables = [
        labelled(job, paths.TUNING, {"setting": setting, "seed": job.spec["seed"], "method": method})
        for setting in job.spec["settings"]
        for method in job.spec["methods"]
    ]
    table = scored(pd.concat(tables, ignore_index=True))
    keys = ["setting", "method", "parameter", "value"]
    by_checkpoint = table.pivot_table(["balance", "retained"], keys, "checkpoint", aggfunc="mean")
    candidates = by_checkpoint.set_axis([f"{measure}_{name}" for measure, name in by_checkpoint.columns], axis=1)
    candidates["balance"] = by_checkpoint["balance"].mean(axis=1)
    candidates["retained"] = by_checkpoint["retained"].min(axis=1)
    candidates = candidates.reset_index()
    chosen = [best(group) for _, group in candidates.groupby(["setting", "method"], sort=True)]
    for name, frame in (("candidates", candidates), ("choice", pd.DataFrame(chosen))):
        with whole(job.outputs[name]) as beside:
            frame.to_csv(beside, index=False, float_format="%.4g", lineterminator="\n")


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """With columns ``retained`` and ``balance``; a ratio to an accuracy of 0 counts as 1, a diverged run retains and
    balances 0."""
    forgotten = 1 - (table.forget_accuracy / table.forget_accuracy_before).fillna(1.0)
    retained = (table.retain_accuracy / table.retain_accuracy_before).fillna(1.0).where(~table.diverged, 0.0)
    return table.assign(retained=retained, balance=((forgotten + retained) / 2).where(~table.diverged, 0.0))


def best(candidates: pd.DataFrame) -> pd.Series:
    """The row that the rule takes; ``balance`` and ``retained`` are those of the average and of the worst checkpoint."""
    standing = candidates[candidates.retained >= 1 - COLLAPSE]
    if standing.empty:
        return candidates.loc[candidates.value.idxmin()]
    near = standing[standing.balance >= standing.balance.max() - TIE]
    return near.loc[near.value.idxmin()]
