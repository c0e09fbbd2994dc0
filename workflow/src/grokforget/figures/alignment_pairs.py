"""Draws how cosines between gradients are spread over mini-batches and pairs of examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import darker, empty, looks, set_small_style
from grokforget.figures.parts.grid import grid, heading, legend, settings_of
from grokforget.figures.parts.select import of_each_group, wide

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "gradient-alignment"
KINDS: dict[str, dict[str, Any]] = {
    "batch_cosine": {"name": "mini-batches, forget × retain", "color": "#000000", "marker": "^"},
    "pair_cosine": {"name": "pairs, forget × retain", "color": "#cc79a7", "marker": "D"},
    "forget_pair_cosine": {"name": "pairs, forget × forget", "color": "#e69f00", "marker": "s"},
    "retain_pair_cosine": {"name": "pairs, retain × retain", "color": "#0072b2", "marker": "o"},
}
QUANTILES = ["q10", "q50", "q90"]
SHOWN = [f"{kind}_{quantile}" for kind in KINDS for quantile in QUANTILES]
STEP = 0.2
STROKE: dict[str, Any] = {"marker": "|", "markersize": 5, "markeredgewidth": 0.6, "linestyle": "none"}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a setting, a group of lines a checkpoint or control, before unlearning: from the 10 % to the 90 % quantile of
    cosines, the median marked. Bars and markers are means over seeds of their quantiles, strokes are each seed's. Settings
    have scales of their own. Table: analysis.
    """
    set_small_style()
    analysis = tables["analysis"]
    rows = of_each_group(analysis[analysis.stage == "before"], [KIND], spec.study, spec.forget_sets)
    settings = settings_of(rows, spec.settings)
    if not settings:
        return empty("no gradients before unlearning in this study")
    groups = list(looks(rows.checkpoint, spec.study))
    fig, panels = grid(1, len(settings), max(15 * len(groups), 30), sharey=True)
    values = wide(rows, "checkpoint", SHOWN)
    for axes, setting in zip(panels[0], settings, strict=True):
        distributions(axes, values[values.setting == setting], groups)
        axes.set_title(heading(rows, setting))
        axes.set_xlabel("cosine of gradients")
    panels[0, 0].set_yticks(range(len(groups)), groups)
    panels[0, 0].set_ylim(len(groups) - 0.5, -0.5)
    fig.suptitle("cosines between gradients, before unlearning")
    bar = "light: from the 10 % to the 90 % quantile, marker: median (means over seeds)"
    marks = {str(look["name"]): {**mark(look), "linewidth": 4.5, "linestyle": "none"} for look in KINDS.values()}
    marks |= {bar: {"color": "0.8", "linewidth": 4.5}, "each seed's quantiles": {**STROKE, "color": "0.3"}}
    legend(fig, marks, columns=2)
    return fig


def mark(look: Mapping[str, Any]) -> dict[str, Any]:
    """The marker of a kind of cosines."""
    edge = {"markeredgecolor": "0.15", "markeredgewidth": 0.5, "markersize": 4}
    return {"color": look["color"], "marker": look["marker"], **edge}


def distributions(axes: Axes, values: pd.DataFrame, groups: Sequence[str]) -> None:
    """``values`` has checkpoint and the quantiles, of one setting."""
    axes.axvline(0, color="0.6", linewidth=0.6)
    for place, group in enumerate(groups):
        of_group = values[values.checkpoint == group]
        for number, (kind, look) in enumerate(KINDS.items()):
            y = place + (number - (len(KINDS) - 1) / 2) * STEP
            seeds = of_group[[f"{kind}_{quantile}" for quantile in QUANTILES]].dropna()
            if seeds.empty:
                continue
            low, middle, high = seeds.mean()
            axes.plot([low, high], [y, y], color=look["color"], alpha=0.3, linewidth=4.5, solid_capstyle="butt")
            each = seeds.to_numpy().ravel()
            axes.plot(each, [y] * len(each), color=darker(look["color"]), **STROKE)
            axes.plot([middle], [y], linestyle="none", zorder=3, **mark(look))
        if place:
            axes.axhline(place - 0.5, color="0.8", linewidth=0.5)
    largest = values[SHOWN].abs().max().max()
    edge = min(1.1 * largest, 1.05) if largest > 0 else 1.05
    axes.set_xlim(-edge, edge)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
