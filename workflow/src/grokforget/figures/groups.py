"""Draws what becomes of groups of examples that are forgotten, and of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import darker, empty, retrained, set_small_style, unlearned
from grokforget.figures.parts.grid import grid, legend, settings_of
from grokforget.figures.parts.groups import in_look, looks_of
from grokforget.statistics.contrasts import paired_interval
from grokforget.statistics.groups import by_groups

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

STRENGTHS = ["forget_extraction_strength", "retain_extraction_strength"]
COLUMNS, ROOM = 4, 0.04
REFERENCE: dict[str, Any] = {"marker": "+", "markersize": 6, "markeredgewidth": 1.1, "linestyle": "none"}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a (setting, method): extraction strength on the forget set against that on the retain set of every seed, and their
    mean with its 95 % interval, each group in its colour, those that are alike in something hollow; crosses: the retrained
    models' means. Of a seed all draws, numbers of pairs and checkpoints count as their mean. Table: unlearning.
    """
    set_small_style()
    methods, references = unlearned(spec), retrained(spec)
    rows = by_groups(tables["unlearning"], spec.study.forget_sets)
    if not set(STRENGTHS) <= set(rows.columns):
        return empty("no extraction strength is measured")
    keys = ["setting", "method", "matched", "group", "seed"]
    rows = rows.dropna(subset=STRENGTHS).groupby(keys, as_index=False)[STRENGTHS].mean()
    panels_of = [
        (setting, method)
        for setting in settings_of(rows, spec.settings)
        for method in methods
        if ((rows.setting == setting) & (rows.method == method)).any()
    ]
    if not panels_of:
        return empty("no group of examples is unlearned")
    looks = looks_of(rows)
    columns = min(len(panels_of), COLUMNS)
    fig, panels = grid(-(-len(panels_of) // columns), columns, 42, sharex=True, sharey=True)
    for axes in panels.flat[len(panels_of) :]:
        axes.set_visible(False)
    for place, (setting, method) in enumerate(panels_of):
        axes, here = panels.flat[place], rows[rows.setting == setting]
        draw_groups(axes, here[here.method == method], here[here.method.isin(references)], looks)
        axes.set_title(f"{setting}\n{method}")
        if place + columns >= len(panels_of):  # no panel is below
            axes.set_xlabel("extraction strength, forget")
            axes.tick_params(labelbottom=True)
    for row in panels:
        row[0].set_ylabel("extraction strength, retain")
    # Of few seeds an interval may be far longer than the strengths that there are.
    shared = panels[0, 0]
    for low_high, limit in ((shared.get_xlim(), shared.set_xlim), (shared.get_ylim(), shared.set_ylim)):
        limit(max(low_high[0], -ROOM), min(low_high[1], 1 + ROOM))
    key = {f"{group}, {matched}": mark_of(look) for (matched, group), look in looks.items()}
    key["bars: 95 % interval of the mean"] = {"color": "0.35", "linewidth": 0.9}
    key["each seed"] = {"color": "0.35", "linestyle": "none", "marker": "o", "markersize": 1.8}
    key["retrained models (mean)"] = {"color": "0.35", **REFERENCE}
    legend(fig, key, columns=3)
    return fig


def mark_of(look: Mapping[str, Any]) -> dict[str, Any]:
    """Of a mean."""
    face = {"markerfacecolor": look["color"] if look["filled"] else "white"}
    edge = {"markeredgecolor": darker(look["color"]), "markeredgewidth": 0.8}
    return {"color": look["color"], "linestyle": "none", "marker": look["marker"], "markersize": 4.5, **face, **edge}


def draw_groups(
    axes: Axes, seeds: pd.DataFrame, references: pd.DataFrame, looks: Mapping[tuple[str, str], Mapping[str, Any]]
) -> None:
    """One panel; ``seeds`` and ``references`` have matched, group, seed and the strengths."""
    for place, look in looks.items():
        colour = darker(look["color"])
        own, ideal = (in_look(table, place)[STRENGTHS] for table in (seeds, references))
        if len(ideal):
            axes.plot(*[[value] for value in ideal.mean()], color=colour, **REFERENCE, zorder=2)
        if own.empty:
            continue
        axes.scatter(own[STRENGTHS[0]], own[STRENGTHS[1]], s=2.2, color=colour, linewidths=0, zorder=2.5)
        (x, left, right), (y, below, above) = (paired_interval(own[name].to_numpy()) for name in STRENGTHS)
        if len(own) > 1:
            axes.hlines(y, left, right, color=colour, linewidth=0.9, zorder=2.7)
            axes.vlines(x, below, above, color=colour, linewidth=0.9, zorder=2.7)
        axes.plot([x], [y], **mark_of(look), zorder=3)
