"""Draws what is left after unlearning from models that a lever has brought to grok, against those that were waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, set_small_style, unlearned
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import INDUCED, say_seeds
from grokforget.figures.parts.style import MILLIMETRES, WIDTH
from grokforget.statistics.contrasts import paired_interval
from grokforget.statistics.quantities import CELL, under_their_settings

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

WAITED = "grokked"
MEASURES = {"forget_accuracy": "forget accuracy", "retain_accuracy": "retain accuracy"}
MEAN: dict[str, Any] = {"linestyle": "none", "marker": "D", "color": "#000000", "markersize": 4.2}
SEED: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "#0072b2", "markersize": 2.2}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting with controls ``induced-...``, a column a measure, a line a lever: its accuracy after unlearning less
    that from the setting's ``grokked`` (points), of every seed the mean over the methods and forget sets that both have, and
    over seeds the mean with its 95 % interval by Student's t. Never a mean over levers: two that differ in opposite ways would
    look like none. Table: unlearning.
    """
    set_small_style()
    controls = [one for one in spec.study.controls.values() if one.of in spec.settings]
    levers = {
        base: [one.name for one in controls if one.of == base and one.name.startswith(INDUCED)]
        for base in spec.settings
    }
    levers = {base: names for base, names in levers.items() if names}
    if not levers:
        return empty("no setting has a lever")
    cells = under_their_settings(tables["unlearning"], spec.study.controls)
    cells = cells[cells.method.isin(unlearned(spec))]
    heights = [5 * len(names) + 10 for names in levers.values()]
    fig, panels = plt.subplots(
        len(levers),
        len(MEASURES),
        figsize=(WIDTH, (sum(heights) + 24) * MILLIMETRES),
        squeeze=False,
        sharex="col",
        sharey="row",
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for row, (base, names) in zip(panels, levers.items(), strict=True):
        for axes, measure in zip(row, MEASURES, strict=True):
            draw(axes, cells[cells.setting == base], names, measure)
        row[0].set_ylabel(base)
    for axes, name in zip(panels[-1], MEASURES.values(), strict=True):
        axes.set_xlabel(f"{name},\ninduced - {WAITED} (points)")
    legend(fig, {"each seed, mean over methods": SEED, "mean over seeds, 95 % interval": MEAN})
    fig.suptitle("After unlearning: induced grokking less waited-for grokking")
    return fig


def differences(cells: pd.DataFrame, lever: str, measure: str) -> np.ndarray:
    """``lever`` minus ``grokked`` of one setting in points, (seeds,) in the order of seeds: the mean over the cells that have a
    value of both."""
    ours, theirs = (cells[cells.checkpoint == name].set_index(CELL)[measure] for name in (lever, WAITED))
    both = 100 * (ours - theirs).dropna()
    return both.groupby(level="seed").mean().to_numpy("float64")


def draw(axes: Axes, cells: pd.DataFrame, levers: list[str], measure: str) -> None:
    """One panel, and at its right of how many seeds each line is."""
    for place, lever in enumerate(levers):
        each = differences(cells, lever, measure)
        axes.plot(each, np.full(len(each), place + 0.25), gid=f"seeds {lever}", **SEED)
        if len(each):
            mean, low, high = paired_interval(each)
            axes.plot([low, high], [place, place], color="0.2", linewidth=1.0, gid=f"interval {lever}")
            axes.plot([mean], [place], gid=f"mean {lever}", **MEAN)
        say_seeds(axes, place, len(each))
    axes.axvline(0, color="0.3", linewidth=0.7, zorder=1)
    axes.set_yticks(range(len(levers)), [lever.removeprefix(INDUCED) for lever in levers])
    axes.set_ylim(len(levers) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
