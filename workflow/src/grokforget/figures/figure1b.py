"""Draws figure 1b: one unlearning method applied to snapshots along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.style import MILLIMETRES, SPLITS, WIDTH, accuracy_axis, logarithmic, set_style

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a forget set, a column a setting: forget and retain accuracy (%) after unlearning, against the snapshot's
    training step.

    Thin lines are seeds, thick ones their mean (interpolated in log step); the faint dotted lines are the accuracies
    before unlearning. Tables: unlearning_along, checkpoints.
    """
    set_style()
    along, checkpoints = tables["unlearning_along"], tables["checkpoints"]
    checkpoints = checkpoints[checkpoints.train_set == "full"]
    settings, forget_sets = spec.settings, spec.along_forget_sets
    fig, panels = plt.subplots(
        len(forget_sets),
        len(settings),
        figsize=(max(WIDTH / 3 * len(settings), WIDTH / 2), 52 * MILLIMETRES * len(forget_sets) + 10 * MILLIMETRES),
        sharey=True,
        sharex="col",
        squeeze=False,
    )
    for row, forget_set in zip(panels, forget_sets, strict=True):
        for axes, setting in zip(row, settings, strict=True):
            rows = along[(along.setting == setting) & (along.forget_set == forget_set)]
            if rows.empty:
                axes.set_axis_off()
                continue
            draw_panel(axes, rows)
            times = checkpoints[checkpoints.setting == setting][["t_mem", "t_grok"]].median()
            for (name, time), side in zip(times.items(), ("right", "left"), strict=True):
                if not np.isnan(time):
                    axes.axvline(time, color="0.3", linewidth=0.8, linestyle=(0, (4, 2, 1, 2)))
                    label = f"$t_{{{str(name).removeprefix('t_')}}}$"
                    axes.text(time, 104, label, ha=side, va="bottom", fontsize=8)
        row[0].set_ylabel(f"{forget_set}\naccuracy (%)")
    for axes, setting in zip(panels[0], settings, strict=True):
        axes.set_title(setting, pad=14)
    for axes in panels[-1]:
        axes.set_xlabel("training step of the snapshot")
    fig.suptitle(f"before and after {spec.along_method}", y=0.99)
    # Of any panel: the first may belong to runs that diverged before their first update.
    handles, labels = max((axes.get_legend_handles_labels() for axes in panels.flat), key=lambda found: len(found[0]))
    fig.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=4)
    fig.tight_layout()
    return fig


def draw_panel(axes: Axes, along: pd.DataFrame) -> None:
    """One setting and forget set."""
    grid = np.geomspace(along.groupby("seed").step.min().max(), along.groupby("seed").step.max().min(), 100)
    for split in ("retain", "forget"):
        style = SPLITS[split]
        for prefix, label in (("original_", f"{split}, before"), ("", f"{split}, after (mean over seeds; thin: each)")):
            curves = []
            for _, run in along.groupby("seed"):
                values = 100 * run[f"{prefix}{split}_accuracy"]
                curves.append(np.interp(np.log(grid), np.log(run.step), values))
                if not prefix:
                    marks = {key: style[key] for key in ("color", "marker")}
                    axes.plot(run.step, values, linestyle="-", linewidth=0.4, alpha=0.6, markersize=2, **marks)
            dash = (
                {"linestyle": ":", "linewidth": 0.9} if prefix else {"linestyle": style["linestyle"], "linewidth": 1.6}
            )
            axes.plot(grid, np.mean(curves, axis=0), color=style["color"], label=label, **dash)
    logarithmic(axes, "x")
    accuracy_axis(axes)
