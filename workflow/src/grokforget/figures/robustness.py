"""Draws adversarial robustness before and after unlearning."""

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
from grokforget.figures.parts.select import dotted

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a line a method: clean accuracy (%), the share of examples (%) that no attack of each radius turns,
    and, where it is not 0, the share of those whose input gradient is exactly zero; mean and standard deviation over seeds,
    on the last of the forget sets that were analysed. Table: analysis.
    """
    set_small_style()
    values = dotted(tables["analysis"], ["robustness"], spec.study)
    values = values[values.setting.isin(spec.settings)].assign(value=100 * values.value)
    wanted = columns(values)
    settings = [name for name in spec.settings if name in set(values.setting)]
    if not settings or not wanted:
        return empty("robustness was not analysed")
    lines, styles = [BEFORE, *unlearned(spec)], looks(values.series, spec.study)
    fig, panels = panels_of([len(lines) * len(styles)] * len(settings), len(wanted))
    for row, setting in zip(panels, settings, strict=True):
        for axes, column in zip(row, wanted, strict=True):
            here = values[(values.setting == setting) & (values.column == column)]
            if here.empty:
                axes.set_axis_off()
                continue
            draw_dots(axes, here, lines, styles, here[here.line.isin(retrained(spec))])
        row[0].set_ylabel(f"{setting}\n{values.forget_set[values.setting == setting].iloc[0]}")
    for axes, column in zip(panels[-1], wanted, strict=True):
        percent_axis(axes, wanted[column])
    key(fig, styles, {**MEAN, **IDEAL})
    fig.suptitle(title(wanted, values))
    return fig


ZERO = "zero_gradients"


def columns(values: pd.DataFrame) -> dict[str, str]:
    """Column → its axis, those that there are: clean, attacked with growing radius, and zero gradients where there are any."""
    names = set(values.column)
    radii = sorted({name.split()[1] for name in names if name.startswith("worst_accuracy ")}, key=float)
    found = {
        "clean_accuracy": "accuracy (%),\nno attack",
        **{f"worst_accuracy {radius}": f"accuracy (%),\nattack ε = {float(radius):.3g}" for radius in radii},
        **{f"{ZERO} {loss}": f"zero gradients (%),\n{loss}" for loss in ("cross-entropy", "margin")},
    }
    some = set(values.column[values.value != 0])
    return {name: axis for name, axis in found.items() if name in (some if name.startswith(ZERO) else names)}


def title(wanted: Mapping[str, str], values: pd.DataFrame) -> str:
    """With a note on zero gradients, behind which a model only looks robust."""
    text = "Test examples classified rightly, without and under attack"
    if any(name.startswith(ZERO) for name in wanted):
        return f"{text} (attacks fail where the input gradient is exactly zero)"
    measured = values.column.str.startswith(ZERO).any()
    return f"{text} (no input gradient was exactly zero)" if measured else text
