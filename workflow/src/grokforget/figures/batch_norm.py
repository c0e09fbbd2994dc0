"""Draws what the running statistics of batch norms make of the models after unlearning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import (
    BEFORE,
    IDEAL,
    MEAN,
    draw_dots,
    empty,
    key,
    looks,
    panels_of,
    percent_axis,
    retrained,
    set_small_style,
    unlearned,
)

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

STATISTICS = ("left", "frozen", "recalibrated")
ACCURACIES = {"forget_accuracy": "forget accuracy (%)", "retain_accuracy": "retain accuracy (%)"}
"""Column → its axis."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a column forget or retain accuracy (%), a line a method and kind of statistics: the accuracy per
    checkpoint, mean and standard deviation over seeds, and the recalibrated retrained model's as the ideal; on the last of the
    forget sets. Table: batch_norm.
    """
    set_small_style()
    cells = tables["batch_norm"]
    cells = cells[cells.forget_set.isin(spec.forget_sets[-1:]) & cells.setting.isin(spec.settings)]
    settings = [name for name in spec.settings if name in set(cells.setting)]
    if not settings:
        return empty("no model has batch norms")
    method = cells.method.where(cells.method != spec.study.original, BEFORE)
    cells = cells.assign(line=method + ", " + cells.statistics, series=cells.checkpoint)
    ideal = cells[cells.method.isin(retrained(spec)) & (cells.statistics == STATISTICS[-1])]
    lines = [f"{name}, {statistics}" for name in (BEFORE, *unlearned(spec)) for statistics in STATISTICS]
    styles = looks(cells.series, spec.study)
    fig, panels = panels_of([len(lines) * len(styles)] * len(settings), len(ACCURACIES))
    for row, setting in zip(panels, settings, strict=True):
        for axes, column in zip(row, ACCURACIES, strict=True):
            shown, aims = (
                part[part.setting == setting].assign(value=lambda rows, name=column: 100 * rows[name])
                for part in (cells, ideal)
            )
            draw_dots(axes, shown, lines, styles, aims)
        row[0].set_ylabel(setting)
    for axes, label in zip(panels[-1], ACCURACIES.values(), strict=True):
        percent_axis(axes, label)
    key(fig, styles, {**MEAN, **IDEAL})
    fig.suptitle(
        f"After unlearning {spec.forget_sets[-1]}: batch-norm statistics as the method left them, frozen, recalibrated"
    )
    return fig
