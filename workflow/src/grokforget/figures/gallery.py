"""Draws an example of every kind of curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import KINDS, canvas
from grokforget.figures.parts.style import SPLITS, accuracy_axis, logarithmic

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

TIMES = {
    "t_mem": {"color": "0.3", "linestyle": (0, (1, 1.2)), "linewidth": 0.9},
    "t_grok": {"color": "#d55e00", "linestyle": (0, (4, 2, 1, 2)), "linewidth": 0.9},
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a kind of curve that occurs: accuracy (%) on train and test set against steps, of the first run (by setting
    and seed) that is of it, with its t_mem and t_grok, and how many runs are. Tables: training, runs.
    """
    set_small_style()
    training, runs = (tables[name][tables[name].train_set == "full"] for name in ("training", "runs"))
    kinds = [kind for kind in KINDS if (runs.kind == kind).any()]
    if not kinds:
        return empty("no run was looked at")
    fig, axes = canvas(len(kinds), 46)
    for ax, kind in zip(axes, kinds, strict=True):
        same = runs[runs.kind == kind].sort_values(["setting", "seed"])
        run = same.iloc[0]
        curve = training[(training.setting == run.setting) & (training.seed == run.seed) & (training.step > 0)]
        for split in ("train", "test"):
            ax.plot(curve.step, 100 * curve[f"{split}_accuracy"], gid=split, linewidth=1.3, **SPLITS[split])
        for name, style in TIMES.items():
            if np.isfinite(run[name]) and run[name] > 0:
                ax.axvline(run[name], gid=name, zorder=1, **style)
        logarithmic(ax, "x")
        accuracy_axis(ax)
        ax.set_title(f"{kind}\n{run.setting}, seed {run.seed}", fontsize=7)
        ax.set_xlabel(f"training step\n{len(same)} of {len(runs)} runs are of this kind", linespacing=1.3)
        ax.set_ylabel("accuracy (%)")
    legend(fig, {**{split: SPLITS[split] for split in ("train", "test")}, **TIMES})
    return fig
