"""Draws the kinds of curves over two labels of a grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.laboratory import KINDS, MOST_PANELS, axis_name, canvas, left, of_grids, panels_by
from grokforget.statistics.timed_runs import told, varied

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

DARK = ("grokking", "no memorisation", "diverged")
"""Kinds on whose colours numbers are white."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a grid and two of its labels, and a choice of its other labels: a cell a setting, its colour the kind of
    curve of most seeds, hatched where not all have it; the number is log10 of the median gap t_grok - t_mem (steps),
    where more than half of the seeds have one. Table: runs.
    """
    set_small_style()
    found = []
    for _, rows in of_grids(tables["runs"]):
        for pair in combinations(varied(rows), 2):
            found += [(title, part, pair) for title, part in panels_by(rows, list(pair))]
    if not found:
        return empty("no grid varies two labels")
    shown = found[:MOST_PANELS]
    fig, axes = canvas(len(shown), 62, columns=2)
    for ax, (title, part, (down, across)) in zip(axes, shown, strict=True):
        panel(ax, part, across, down)
        ax.set_title(title)
    kinds = [name for name in KINDS if any((part.kind == name).any() for _, part, _ in shown)]
    patches = [Patch(facecolor=KINDS[name], edgecolor="0.3", label=name) for name in kinds]
    patches.append(Patch(facecolor="white", edgecolor="0.3", hatch="////", label="seeds differ"))
    fig.legend(handles=patches, loc="outside lower center", ncols=3)
    fig.suptitle(
        f"Kind of curve of most seeds; number: log10 of the median gap t_grok − t_mem (steps){left(len(found))}"
    )
    return fig


def panel(axes: Axes, runs: pd.DataFrame, across: str, down: str) -> None:
    """One plane: a cell a pair of values, in their order."""
    columns, rows = (sorted(runs[label].unique()) for label in (across, down))
    for (x, y), seeds in runs.groupby([across, down]):
        place = columns.index(x), rows.index(y)
        counts = seeds.kind.value_counts()
        # Of as many seeds each, the kind that comes first in the list.
        kind = max(KINDS, key=lambda name: counts.get(name, 0))
        hatch = "////" if len(counts) > 1 else None
        corner = (place[0] - 0.5, place[1] - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor=KINDS[kind], edgecolor="0.35", linewidth=0.4, hatch=hatch, gid=kind)
        )
        gap = float(np.median(seeds.gap.where(seeds.transition, math.inf)))
        if 0 < gap < math.inf:
            box = {"boxstyle": "square,pad=0.15", "facecolor": KINDS[kind], "edgecolor": "none"} if hatch else None
            colour = "white" if kind in DARK else "black"
            axes.text(*place, f"{math.log10(gap):.1f}", ha="center", va="center", fontsize=7, color=colour, bbox=box)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_xticks(range(len(columns)), [told(one) for one in columns])
    axes.set_yticks(range(len(rows)), [told(one) for one in rows])
    axes.grid(visible=False)
    axes.set_xlabel(
        f"{axis_name(across)}\n{len(runs)} runs, {int(runs.censored.sum())} of them censored", linespacing=1.3
    )
    axes.set_ylabel(axis_name(down))
