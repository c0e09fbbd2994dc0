"""Draws curves of runs whose recipe changes on the way, beside those without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, dash, draw_runs
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import MOST_PANELS, canvas, left
from grokforget.figures.parts.style import SPLITS, accuracy_axis

if TYPE_CHECKING:
    from grokforget.config.specs.figures import ScheduleFigureSpec

SWITCH = {"color": "#d55e00", "linewidth": 1.0, "linestyle": (0, (1, 1.2))}


def figure(tables: Mapping[str, pd.DataFrame], spec: ScheduleFigureSpec) -> Figure:
    """A panel a setting, those of the same data and model beside each other: accuracy (%) on train and test set against
    steps, each seed and their mean; dotted upright lines: switches of weight decay or learning rate, and where a run goes
    on with another recipe. Table: training.
    """
    set_small_style()
    training = tables["training"][tables["training"].train_set == "full"]
    there = set(training.setting)
    found = [(name, steps) for family in spec.schedules.values() for name, steps in family.items() if name in there]
    if not found:
        return empty("no recipe changes on the way")
    shown = found[:MOST_PANELS]
    fig, axes = canvas(len(shown), 46)
    for ax, (name, steps) in zip(axes, shown, strict=True):
        runs = training[training.setting == name]
        for split in ("train", "test"):
            draw_runs(ax, runs.assign(value=100 * runs[f"{split}_accuracy"]), SPLITS[split])
        for step in steps:
            ax.axvline(step, gid="switch", zorder=1, **SWITCH)
        # Not logarithmic: how long after a switch is what is asked.
        ax.set_xscale("linear")
        accuracy_axis(ax)
        ax.set_title(f"{name}, {runs.seed.nunique()} seeds")
        ax.set_xlabel("training step")
        ax.set_ylabel("accuracy (%)")
    marks = {split: dash(SPLITS[split]) for split in ("train", "test")}
    legend(fig, {**marks, "switch of the recipe": SWITCH}, columns=3)
    fig.suptitle(f"{LEGEND}{left(len(found))}")
    return fig
