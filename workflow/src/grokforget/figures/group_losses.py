"""Draws how the losses of groups of examples go along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, draw_runs, mean_curve
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, legend, settings_of
from grokforget.figures.parts.groups import LOOKS, designs
from grokforget.figures.parts.style import logarithmic
from grokforget.statistics.groups import by_groups

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

ASKED = {"loss": "questions as trained", "paraphrase_loss": "paraphrased questions"}
HELD_OUT: dict[str, Any] = {"color": "#7f7f7f", "linestyle": (0, (1, 1.2))}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a (setting, what groups are alike in), a column for the questions as they are trained and one for paraphrased ones:
    mean loss of each group's answers (nats a token) along the run on the full train set, the mean over seeds of its quartiles
    behind it, and in grey the loss of held-out questions about the same authors. Tables: group_losses, training.
    """
    set_small_style()
    rows = by_groups(tables["group_losses"], spec.study.forget_sets)
    shown = [
        (setting, one) for setting in settings_of(rows, spec.settings) for one in designs(rows[rows.setting == setting])
    ]
    if not shown:
        return empty("there are no losses of groups")
    measures = [name for name in ASKED if name in rows]
    fig, panels = grid(len(shown), len(measures), 46, sharex=True, sharey=True)
    full = tables["training"][tables["training"].train_set == "full"].rename(columns={"test_loss": "value"})
    for line, (setting, matched) in zip(panels, shown, strict=True):
        here = rows[(rows.setting == setting) & (rows.matched == matched)]
        for axes, measure in zip(line, measures, strict=True):
            axes.plot(*mean_curve(full[full.setting == setting], geometric=True), linewidth=1.2, **HELD_OUT)
            for group, look in LOOKS.items():
                draw_group(axes, here[here.group == group], measure, look)
            logarithmic(axes, "y")
            axes.set_title(f"{setting}, groups {matched}\n{ASKED[measure]}")
        line[0].set_ylabel("loss (nats a token)")
    for axes in panels[-1]:
        axes.set_xlabel("training step")
    held_out = {"held-out questions, all authors": {**HELD_OUT, "linewidth": 1.2}}
    quartiles = {"from the lower to the upper quartile": {"color": "0.85", "linewidth": 5}}
    legend(fig, {**LOOKS, **held_out, LEGEND: {"color": "0.35", "linewidth": 1.6}, **quartiles}, columns=3)
    return fig


def draw_group(axes: Axes, rows: pd.DataFrame, measure: str, look: Mapping[str, Any]) -> None:
    """A group's mean and quartiles. Several draws, or numbers of pairs, of a seed are one curve."""
    names = [measure, *(f"{measure}_{quartile}" for quartile in ("q25", "q75"))]
    runs = rows.groupby(["seed", "step"], as_index=False)[names].mean()
    (steps, low), (others, high) = (
        mean_curve(runs.rename(columns={name: "value"}), geometric=True) for name in names[1:]
    )
    if steps.shape == others.shape:
        axes.fill_between(steps, low, high, color=look["color"], alpha=0.15, linewidth=0)
    draw_runs(axes, runs.rename(columns={measure: "value"}), look, geometric=True)
