"""Draws steps until grokking against what a grid varies, with the fitted power law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import (
    CENSORED,
    KNOWN,
    MOST_PANELS,
    axis_name,
    canvas,
    jittered,
    left,
    of_grids,
    panels_by,
    steps_axis,
    values_axis,
)
from grokforget.statistics.timed_runs import timed, varied, within

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

LINE: dict[str, Any] = {"color": "#000000", "linewidth": 1.2}
POINTS = 50


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a grid and numeric label, and a choice of its other labels: t_grok (steps, by the setting's rule) of every
    run, those that did not within their budget at it as triangles, and where there is a power law its line, with a band.
    What cannot stand on the axes is counted below. Tables: runs, laws.
    """
    set_small_style()
    panels = []
    for grid, rows in of_grids(tables["runs"]):
        for label in varied(rows):
            if label == "train_fraction" or rows[label].dtype.kind != "f" or not (rows[label] > 0).any():
                continue
            words = [one for one, _ in within(rows, [name for name in varied(rows) if name != label])]
            found = zip(panels_by(rows, [label]), words, strict=True)
            panels += [(title, part, label, (grid, said)) for (title, part), said in found]
    if not panels:
        return empty("no grid varies a number")
    shown = panels[:MOST_PANELS]
    fig, axes = canvas(len(shown), 58)
    laws = tables["laws"]
    for ax, (title, part, label, (grid, said)) in zip(axes, shown, strict=True):
        law = laws[(laws.grid == grid) & (laws.within == said) & (laws.label == label) & (laws.quantity == "t_grok")]
        panel(ax, timed(part, "t_grok"), label, law)
        ax.set_title(title)
    marks = {"a run: t_grok": KNOWN, "did not grok within its budget (censored)": CENSORED}
    legend(fig, {**marks, "power law, 95 % band": LINE}, columns=3)
    fig.suptitle(f"Steps until a run groks{left(len(panels))}")
    return fig


def panel(axes: Axes, runs: pd.DataFrame, label: str, law: pd.DataFrame) -> None:
    """One grid."""
    positive = runs[runs[label] > 0]
    for state, style in (("known", KNOWN), ("censored", CENSORED)):
        part = positive[positive.state == state]
        axes.plot(jittered(part, label), part.time, gid=state, zorder=3, **style)
    if len(law) and np.isfinite(law.exponent.iloc[0]):
        draw_law(axes, law.iloc[0])
    values_axis(axes, positive[label])
    if positive.time.notna().any():
        steps_axis(axes)
    axes.set_ylabel("t_grok (steps)")
    counts = positive.state.value_counts()
    lines = [
        f"{counts.get('known', 0)} grokked, {counts.get('censored', 0)} censored, {counts.get('excluded', 0)} excluded"
    ]
    if len(rest := runs[~(runs[label] > 0)]):
        lines.append(f"at 0: {int((rest.state == 'known').sum())} of {len(rest)} grokked")
    if len(law) and np.isfinite(law.exponent.iloc[0]):
        exponent, low, high = (law[name].iloc[0] for name in ("exponent", "low", "high"))
        lines.append(f"$t \\propto x^{{-a}}$, a = {exponent:.2f} [{low:.2f}, {high:.2f}]")
    axes.set_xlabel("\n".join([axis_name(label), *lines]), linespacing=1.3)


def draw_law(axes: Axes, law: pd.Series) -> None:
    """The line and its band, in the range that it was fitted in."""
    x = np.geomspace(law.smallest, law.largest, POINTS)
    away = np.log10(x / law.middle)
    line = np.log10(law.time) - law.exponent * away
    half = np.hypot(np.log10(law.time_high / law.time), (law.high - law.exponent) * away)
    axes.plot(x, 10**line, gid="law", zorder=2, **LINE)
    axes.fill_between(x, 10 ** (line - half), 10 ** (line + half), color="0.75", alpha=0.6, linewidth=0, zorder=1)
