"""Draws controls beside the checkpoints: what is left after unlearning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import (
    IDEAL,
    MEAN,
    draw_dots,
    empty,
    key,
    looks,
    panels_of,
    retrained,
    set_small_style,
    unlearned,
)
from grokforget.statistics.quantities import under_their_settings

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

MEASURES = {
    "forget_accuracy": "forget accuracy (%)",
    "retain_accuracy": "retain accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "retrain_gap": "mean distance to the\nretrained model (points)",
}
MOST_DOTS = 110
"""Dots above one another that a page has room for."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a (setting, forget set) that has controls, a column a measure (%, points), a line a method: checkpoints and
    controls, mean and standard deviation over seeds. Of a setting's forget sets only the last, where all would be too many.
    Table: unlearning.
    """
    set_small_style()
    cells = under_their_settings(tables["unlearning"], spec.study.controls)
    cells = cells.rename(columns={"checkpoint": "series", "method": "line"})
    cells = cells[cells.setting.isin(spec.settings)]
    rows, styles = rows_with_controls(cells, spec), looks(cells.series, spec.study)
    lines = [name for name in unlearned(spec) if name in set(cells.line)]
    measures = [name for name in MEASURES if name in cells]
    if not rows or not lines or not measures:
        return empty("no setting has controls")
    if len(rows) * len(lines) * len(styles) > MOST_DOTS:
        rows = list({setting: (setting, forget_set) for setting, forget_set in rows}.values())
    fig, panels = panels_of([len(lines) * len(styles)] * len(rows), len(measures))
    for axes_row, (setting, forget_set) in zip(panels, rows, strict=True):
        here = cells[(cells.setting == setting) & (cells.forget_set == forget_set)]
        ideal = here[here.line.isin(retrained(spec))]
        for axes, measure in zip(axes_row, measures, strict=True):
            # The retrained model's distance to itself is 0.
            strokes = None if measure == "retrain_gap" else ideal.assign(value=100 * ideal[measure])
            draw_dots(axes, here.assign(value=100 * here[measure].astype("float64")), lines, styles, strokes)
        axes_row[0].set_ylabel(f"{setting}\n{forget_set}")
    for axes, measure in zip(panels[-1], measures, strict=True):
        axes.set_xlabel(MEASURES[measure])
    key(fig, styles, {**MEAN, **IDEAL})
    fig.suptitle("Controls beside the checkpoints, after unlearning")
    return fig


def rows_with_controls(cells: pd.DataFrame, spec: FigureSpec) -> list[tuple[str, str]]:
    """(setting, forget set) in which there is a control, forget sets by name."""
    controls = [control.name for control in spec.study.controls.values()]
    found = set(cells[cells.series.isin(controls)][["setting", "forget_set"]].itertuples(index=False, name=None))
    return [
        (setting, forget_set)
        for setting in spec.settings
        for forget_set in spec.study.forget_sets
        if (setting, forget_set) in found
    ]
