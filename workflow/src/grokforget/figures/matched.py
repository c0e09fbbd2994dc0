"""Draws what every method and checkpoint has lost where as much is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import (
    HOLLOW,
    MEAN,
    draw_dots,
    empty,
    key,
    looks,
    panels_of,
    set_small_style,
    unlearned,
)

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

LEVELS = {
    "retrained": "at the retrained model's\nforget accuracy",
    "ten-percent": "at 10 % forget accuracy",
    "chance": "at chance",
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a column a level of forgetting, a line a method: how much retain and test accuracy have fallen (points,
    the mean of the two) from each checkpoint, with the candidate that the tuning seed chose; mean and standard deviation over
    the reported seeds, of each the mean over the forget sets.

    Hollow where some seed never forgets as much, or has no reference; without a dot where none does. Table: matched.
    """
    set_small_style()
    table = tables["matched"]
    rows = table[table.chosen & table.setting.isin(spec.settings)]
    rows = rows.assign(value=100 * rows.collateral, line=rows.method, series=rows.checkpoint)
    settings = [name for name in spec.settings if name in set(rows.setting)]
    if not settings:
        return empty("no candidate forgets as much as any of the levels")
    seeds = table.groupby("setting").seed.nunique()
    there = rows.groupby(["setting", "level", "method", "checkpoint"]).seed.transform("nunique")
    rows = rows.assign(open=there < rows.setting.map(seeds))
    lines, styles = unlearned(spec), looks(rows.series, spec.study)
    lines = [name for name in lines if name in set(table.method)]
    fig, panels = panels_of([len(lines) * len(styles)] * len(settings), len(LEVELS))
    for row, setting in zip(panels, settings, strict=True):
        for axes, level in zip(row, LEVELS, strict=True):
            here = rows[(rows.setting == setting) & (rows.level == level)]
            axes.axvline(0, color="0.6", linewidth=0.6)
            draw_dots(axes, here, lines, styles, bound=True)
        row[0].set_ylabel(setting)
    for axes, words in zip(panels[0], LEVELS.values(), strict=True):
        axes.set_title(words)
    for axes in panels[-1]:
        axes.set_xlabel("retain and test accuracy\nlost (points)")
    key(fig, styles, {**MEAN, "not all seeds get there": HOLLOW})
    sets = ", ".join(name for name in spec.study.forget_sets if name in set(table.forget_set))
    fig.suptitle(f"What is lost where as much is forgotten, each with the candidate that costs it least ({sets})")
    return fig
