"""The rule by which hyper-parameters are chosen, and every checkpoint at its own best one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from grokforget.statistics.flags import DIVERGED, FLAG, NOT_FOUND, REFERENCE_FLAG

TIE = 0.005
"""Candidates this near to the best count as equal to it, and the smallest of them is taken: the least change for the
same effect."""
COLLAPSE = 0.5
"""A checkpoint that loses more than this share of its retain accuracy has collapsed."""
CELL = ["setting", "method", "checkpoint"]
SHARED, OWN = "shared", "own"


def candidates(table: pd.DataFrame) -> pd.DataFrame:
    """Balance and retained share of every candidate, a row a (setting, method, value), from the cells of the tuning seed.

    Of every candidate and checkpoint, averaged over the forget sets: *retained* is A_r/A_r⁰, and *balance* ½ (1 -
    A_f/A_f⁰) + ½ A_r/A_r⁰, forgetting and retaining, each relative to the checkpoint before unlearning, which puts
    checkpoints of different accuracy on one scale. ``balance`` is the mean over the checkpoints, ``retained`` the least.
    """
    keys = ["setting", "method", "parameter", "value"]
    by_checkpoint = scored(found(table)).pivot_table(["balance", "retained"], keys, "checkpoint", aggfunc="mean")
    candidates = by_checkpoint.set_axis([f"{measure}_{name}" for measure, name in by_checkpoint.columns], axis=1)
    candidates["balance"] = by_checkpoint["balance"].mean(axis=1)
    candidates["retained"] = by_checkpoint["retained"].min(axis=1)
    return candidates.reset_index()


def forgetting(table: pd.DataFrame, trajectories: pd.DataFrame, *, ends: bool = False) -> pd.DataFrame:
    """The one value and number of updates a (setting, method), the same for all checkpoints, at which what was to be forgotten
    is forgotten: from the cells of the tuning seed.

    Every candidate at every update, and at its own end, is looked at; with ``ends`` at its own end alone. Taken is that
    whose forget accuracy, averaged over checkpoints and forget sets, is nearest to that of the retrained references, averaged
    over the same; of those within ``TIE`` of the nearest the one that retains most on average, then the smallest value, then
    the method's own end (``updates`` is NaN), then the fewest updates. The rule names no checkpoint, so it serves none at
    another's cost. Cells count whose checkpoint and reference were found, and a candidate as long as none of its runs has
    diverged.
    """
    rows = []
    known = found(table)
    for (setting, method), cells in known[known[REFERENCE_FLAG] == ""].groupby(["setting", "method"], sort=True):
        wanted = cells.drop_duplicates(["checkpoint", "forget_set"]).forget_accuracy_retrained.mean()
        here = trajectories[(trajectories.setting == setting) & (trajectories.method == method)]
        points = pd.concat(
            [points_of(one, here[here.value == value]) for value, one in cells.groupby("value", sort=True)]
        )
        if ends:
            points = points[points.updates.isna()]
            if points.empty:  # Every candidate has diverged.
                continue
        # The same models, averaged in another order, are as near and retain as much.
        points = points.assign(
            distance=(points.forget_accuracy - wanted).abs().round(9), retained=points.retained.round(9)
        )
        near = points[points.distance <= points.distance.min() + TIE]
        order = near.sort_values(
            ["retained", "value", "updates"], ascending=[False, True, True], na_position="first", kind="stable"
        )
        labels = {"setting": setting, "method": method, "parameter": cells.parameter.iloc[0]}
        rows.append(labels | order.iloc[0].to_dict() | {"forget_accuracy_retrained": wanted})
    columns = ["value", "updates", "forget_accuracy", "forget_accuracy_retrained", "retained"]
    return pd.DataFrame(rows, columns=["setting", "method", "parameter", *columns])


def points_of(cells: pd.DataFrame, trajectories: pd.DataFrame) -> pd.DataFrame:
    """Of one candidate, a row an update that any of its cells has, and its own end: value, updates, and the means over the
    cells of forget accuracy and of the share of the retain accuracy that is left.

    Between its rows a trajectory's forget accuracy does not change, and behind them neither, unless the run diverged."""
    where = ["checkpoint", "forget_set"]
    path = trajectories.merge(cells[[*where, "retain_accuracy_before", FLAG]], on=where, suffixes=("", "_result"))
    path = path.assign(retained=(path.retain_accuracy / path.retain_accuracy_before).fillna(1.0))
    steps = path[~path.final]
    measures = ["forget_accuracy", "retained"]
    by_cell = steps.pivot_table(measures, "update", where).sort_index()
    filled = by_cell.ffill()
    for labels in cells[cells[FLAG] == DIVERGED][where].itertuples(index=False, name=None):
        for measure in measures:
            column = (measure, *labels)
            filled[column] = (
                filled[column].where(by_cell[column][::-1].notna().cummax()[::-1]) if column in by_cell else np.nan
            )
    whole = filled[filled.notna().all(axis=1) & (filled.index > 0)]
    points = pd.DataFrame({name: whole[name].mean(axis=1) for name in measures if name in whole}, index=whole.index)
    points = points.rename_axis("updates").reset_index()
    ends = path[path.final]
    if len(ends) == len(cells):
        points = pd.concat([points, pd.DataFrame([{"updates": np.nan, **ends[measures].mean()}])], ignore_index=True)
    return points.assign(value=cells.value.iloc[0])


def tuned(table: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The cells of the reported seeds at two choices of a method's hyper-parameter: does what tells checkpoints apart
    survive tuning?

    ``shared``: one value for all checkpoints, as the paper does; ``own``: for each checkpoint its own. Both are chosen by the
    rule of ``best`` on the cells of the tuning ``seed`` alone, from the same candidates, so every checkpoint has the same
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
    """The row with the best balance among those under which no checkpoint collapses; where all collapse some, that with the
    smallest value. ``balance`` and ``retained`` are those of the average and of the worst checkpoint."""
    standing = candidates[candidates.retained >= 1 - COLLAPSE]
    if standing.empty:
        return candidates.loc[candidates.value.idxmin()]
    near = standing[standing.balance >= standing.balance.max() - TIE]
    return near.loc[near.value.idxmin()]
