"""Dot plots: a line a category, a dot a checkpoint, with the spread over seeds and each seed behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from grokforget.figures.parts.style import CHECKPOINTS, CONTROLS, MILLIMETRES, WIDTH, set_style

if TYPE_CHECKING:
    from grokforget.config.specs.base import Meanings
    from grokforget.config.specs.figures import FigureSpec

TALLEST = 240 * MILLIMETRES
MARGINS = 26 * MILLIMETRES
"""Title, labels of the axes and legend."""
BEFORE = "(before)"
"""The line of what unlearning starts from."""
Looks = Mapping[str, Mapping[str, Any]]


def set_small_style() -> None:
    """As ``set_style``, with type for figures of many panels."""
    set_style()
    sizes: dict[Any, Any] = {"axes.labelsize": 7.5, "axes.titlesize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7}
    sizes |= {"legend.fontsize": 7.5, "figure.titlesize": 8.5, "axes.linewidth": 0.8, "xtick.major.size": 3}
    plt.rcParams.update({**sizes, "xtick.major.width": 0.8, "ytick.major.width": 0.8})


def looks(names: Iterable[str], study: Meanings) -> dict[str, dict[str, Any]]:
    """Colour, dash and marker by name: checkpoints as everywhere, then controls by the names of their settings, then
    all other names."""
    found = set(names)
    controls = dict.fromkeys(control.name for control in study.controls.values())
    others = [*controls, *sorted(found - {*CHECKPOINTS, *controls})]
    known = {**CHECKPOINTS, **{name: CONTROLS[place % len(CONTROLS)] for place, name in enumerate(others)}}
    return {name: dict(look) for name, look in known.items() if name in found}


def unlearned(spec: FigureSpec) -> list[str]:
    """The methods that unlearn something, in the study's order."""
    return [name for name in spec.methods if name not in spec.study.references]


def retrained(spec: FigureSpec) -> list[str]:
    """The names of the retrained reference: one or none."""
    return [name for name in spec.study.references if name != spec.study.original]


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """From rows (keys, seed, value) a row a key: mean, std (n - 1; NaN below two seeds), seeds. What a seed has several of
    counts as its mean; missing values do not count, and a key without any is left out."""
    by_seed = rows.dropna(subset=["value"]).groupby([*keys, "seed"], as_index=False).value.mean()
    return by_seed.groupby(list(keys), as_index=False).value.agg(mean="mean", std="std", seeds="count")


def draw_dots(
    axes: Axes,
    rows: pd.DataFrame,
    lines: Sequence[str],
    styles: Looks,
    ideal: pd.DataFrame | None = None,
    bound: bool = False,
) -> pd.DataFrame:
    """One panel, and what it shows: columns line, series, mean, std, seeds, y.

    ``rows`` has line, series, seed and value; each series (those of ``styles``) has its height within a line. ``ideal``
    has series, seed and value: the mean of a series is a short upright stroke on every line. With ``bound``, rows also
    have ``open``: a mean that has such a row is drawn hollow.
    """
    step = 0.84 / max(len(styles), 1)
    height = {
        (line, name): place + (number - (len(styles) - 1) / 2) * step
        for place, line in enumerate(lines)
        for number, name in enumerate(styles)
    }

    def placed(table: pd.DataFrame) -> pd.DataFrame:
        known = table.line.isin(list(lines)) & table.series.isin(list(styles))
        table = table[known].dropna(subset=[name for name in ("value", "mean") if name in table])
        return table.assign(y=[height[key] for key in zip(table.line, table.series, strict=True)])

    shown = placed(over_seeds(rows, ["line", "series"]))
    seeds = placed(rows)
    aims = {} if ideal is None else over_seeds(ideal, ["series"]).set_index("series")["mean"].to_dict()
    opened = set(seeds[seeds.open].y) if bound else set()
    for name, style in styles.items():
        own, each = shown[shown.series == name], seeds[seeds.series == name]
        colour = darker(style["color"])
        axes.scatter(each.value, each.y + 0.28 * step, s=2.2, color=colour, linewidths=0, zorder=2)
        axes.errorbar(
            own["mean"], own.y, xerr=own["std"].fillna(0), fmt="none", ecolor=colour, elinewidth=0.9, zorder=2.5
        )
        for hollow in (False, True):
            part = own[own.y.isin(opened) == hollow]
            face = "white" if hollow else style["color"]
            axes.plot(part["mean"], part.y, zorder=3, **{**dot(style), "markerfacecolor": face})
        if name in aims:
            at = np.array([height[line, name] for line in lines])
            # Behind the marker, but taller, so that both are seen where they meet.
            ends = at - 0.6 * step, at + 0.6 * step
            axes.vlines([aims[name]] * len(lines), *ends, color="0.2", linewidth=1.2, zorder=2.7)
    for edge in range(1, len(lines)):
        axes.axhline(edge - 0.5, color="0.8", linewidth=0.5)
    axes.set_yticks(range(len(lines)), list(lines))
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return shown


def dot(style: Mapping[str, Any]) -> dict[str, Any]:
    """A marker that can be told in black and white: dark edge, the look's face."""
    return {
        "linestyle": "none",
        "marker": style["marker"],
        "markersize": 3.8,
        "color": style["color"],
        "markeredgecolor": "0.15",
        "markeredgewidth": 0.5,
    }


def darker(colour: str) -> tuple[float, float, float]:
    """For thin marks, which the light colours would not show."""
    red, green, blue = to_rgb(colour)
    return 0.8 * red, 0.8 * green, 0.8 * blue


def panels_of(lines: Sequence[int], columns: int, each: float = 1.9) -> tuple[Figure, np.ndarray]:
    """A figure with a row of panels for each number of dots that lie above one another in it, ``each`` mm apart, or nearer
    where that would be too tall."""
    heights = [max(count * each, 14) * MILLIMETRES for count in lines]
    figure, panels = plt.subplots(
        len(lines),
        columns,
        figsize=(WIDTH, min(sum(heights) + 4 * MILLIMETRES * len(lines) + MARGINS, TALLEST)),
        sharex="col",
        sharey="row",
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    return figure, panels


def key(figure: Figure, styles: Looks, more: Mapping[str, Mapping[str, Any]]) -> None:
    """A legend below the panels, in two rows or as many as it needs: the series, and ``more`` marks by what they mean."""
    handles = [Line2D([], [], label=name, **dot(style)) for name, style in styles.items()]
    handles += [Line2D([], [], label=name, **{"linestyle": "none", **mark}) for name, mark in more.items()]
    place: dict[str, Any] = {"loc": "outside lower center", "handletextpad": 0.4, "columnspacing": 1.4}
    for columns in range(-(-len(handles) // 2), 0, -1):
        legend = figure.legend(handles=handles, ncols=columns, **place)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


MEAN: dict[str, dict[str, Any]] = {
    "bar: ± sd over seeds": {"marker": "_", "color": "0.4", "markersize": 9},
    "each seed": {"marker": "o", "color": "0.4", "markersize": 1.8, "markeredgewidth": 0},
}
IDEAL: dict[str, dict[str, Any]] = {
    "retrained model (mean)": {"marker": "|", "color": "0.25", "markersize": 7, "markeredgewidth": 1.3}
}
HOLLOW: dict[str, Any] = {"marker": "o", "color": "0.15", "markersize": 3.8, "markerfacecolor": "white"}


def empty(why: str) -> Figure:
    """A figure that says why it is empty."""
    figure = plt.figure(figsize=(WIDTH, 20 * MILLIMETRES))
    figure.text(0.5, 0.5, why, ha="center", va="center")
    return figure


def percent_axis(axes: Axes, label: str) -> None:
    """Percent along x, 0 to 100."""
    axes.set_xlim(-4, 104)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel(label)
