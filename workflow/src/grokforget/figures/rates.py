"""Draws how many seeds of every setting grokked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, percent_axis, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.style import MILLIMETRES, WIDTH
from grokforget.statistics.timed_runs import varied

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

MOST = 40
OUTCOMES: dict[str, dict[str, Any]] = {
    "grokked": {"color": "#000000", "marker": "o"},
    "grokked 90 %": {"color": "#0072b2", "marker": "s"},
    "grokked 99 %": {"color": "#d55e00", "marker": "^"},
}
"""By the setting's rule, and by fixed accuracies."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A line a setting: the share of seeds (%) that grokked, by the setting's rule, and at 90 and 99 % accuracy, each
    with Wilson's 95 % interval; on the right the numbers. Grids of numbers alone have figures of their own, and are left
    out here where there is anything else; of more than ``MOST`` settings the first ones are shown. Table: rates.
    """
    set_small_style()
    rows = tables["rates"]
    rows = rows[(rows.train_set == "full") & rows.outcome.isin(list(OUTCOMES))]
    settings = list(dict.fromkeys(row for part in ordered(rows) for row in part.setting))
    if not settings:
        return empty("no run was looked at")
    shown = settings[:MOST]
    fig, axes = plt.subplots(figsize=(WIDTH * 0.8, (5.2 * len(shown) + 30) * MILLIMETRES), layout="constrained")
    for number, (outcome, style) in enumerate(OUTCOMES.items()):
        part = rows[rows.outcome == outcome].set_index("setting").reindex(shown)
        y = np.arange(len(shown)) + 0.25 * (number - 1)
        error = np.array([part.rate - part.low, part.high - part.rate]).clip(0)
        axes.errorbar(
            100 * part.rate, y, xerr=100 * error, linestyle="none", markersize=3.6, elinewidth=0.9, gid=outcome, **style
        )
        if outcome == "grokked":
            for place, (count, n) in enumerate(zip(part["count"], part.runs, strict=True)):
                axes.text(106, place, f"{count}/{n}", fontsize=6.5, va="center", ha="left")
    percent_axis(axes, "seeds that grokked (%), Wilson's 95 % interval; right: by the setting's rule, of all")
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for edge in range(1, len(shown)):
        axes.axhline(edge - 0.5, color="0.85", linewidth=0.5)
    axes.grid(visible=False, axis="y")
    legend(fig, {name: {"linestyle": "none", **style} for name, style in OUTCOMES.items()}, columns=3)
    left = f"; {len(settings) - MOST} more settings are not drawn" if len(settings) > MOST else ""
    fig.suptitle(f"Grok rates{left}")
    return fig


def ordered(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """The rows to draw, grid by grid, what belongs to none last."""
    if "grid" not in rows:
        return [rows]
    parts = {str(grid): part for grid, part in rows.groupby("grid", sort=True)}
    loose = parts.pop("", rows.iloc[:0])
    words = [part for part in parts.values() if any(part[label].dtype.kind != "f" for label in varied(part))]
    return [*words, loose] if words or len(loose) else list(parts.values())
