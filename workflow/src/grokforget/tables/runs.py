"""What became of every run, and how often what became of the runs of a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokforget.grokking.outcome import LEVELS, disagreement, gap_share, norm_law, slope_at
from grokforget.grokking.slingshots import slingshots
from grokforget.grokking.transition import KINDS, first_sustained, read_curve
from grokforget.statistics.rates import wilson

if TYPE_CHECKING:
    from grokforget.config.training import SelectionSettings

RUN = ["setting", "train_set", "seed"]
ENDINGS = ("", *(f"_{name}" for name in LEVELS))
"""Of the columns of a time of generalising: the setting's own rule, and fixed levels."""
AT_THE_END = ("train_accuracy", "validation_accuracy", "test_accuracy")
GROKKED = "grokked"
"""The outcome "there was a transition after memorisation"; ``grokked 90 %`` is its time by that level."""


def runs(
    training: pd.DataFrame,
    selection: Mapping[str, SelectionSettings],
    chance: Mapping[str, float],
    decay: Mapping[str, float],
) -> pd.DataFrame:
    """A row a (setting, train_set, seed) of the curves in ``training``; ``selection`` and ``chance`` are each setting's rules
    and the accuracy of guessing, ``decay`` what weight decay takes off the weights at every update, where that is one share.

    ``kind``, ``transition``, ``t_mem``, ``t_grok``, ``gap``, ``gap_share``, ``delay``, ``sharpness``, ``plateau``, ``final``,
    ``t_derivative`` and ``t_sigmoid`` are those of ``transition.Grokking``. With the ending ``_90`` or ``_99`` of the first
    sustained validation accuracy of .90 or .99, whatever the setting's rule. ``slope``: ``outcome.slope_at`` there.
    ``censored``: the training data were fitted, and the run ended at ``steps`` without a transition; with an ending, that it
    ended before this accuracy, without diverging. ``disagreement``: of the detectors, in decades. Accuracies and
    ``weight_norm`` are those of the last evaluation, ``weight_norm_...`` those of the first and at each time. ``norm_law``: the
    gap that weight decay alone predicts of the norms at ``t_mem`` and ``t_grok`` (``outcome.norm_law``); ``slingshots``: how many
    there are, from ``first_slingshot`` on.
    """
    rows = []
    for labels, curve in training.groupby(RUN, sort=True):
        told = dict(zip(RUN, labels, strict=True))
        name = told["setting"]
        measures = of_run(curve.sort_values("step"), selection[name], chance[name], decay.get(name, math.nan))
        rows.append({**told, **measures})
    return pd.DataFrame(rows)


def of_run(curve: pd.DataFrame, settings: SelectionSettings, chance: float, decay: float) -> dict[str, Any]:
    """The measures of one run; ``curve`` has a row an evaluation, in order."""
    steps, train, validation, norm = (
        curve[name].to_numpy() for name in ("step", "train_accuracy", "validation_accuracy", "weight_norm")
    )
    diverged = bool(curve.diverged.any())
    read = read_curve(steps, train, validation, chance=chance, settings=settings, diverged=diverged).row()
    row = {name: read.pop(name) for name in ("kind", "transition")}
    row["steps"] = int(steps[-1])
    row["censored"] = row["kind"] == "did not finish"
    row["t_mem"] = read["t_mem"]
    for ending in ENDINGS:
        if ending:
            level = LEVELS[ending.removeprefix("_")]
            # After a run has diverged, nothing that it reached is kept.
            time = math.nan if diverged else first_sustained(steps, validation >= level, settings.sustained)
            row[f"censored{ending}"] = math.isnan(time) and not diverged
        else:
            time = read["t_grok"]
        row[f"t_grok{ending}"], row[f"gap{ending}"] = time, time - row["t_mem"]
        row[f"gap_share{ending}"] = gap_share(row["t_mem"], time)
        row[f"slope{ending}"] = slope_at(steps, validation, time)
    row |= {name: read[name] for name in ("delay", "sharpness", "t_derivative", "t_sigmoid")}
    row["disagreement"] = disagreement(read["t_derivative"], read["t_sigmoid"])
    row |= {name: read[name] for name in ("plateau", "final")}
    row |= {name: float(curve[name].iloc[-1]) for name in (*AT_THE_END, "weight_norm")}
    row["weight_norm_start"] = float(norm[0])
    times = ["t_mem", *(f"t_grok{ending}" for ending in ENDINGS)]
    row |= {f"weight_norm_{name}": value_at(steps, norm, row[name]) for name in times}
    row["norm_law"] = norm_law(row["weight_norm_t_mem"], row["weight_norm_t_grok"], decay)
    found = slingshots(steps, norm, curve.train_loss.to_numpy(), row["t_mem"])
    return row | {"slingshots": len(found), "first_slingshot": float(found[0]) if found else math.nan}


def value_at(steps: np.ndarray, values: np.ndarray, time: float) -> float:
    """The value of the evaluation at a step; NaN for no step."""
    return math.nan if math.isnan(time) else float(values[np.searchsorted(steps, time)])


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Of every (setting, train_set), of ``runs``, a row an ``outcome``: ``grokked`` (a transition after memorisation, by the
    setting's rule), ``grokked 90 %`` and ``grokked 99 %`` (that accuracy, reached after memorisation), and every kind of curve.

    ``count`` of ``runs`` seeds had it, which is ``rate``, with the ends ``low`` and ``high`` of its 95 % Wilson interval.
    ``t_median``, of the first three, is the median time over all runs, those that did not grok counted as never: NaN where half
    or more did not. There is no mean: it would be of those alone that did.
    """
    rows = []
    for labels, group in table.groupby(RUN[:2], sort=True):
        told = {**dict(zip(RUN, labels, strict=False)), "runs": len(group)}
        for ending in ENDINGS:
            time = group[f"t_grok{ending}"]
            did = time > group.t_mem if ending else group.transition
            name = f"{GROKKED} {ending.removeprefix('_')} %" if ending else GROKKED
            median = float(np.median(time.where(did, np.inf)))
            rows.append({**told, "outcome": name, **rate(did), "t_median": median if median < np.inf else np.nan})
        for kind in KINDS:
            rows.append({**told, "outcome": kind, **rate(group.kind == kind), "t_median": np.nan})
    first = [*RUN[:2], "outcome"]
    frame = pd.DataFrame(rows)
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def rate(did: pd.Series) -> dict[str, float]:
    """Of how many runs something is true, and of what share, with its interval."""
    count = int(did.sum())
    low, high = wilson(count, len(did))
    return {"count": count, "rate": count / len(did), "low": low, "high": high}


def labelled(
    table: pd.DataFrame, grids: Mapping[str, str], columns: Mapping[str, Mapping[str, str | float | bool | None]]
) -> pd.DataFrame:
    """The table with a column ``grid`` ("" where there is none) and one a label, where a study has such: of numbers as float64,
    with NaN for settings that have no such label, else of text."""
    if not grids and not columns:
        return table
    found = {"grid": table.setting.map(lambda name: grids.get(name, ""))}
    for label in sorted({label for of_one in columns.values() for label in of_one}):
        values = [columns.get(name, {}).get(label) for name in table.setting]
        plain = all(
            value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values
        )
        text = ["" if value is None else str(value) for value in values]
        found[label] = pd.Series(values, table.index, "float64") if plain else pd.Series(text, table.index)
    return pd.concat([table, pd.DataFrame(found, index=table.index)], axis=1)
