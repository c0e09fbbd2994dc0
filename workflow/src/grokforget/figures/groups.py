"""Draws what becomes of groups of examples that are forgotten, and of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import darker, empty, retrained, set_small_style, unlearned
from grokforget.figures.parts.grid import grid, legend
from grokforget.figures.parts.groups import LOOKS, designs
from grokforget.statistics.groups import by_groups

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

MARKERS = "osD^v<>PX*hpd"
SPLITS = ("forget", "retain")
STRENGTHS = [f"{split}_extraction_strength" for split in SPLITS]
KEYS = ["setting", "matched", "method", "group"]
REFERENCE: dict[str, Any] = {"marker": "+", "markersize": 7, "markeredgewidth": 1.3}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a (setting, what groups are alike in): extraction strength on the forget set against that on the retain set of
    every method, mean and standard deviation over seeds, the two groups in their colours and joined by a line; crosses: the
    retrained models. Table: unlearning.
    """
    set_small_style()
    methods = unlearned(spec)
    rows = by_groups(tables["unlearning"], spec.study.forget_sets)
    if not set(STRENGTHS) <= set(rows.columns) or rows.empty:
        return empty("no extraction strength of groups is measured")
    rows = rows[rows.method.isin([*methods, *retrained(spec)])]
    by_seed = rows.groupby([*KEYS, "seed"], as_index=False)[STRENGTHS].mean()
    panels_of = designs(by_seed, spec.settings)
    if not panels_of:
        return empty("there are no rows of groups")
    columns = min(len(panels_of), 2)
    fig, panels = grid(-(-len(panels_of) // columns), columns, 72, sharex=True, sharey=True)
    marks = {name: {"marker": MARKERS[place % len(MARKERS)]} for place, name in enumerate(methods)}
    for axes in panels.flat[len(panels_of) :]:
        axes.set_visible(False)
    for axes, (setting, matched) in zip(panels.flat, panels_of, strict=False):
        here = by_seed[(by_seed.setting == setting) & (by_seed.matched == matched)]
        draw_groups(axes, here, {**marks, **dict.fromkeys(retrained(spec), REFERENCE)}, retrained(spec))
        axes.set_title(f"{setting}: groups {matched}")
        axes.set_xlabel("extraction strength on the forget set")
    for row in panels:
        row[0].set_ylabel("extraction strength on the retain set")
    key = {name: {"color": "0.35", "linestyle": "none", **mark} for name, mark in marks.items()}
    key["retrained model"] = {"color": "0.35", "linestyle": "none", **REFERENCE}
    groups = {name: {"color": look["color"], "linewidth": 2.5} for name, look in LOOKS.items()}
    legend(fig, {**groups, **key, "bars: ± sd over seeds": {"color": "0.35", "linewidth": 0.8}})
    return fig


def draw_groups(
    axes: Axes, seeds: pd.DataFrame, marks: Mapping[str, Mapping[str, Any]], references: Sequence[str]
) -> None:
    """One panel."""
    summary = seeds.groupby(["method", "group"])[STRENGTHS].agg(["mean", "std"])
    for method, mark in marks.items():
        ends = []
        for group, look in LOOKS.items():
            if (method, group) not in summary.index:
                continue
            (x, dx), (y, dy) = (summary.loc[(method, group), name] for name in STRENGTHS)
            ends.append((x, y))
            edge = (
                {} if method in references else {"markeredgecolor": "0.15", "markeredgewidth": 0.5, "markersize": 4.5}
            )
            spread = {"xerr": dx if dx == dx else 0, "yerr": dy if dy == dy else 0}
            style = {"color": look["color"], "ecolor": darker(look["color"]), "elinewidth": 0.6, "linestyle": "none"}
            axes.errorbar([x], [y], **spread, **style, **edge, **mark, zorder=3)
        if len(ends) == len(LOOKS) and method not in references:
            axes.plot(*zip(*ends, strict=True), color="0.6", linewidth=0.7, zorder=2)
    axes.set_xlim(-0.04, 1.04)
    axes.set_ylim(-0.04, 1.04)
