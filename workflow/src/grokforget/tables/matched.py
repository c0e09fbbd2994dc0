"""Matched forgetting: what every method and checkpoint has lost where as much is forgotten.

At one hyper-parameter for all, a checkpoint that hardly moves is compared with one that collapses. Here each is read where its
forget accuracy has fallen to a level: the retrained model's, 10 %, or chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from grokforget.statistics.flags import FLAG, NOT_FOUND, NOT_REACHED, REFERENCE_FLAG
from grokforget.statistics.levels import Crossing, crossing, levels_of

TIE = 0.005
"""Collaterals this near count as equal, and fewer updates are preferred, then the smaller value."""
CELL = ["setting", "seed", "forget_set", "checkpoint", "method"]
CANDIDATE = [*CELL, "parameter", "value"]
SPLITS = ("forget", "retain", "test")
COSTS = ("retain", "test")
RESULT = [
    *(f"{split}_accuracy" for split in COSTS),
    *(f"{split}_accuracy_drop" for split in COSTS),
    "collateral",
    "retrain_gap",
    "updates",
    "share_of_updates",
    "from_update",
    "to_update",
    "from_value",
    "to_value",
]
ORDER = [*CELL, "level", "parameter", "value", "chosen", "level_accuracy", "forget_accuracy_before", *RESULT]


def matched(tuning: pd.DataFrame, trajectories: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row a (cell, level, candidate), from all candidates and their trajectories.

    ``level_accuracy`` is the forget accuracy of the level (of the level ``retrained`` that of the retrained reference of the
    same checkpoint). Retain and test accuracy there, their drops from the checkpoint before, ``collateral`` (the mean of the
    two drops), ``retrain_gap`` (the mean distance of the three accuracies to the retrained model's) and ``updates`` are
    interpolated linearly between the updates ``from_update`` and ``to_update`` around the level; of a method of one update,
    whose candidates differ in strength alone, between the candidates ``from_value`` and ``to_value``: those are one row,
    without a value. ``share_of_updates`` is of all that the method makes. Where the level is never reached all of these are
    NaN, and the row's flag says so.

    A candidate without a ``parameter`` is what the study names, of a method of which none are tried: it has no value, and is
    chosen. Of all others ``chosen`` marks the candidate of each (setting, method, checkpoint, level) with the least collateral
    on the tuning ``seed``, on average over its forget sets; where none gets there on all of them, the one that comes nearest.
    Of a checkpoint that was not found with that seed nothing is chosen.
    """
    rows = [row for one in curves(tuning, trajectories) for row in at_levels(one)]
    table = pd.DataFrame(rows, columns=[*(name for name in ORDER if name != "chosen"), FLAG, REFERENCE_FLAG, "least"])
    best = choices(table[(table.seed == seed) & (table[FLAG] != NOT_FOUND)])
    keys = ["setting", "checkpoint", "method", "level"]
    marked = table[table.seed != seed].merge(best.assign(chosen=True), on=[*keys, "value"], how="left")
    own = marked.parameter == ""
    values = ["value", "from_value", "to_value"]
    reported = marked.assign(chosen=marked.chosen.notna() | own, **{name: marked[name].mask(own) for name in values})
    return reported[[*ORDER, FLAG, REFERENCE_FLAG]].sort_values(
        [*CELL, "level", "value"], kind="stable", ignore_index=True
    )


def curves(tuning: pd.DataFrame, trajectories: pd.DataFrame) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Of each candidate its row in ``tuning`` and its trajectory; of a method of one update all candidates of a cell together,
    from the weakest to the strongest, behind the checkpoint before."""
    # Of trajectories without rows, of runs that have all diverged, the column has no type.
    final = trajectories.final.astype(bool)
    paths = {labels: path for labels, path in trajectories[~final].groupby(CANDIDATE, sort=False)}
    results = {labels: path for labels, path in trajectories[final].groupby(CANDIDATE, sort=False)}
    for _, cell in tuning.groupby(CELL, sort=True):
        if (cell.updates <= 1).all():
            ends = [
                results[labels] for labels in cell[CANDIDATE].itertuples(index=False, name=None) if labels in results
            ]
            start = {f"{split}_accuracy": cell[f"{split}_accuracy_before"].iloc[0] for split in SPLITS}
            # Where every candidate has diverged there is nothing but the checkpoint before.
            first = pd.DataFrame([{**start, "update": 0, "value": np.nan, FLAG: None}])
            whole = pd.concat([first, *ends], ignore_index=True)
            yield (
                {**cell.iloc[0].to_dict(), "value": np.nan},
                whole.sort_values("forget_accuracy", ascending=False, kind="stable"),
            )
            continue
        for row in cell.to_dict("records"):
            path = paths.get(tuple(row[name] for name in CANDIDATE))
            if path is not None:
                yield row, path.sort_values("update")


def at_levels(curve: tuple[dict[str, Any], pd.DataFrame]) -> Iterator[dict[str, Any]]:
    """A row a level."""
    candidate, path = curve
    retrained = candidate["forget_accuracy_retrained"]
    for level, accuracy in levels_of(retrained, candidate["chance"]).items():
        labels = {name: candidate[name] for name in CANDIDATE}
        labels |= {"level": level, "level_accuracy": accuracy, REFERENCE_FLAG: candidate[REFERENCE_FLAG]}
        labels |= {"forget_accuracy_before": candidate["forget_accuracy_before"], "least": path.forget_accuracy.min()}
        found = crossing(path.forget_accuracy, accuracy)
        # A run that diverges may have passed the level before: a row of its trajectory knows whether the checkpoint was found.
        known = path[FLAG].dropna()
        flag = known.iloc[0] if len(known) else candidate[FLAG]
        if level == "retrained" and candidate[REFERENCE_FLAG]:
            yield labels | dict.fromkeys(RESULT, np.nan) | {FLAG: flag or candidate[REFERENCE_FLAG]}
        elif found:
            yield labels | costs(candidate, path, found, accuracy) | {FLAG: flag}
        else:
            yield labels | dict.fromkeys(RESULT, np.nan) | {FLAG: flag or NOT_REACHED}


def costs(candidate: dict[str, Any], path: pd.DataFrame, found: Crossing, level: float) -> dict[str, float]:
    """What stands at a crossing; ``RESULT``."""
    at = {f"{split}_accuracy": found.of(path[f"{split}_accuracy"]) for split in SPLITS}
    drops = {
        f"{split}_accuracy_drop": candidate[f"{split}_accuracy_before"] - at[f"{split}_accuracy"] for split in COSTS
    }
    gaps = [abs(at[f"{split}_accuracy"] - candidate[f"{split}_accuracy_retrained"]) for split in SPLITS]
    around = path.iloc[[found.before, found.after]]
    updates = found.of(path["update"]) if np.isfinite(candidate["value"]) else float(found.after > 0)
    return {
        **{name: at[name] for name in ("retain_accuracy", "test_accuracy")},
        **drops,
        "collateral": float(np.mean(list(drops.values()))),
        "retrain_gap": float(np.mean(gaps)) if not candidate[REFERENCE_FLAG] else np.nan,
        "updates": updates,
        "share_of_updates": updates / max(candidate["updates"], 1),
        **dict(zip(("from_update", "to_update"), around["update"].to_numpy(np.float64), strict=True)),
        **dict(zip(("from_value", "to_value"), around["value"].to_numpy(np.float64), strict=True)),
    }


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """The candidate of each (setting, checkpoint, method, level), from the rows of the tuning seed."""
    keys = ["setting", "checkpoint", "method", "level"]
    rows = []
    for labels, candidates in table.groupby(keys, sort=True):
        by_value = candidates.groupby("value", as_index=False, dropna=False)
        means = by_value.agg(
            collateral=("collateral", lambda one: one.mean(skipna=False)),
            updates=("updates", lambda one: one.mean(skipna=False)),
            least=("least", "mean"),
        )
        rows.append(dict(zip(keys, labels, strict=True)) | {"value": best(means)})
    return pd.DataFrame(rows, columns=[*keys, "value"])


def best(means: pd.DataFrame) -> float:
    """The value with the least collateral; where none reaches the level, that with the least forget accuracy."""
    reached = means.dropna(subset=["collateral"])
    if reached.empty:
        return float(means.sort_values(["least", "value"]).value.iloc[0])
    near = reached[reached.collateral <= reached.collateral.min() + TIE]
    return float(near.sort_values(["updates", "value"]).value.iloc[0])


def fronts(tuning: pd.DataFrame, trajectories: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A row a cell of the reported seeds: ``area`` under the front of collateral against forgetting, and ``most_forgotten``.

    Forgetting is 1 - A_f / A_f⁰, collateral 1 - ½ (A_r / A_r⁰ + A_t / A_t⁰), both in [0, 1]. The front is the least
    collateral of any candidate at any update that has forgotten at least so much; what none has forgotten counts as
    collateral 1. Its area is the mean over forgetting from 0 to 1: 0 is forgetting for nothing. The best candidate is taken
    on the very seed, so it is a lower bound, alike for all checkpoints. NaN of a checkpoint without any forget accuracy.
    """
    before = tuning[tuning.seed != seed][[*CANDIDATE, *(f"{split}_accuracy_before" for split in SPLITS)]]
    path = trajectories.merge(before, on=CANDIDATE)
    forgotten = (1 - path.forget_accuracy / path.forget_accuracy_before).clip(0, 1)
    kept = (path.retain_accuracy / path.retain_accuracy_before + path.test_accuracy / path.test_accuracy_before) / 2
    path = path.assign(forgotten=forgotten, collateral=(1 - kept).clip(0, 1))
    rows = [
        dict(zip(CELL, labels, strict=True))
        | {"area": area(points.forgotten.to_numpy(), points.collateral.to_numpy())}
        | {"most_forgotten": points.forgotten.max(), FLAG: points[FLAG].iloc[0]}
        for labels, points in path.groupby(CELL, sort=True)
    ]
    return pd.DataFrame(rows, columns=[*CELL, "area", "most_forgotten", FLAG])


def area(forgotten: np.ndarray, collateral: np.ndarray) -> float:
    """Under the staircase of the least collateral of points (n,) that have forgotten at least as much, over [0, 1]."""
    known = np.isfinite(forgotten) & np.isfinite(collateral)
    if not known.any():
        return float("nan")
    order = np.argsort(forgotten[known], kind="stable")
    x, y = forgotten[known][order], collateral[known][order]
    least = np.minimum.accumulate(y[::-1])[::-1]
    edges = np.concatenate([[0.0], x])
    return float((np.diff(edges) * least).sum() + (1 - x[-1]))
