"""Curves along training: each seed thin, their mean thick."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from grokforget.figures.parts.dots import darker
from grokforget.figures.parts.style import logarithmic

POINTS = 100
LEGEND = "thick: mean over seeds, thin: each seed"


def mean_curve(runs: pd.DataFrame, geometric: bool = False) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps and the mean over seeds there, both float64 (``POINTS``,): each seed's ``value`` interpolated in log ``step``,
    over the steps that all seeds reach; empty where there are none.

    Missing values, steps below 1 and, for the geometric mean (interpolated in log value, too), values that are not positive
    do not count; neither does a seed without any value.
    """
    runs = runs[runs.value.notna() & (runs.step > 0)]
    runs = runs[runs.value > 0] if geometric else runs
    by_seed = [run.sort_values("step") for _, run in runs.groupby("seed")]
    first, last = (f(run.step.iloc[end] for run in by_seed) if by_seed else 0 for f, end in ((max, 0), (min, -1)))
    if not 0 < first <= last:
        return np.empty(0), np.empty(0)
    grid = np.linspace(np.log(first), np.log(last), POINTS)
    values = [np.log(run.value) if geometric else run.value for run in by_seed]
    curves = [np.interp(grid, np.log(run.step), value) for run, value in zip(by_seed, values, strict=True)]
    mean = np.mean(curves, axis=0)
    return np.exp(grid), np.exp(mean) if geometric else mean


def draw_runs(
    axes: Axes, runs: pd.DataFrame, style: Mapping[str, Any], width: float = 1.6, geometric: bool = False
) -> None:
    """``runs`` has seed, step and value; ``style`` a colour and a dash. The steps' axis is logarithmic."""
    for _, run in runs[runs.step > 0].groupby("seed"):
        run = run.sort_values("step")
        axes.plot(run.step, run.value, color=darker(style["color"]), linewidth=0.4, alpha=0.8)
    axes.plot(*mean_curve(runs, geometric), linewidth=width, **dash(style))
    logarithmic(axes, "x")


def dash(look: Mapping[str, Any]) -> dict[str, Any]:
    """Colour and dash alone."""
    return {key: look[key] for key in ("color", "linestyle")}


def times(checkpoints: pd.DataFrame, setting: str) -> dict[str, float]:
    """Median over seeds of t_mem and t_grok of the runs on the full training set; NaN where no seed has one."""
    rows = checkpoints[(checkpoints.setting == setting) & (checkpoints.train_set == "full")]
    by_seed = rows.drop_duplicates("seed")
    return {name: float(by_seed[name].median()) for name in ("t_mem", "t_grok")}


def mark_times(axes: Axes, checkpoints: pd.DataFrame, setting: str, named: bool) -> None:
    """Upright lines at ``times``, with their names above the panel if ``named``."""
    for (name, time), side in zip(times(checkpoints, setting).items(), ("right", "left"), strict=True):
        if np.isnan(time):
            continue
        axes.axvline(time, color="0.3", linewidth=0.8, linestyle=(0, (4, 2, 1, 2)), zorder=1)
        if named:
            label = f"$t_{{{name.removeprefix('t_')}}}$"
            above = axes.get_xaxis_transform()
            axes.text(time, 1.01, label, ha=side, va="bottom", fontsize=8, transform=above)
