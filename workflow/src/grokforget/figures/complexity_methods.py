"""Draws local complexity before and after every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import BEFORE, MEAN, draw_dots, empty, key, looks, panels_of, set_small_style
from grokforget.figures.parts.grid import settings_of
from grokforget.figures.parts.select import of_kinds

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "local-complexity"
PARTS = ("forget", "retain", "test")


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a column a set of examples, a line a method, a dot a checkpoint or control: neurons that change sign
    near a point, mean and standard deviation over seeds. Only networks with ReLU have it. Table: analysis.
    """
    set_small_style()
    analysis = tables["analysis"]
    rows = of_kinds(analysis[analysis.measure == "local_complexity"], [KIND], spec.study, spec.forget_sets)
    settings = settings_of(rows, spec.settings)
    if not settings:
        return empty("no local complexity in this study (networks without ReLU have none)")
    rows = rows.assign(line=rows.stage.replace("before", BEFORE), series=rows.checkpoint)
    lines = [name for name in (BEFORE, *spec.methods) if (rows.line == name).any()]
    styles = {setting: looks(of.series, spec.study) for setting, of in rows.groupby("setting")}
    fig, panels = panels_of([len(styles[setting]) * len(lines) for setting in settings], len(PARTS), each=1.6)
    for row, setting in zip(panels, settings, strict=True):
        of_setting = rows[rows.setting == setting]
        for axes, part in zip(row, PARTS, strict=True):
            draw_dots(axes, of_setting[of_setting.part == part], lines, styles[setting])
            axes.tick_params(labelbottom=True)
        row[0].set_ylabel(f"{setting}\nforget set {of_setting.forget_set.iloc[0]}")
    for axes, part in zip(panels[0], PARTS, strict=True):
        axes.set_title(f"on the {part} set")
    for axes in panels[-1]:
        axes.set_xlabel("local complexity\n(neurons that change sign)")
    fig.suptitle("local complexity before and after unlearning")
    key(fig, looks(rows.series, spec.study), MEAN)
    return fig
