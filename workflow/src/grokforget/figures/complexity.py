"""Draws local complexity along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, dash, draw_runs, mark_times
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, heading, legend, settings_of
from grokforget.figures.parts.select import of_kinds
from grokforget.figures.parts.style import SPLITS

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "local-complexity"
LOOKS = {
    "retain": SPLITS["retain"],
    "forget": SPLITS["forget"],
    "test": {**SPLITS["test"], "linestyle": (0, (1, 1.2))},
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a setting: neurons that change sign near a point, mean over points of retain, forget and test set, against the
    snapshot's step. Only networks with ReLU have it. Tables: along, checkpoints.
    """
    set_small_style()
    along = tables["along"]
    checkpoints = tables["checkpoints"]
    rows = of_kinds(along[along.measure == "local_complexity"], [KIND], spec.study, spec.along_forget_sets)
    settings = settings_of(rows, spec.settings)
    if not settings:
        return empty("no local complexity along training in this study (networks without ReLU have none)")
    fig, panels = grid(1, len(settings), 56)
    for axes, setting in zip(panels[0], settings, strict=True):
        of_setting = rows[rows.setting == setting]
        for split, look in LOOKS.items():
            draw_runs(axes, of_setting[of_setting.part == split], look)
        mark_times(axes, checkpoints, setting, named=True)
        axes.set_title(heading(rows, setting), pad=13)
        axes.set_xlabel("training step")
    panels[0, 0].set_ylabel("local complexity\n(neurons that change sign)")
    fig.suptitle("local complexity along training")
    lines = {f"{split} set": {"linewidth": 1.6, **dash(look)} for split, look in LOOKS.items()}
    legend(fig, {**lines, LEGEND: {"linestyle": "none"}})
    return fig
