"""Draws what forgetting costs: every candidate hyper-parameter of every method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import HOLLOW, TALLEST, Looks, dot, empty, key, looks, set_small_style
from grokforget.figures.parts.style import MILLIMETRES, WIDTH

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

CANDIDATE = ["setting", "method", "checkpoint", "value"]
MARKS: dict[str, dict[str, Any]] = {
    "Pareto front": {"linestyle": "-", "color": "0.4"},
    "start": {"marker": 3, "color": "0.15", "markersize": 6},
    "± sd over seeds": {"marker": "+", "color": "0.4", "markersize": 8},
    "own choice": {
        "marker": "o",
        "color": "0.15",
        "markersize": 8,
        "markerfacecolor": "none",
        "markeredgewidth": 0.9,
    },
    "without some seeds, left out": HOLLOW,
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a column a method: forget accuracy (%) against lost retain accuracy (points) of every candidate, from
    every checkpoint, as means and standard deviations over the reported seeds (each seed's mean over the forget sets).

    A line a checkpoint is its Pareto front; the tick below 0 is where it starts, the ring what it chooses on the tuning
    seed. Tables: tuning, tuned.
    """
    set_small_style()
    tuning = tables["tuning"]
    points = candidates(tuning, tables["tuned"])
    settings = [name for name in spec.settings if name in set(points.setting)]
    points = points[points.setting.isin(settings)]
    methods = [name for name in spec.methods if name in set(points.method)]
    if not settings or not methods:
        return empty("no candidates were tried with the reported seeds")
    styles = looks(points.checkpoint, spec.study)
    fig, panels = plt.subplots(
        len(settings),
        len(methods),
        figsize=(WIDTH, min((44 * len(settings) + 28) * MILLIMETRES, TALLEST)),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    for row, setting in zip(panels, settings, strict=True):
        for axes, method in zip(row, methods, strict=True):
            here = points[(points.setting == setting) & (points.method == method)]
            if here.empty:
                axes.set_axis_off()
                continue
            draw_candidates(axes, here, styles)
        row[0].set_ylabel(f"{setting}\nretain accuracy\nlost (points)")
    for axes, method in zip(panels[0], methods, strict=True):
        axes.set_title(method)
    for axes in panels[-1]:
        axes.set_xlabel("forget accuracy (%)")
        axes.set_xlim(-4, 104)
        axes.set_xticks([0, 25, 50, 75, 100])
    key(fig, styles, MARKS)
    sets = ", ".join(name for name in spec.study.forget_sets if name in set(tuning.forget_set))
    fig.suptitle(f"Collateral damage against forgetting, all candidates ({sets}): lower left is better")
    return fig


def candidates(tuning: pd.DataFrame, tuned: pd.DataFrame) -> pd.DataFrame:
    """A row a ``CANDIDATE`` over the reported seeds, which are those of ``tuned``: mean and std (n - 1) of forget accuracy
    (``x``, %) and of lost retain accuracy (``y``, points), forget accuracy before (``start``, %), whether it lacks some of the
    reported seeds, and whether it is the checkpoint's own choice."""
    reported = tuned[["setting", "seed"]].drop_duplicates()
    cells = tuning.merge(reported, on=["setting", "seed"]).dropna(subset=["forget_accuracy", "retain_accuracy"])
    cells = cells.assign(
        x=100 * cells.forget_accuracy,
        y=100 * (cells.retain_accuracy_before - cells.retain_accuracy),
        start=100 * cells.forget_accuracy_before,
    )
    by_seed = cells.groupby([*CANDIDATE, "seed"], as_index=False).agg(
        x=("x", "mean"), y=("y", "mean"), start=("start", "mean")
    )
    points = by_seed.groupby(CANDIDATE, as_index=False).agg(
        x=("x", "mean"),
        x_std=("x", "std"),
        y=("y", "mean"),
        y_std=("y", "std"),
        start=("start", "mean"),
        seeds=("seed", "count"),
    )
    reportable = points.setting.map(reported.groupby("setting").seed.count()).astype("float64")
    points = points.assign(fewer=points.seeds < reportable)
    chosen = tuned[tuned.protocol == "own"][CANDIDATE].drop_duplicates()
    own = points[CANDIDATE].merge(chosen, on=CANDIDATE, how="left", indicator="found").found == "both"
    return points.assign(chosen=own.to_numpy())


def front(points: pd.DataFrame) -> pd.DataFrame:
    """The candidates that no other beats: none has as little forget accuracy and as little lost, and less of one. By ``x``."""
    x, y = points.x.to_numpy(), points.y.to_numpy()
    no_worse = (x[None] <= x[:, None]) & (y[None] <= y[:, None])
    better = (x[None] < x[:, None]) | (y[None] < y[:, None])
    beaten = (no_worse & better).any(axis=1) if len(points) else np.zeros(0, bool)
    return points[~beaten].sort_values(["x", "y"])


def draw_candidates(axes: Axes, points: pd.DataFrame, styles: Looks) -> None:
    """One setting and method. The front is a staircase: what lies right of and above it is beaten."""
    axes.axhline(0, color="0.6", linewidth=0.6)
    for name, style in styles.items():
        own = points[points.checkpoint == name]
        line = {key: style[key] for key in ("color", "linestyle")}
        best, look = front(own), dot(style)
        axes.plot(best.x, best.y, drawstyle="steps-post", linewidth=1.1, zorder=2, gid=f"front {name}", **line)
        axes.errorbar(
            own.x,
            own.y,
            xerr=own.x_std.fillna(0),
            yerr=own.y_std.fillna(0),
            fmt="none",
            ecolor=style["color"],
            elinewidth=0.5,
            alpha=0.6,
            zorder=1.5,
        )
        for fewer, face in ((False, style["color"]), (True, "white")):
            part = own[own.fewer == fewer]
            axes.plot(part.x, part.y, zorder=3, **{**look, "markerfacecolor": face})
        chosen = own[own.chosen]
        ring = {"markersize": 8, "markerfacecolor": "none", "markeredgewidth": 0.9, "markeredgecolor": style["color"]}
        axes.plot(chosen.x, chosen.y, linestyle="none", marker="o", zorder=4, gid=f"chosen {name}", **ring)
        axes.plot(own.start.mean(), 0, marker=3, markersize=6, color=style["color"], zorder=2.5, gid=f"start {name}")
