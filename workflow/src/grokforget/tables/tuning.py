"""The rule by which hyper-parameters are chosen, and every checkpoint at its own best one."""

from __future__ import annotations

import pandas as pd

from grokforget.statistics.flags import DIVERGED, FLAG, NOT_FOUND

TIE = 0.005
"""Candidates this near to the best count as equal to it, and the smallest of them is taken: the least change for the
same effect."""
COLLAPSE = 0.5
"""A checkpoint that loses more than this share of its retain accuracy has collapsed."""
CELL = ["setting", "method", "checkpoint"]
SHARED, OWN = "shared", "own"


def choice(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All candidates, and the one value a (setting, method), the same for all checkpoints, from the cells of the tuning
    seed.

    Of every candidate and checkpoint, averaged over the forget sets: *retained* is A_r/A_r⁰, and *balance* ½ (1 -
    A_f/A_f⁰) + ½ A_r/A_r⁰, forgetting and retaining, each relative to the checkpoint before unlearning, which puts
    checkpoints of different accuracy on one scale. Candidates under which any checkpoint collapses are out. Of the
    others the one with the best balance on average over the checkpoints is taken; where all collapse some checkpoint,
    the smallest. The rule names no checkpoint, so it serves none at another's cost.
    """
    keys = ["setting", "method", "parameter", "value"]
    by_checkpoint = scored(found(table)).pivot_table(["balance", "retained"], keys, "checkpoint", aggfunc="mean")
    candidates = by_checkpoint.set_axis([f"{measure}_{name}" for measure, name in by_checkpoint.columns], axis=1)
    candidates["balance"] = by_checkpoint["balance"].mean(axis=1)
    candidates["retained"] = by_checkpoint["retained"].min(axis=1)
    candidates = candidates.reset_index()
    chosen = [best(group) for _, group in candidates.groupby(["setting", "method"], sort=True)]
    return candidates, pd.DataFrame(chosen)


def tuned(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cells of the reported seeds at two choices of a method's hyper-parameter: does what tells checkpoints apart
    survive tuning?

    ``shared``: one value for all checkpoints, as the paper does; ``own``: for each checkpoint its own. Both are chosen by the
    rule of ``choice`` on the cells of the tuning ``seed`` alone, from the same candidates, so every checkpoint has the same
    budget. A row a (setting, seed, forget_set, checkpoint, method, protocol), with ``balance`` and ``retained`` of that cell
    beside its accuracies.
    """
    table = scored(table)
    chooses = table.seed == seed
    cells = table[~chooses].merge(choices(found(table[chooses])), on=[*CELL, "value"])
    keys = ["setting", "seed", "forget_set", "checkpoint", "method", "protocol"]
    order = [*keys, *(name for name in cells.columns if name not in keys)]
    return cells[order].sort_values(keys, kind="stable", ignore_index=True)


def choices(candidates: pd.DataFrame) -> pd.DataFrame:
    """The chosen value a (setting, method, checkpoint, protocol), from the scored rows of the tuning seed."""
    by_checkpoint = candidates.groupby([*CELL, "value"], as_index=False)[["balance", "retained"]].mean()
    over_all = by_checkpoint.groupby(["setting", "method", "value"], as_index=False).agg(
        balance=("balance", "mean"), retained=("retained", "min")
    )
    own = [
        {**dict(zip(CELL, labels, strict=True)), "protocol": OWN, "value": best(group).value}
        for labels, group in by_checkpoint.groupby(CELL, sort=True)
    ]
    at_once = {labels: best(group).value for labels, group in over_all.groupby(["setting", "method"], sort=True)}
    shared = [{**row, "protocol": SHARED, "value": at_once[row["setting"], row["method"]]} for row in own]
    return pd.DataFrame([*shared, *own])


def found(table: pd.DataFrame) -> pd.DataFrame:
    """What a choice may rest on: the checkpoints that are what their name says. A candidate that makes a model diverge counts,
    as one that loses everything: it is not to be chosen for the runs that it spares."""
    return table[table[FLAG] != NOT_FOUND]


def scored(table: pd.DataFrame) -> pd.DataFrame:
    """With columns ``retained`` and ``balance``; a ratio to an accuracy of 0 counts as 1, a diverged run retains and
    balances 0."""
    diverged = table[FLAG] == DIVERGED
    forgotten = 1 - (table.forget_accuracy / table.forget_accuracy_before).fillna(1.0)
    retained = (table.retain_accuracy / table.retain_accuracy_before).fillna(1.0).mask(diverged, 0.0)
    return table.assign(retained=retained, balance=((forgotten + retained) / 2).mask(diverged, 0.0))


def best(candidates: pd.DataFrame) -> pd.Series:
    """The row that the rule takes; ``balance`` and ``retained`` are those of the average and of the worst checkpoint."""
    standing = candidates[candidates.retained >= 1 - COLLAPSE]
    if standing.empty:
        return candidates.loc[candidates.value.idxmin()]
    near = standing[standing.balance >= standing.balance.max() - TIE]
    return near.loc[near.value.idxmin()]
