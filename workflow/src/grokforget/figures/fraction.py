"""Draws grok rate and times against the share of the data that is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import CENSORED, KNOWN, canvas, left, of_grids, panels_by, steps_axis
from grokforget.figures.parts.style import accuracy_axis
from grokforget.statistics.timed_runs import varied

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

FRACTION = "train_fraction"
MOST = 6
TIMES: dict[str, dict[str, Any]] = {
    "t_mem": {"color": "#999999", "linestyle": (0, (5, 2)), "marker": "s"},
    "t_grok": {"color": "#0072b2", "marker": "o"},
}
BOUNDARIES: dict[str, dict[str, Any]] = {
    "more than half of the seeds grok": {"color": "0.2", "linestyle": (0, (1, 1.2)), "linewidth": 1.0},
    "no gap from here on": {"color": "#d55e00", "linestyle": (0, (4, 2, 1, 2)), "linewidth": 1.0},
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a grid that varies ``train_fraction``, and a choice of its other labels: above the share of seeds that
    grokked (%), with Wilson's 95 % interval; below t_mem and t_grok (steps), median over all seeds, those that have none
    counted as later than any, and every run. Upright lines: ``boundaries``. Tables: runs, rates.
    """
    set_small_style()
    found = [
        one for _, rows in of_grids(tables["runs"]) if FRACTION in varied(rows) for one in panels_by(rows, [FRACTION])
    ]
    if not found:
        return empty("no grid varies the share of the data that is trained on")
    shown = found[:MOST]
    fig, axes = canvas(len(shown), 42, rows=2)
    rates = tables["rates"]
    rates = rates[(rates.train_set == "full") & (rates.outcome == "grokked")]
    for upper, lower, (title, runs) in zip(*axes, shown, strict=True):
        draw_rates(upper, rates[rates.setting.isin(runs.setting)].sort_values(FRACTION))
        draw_times(lower, runs)
        for axis, (name, at) in ((one, two) for one in (upper, lower) for two in boundaries(runs).items()):
            if np.isfinite(at):
                axis.axvline(at, gid=name, zorder=1, **BOUNDARIES[name])
        upper.set_title(title)
        lower.set_xlabel("share of the data that is trained on")
    axes[0][0].set_ylabel("grokked (%)")
    axes[1][0].set_ylabel("steps")
    marks = {f"{name} (median over seeds)": style for name, style in TIMES.items()}
    small = {"each run": {**KNOWN, "color": "0.4", "markersize": 2}, "did not grok (at its budget)": CENSORED}
    legend(fig, {**marks, **small, **BOUNDARIES}, columns=3)
    fig.suptitle(f"Grok rate with Wilson's 95 % interval, and times{left(len(found), MOST)}")
    return fig


def boundaries(runs: pd.DataFrame) -> dict[str, float]:
    """The least fraction at which more than half of the seeds grokked, and the least from which on, at every larger one
    too, more than half generalised with their training data (``immediate generalisation``); NaN where there is none."""
    by_fraction = runs.groupby(FRACTION)
    grokked = by_fraction.transition.mean() > 0.5
    immediate = by_fraction.kind.apply(lambda kinds: (kinds == "immediate generalisation").mean()) > 0.5
    onwards = immediate[::-1].cummin()[::-1]
    ends = [float(one.index[one].min()) if one.any() else np.nan for one in (grokked, onwards)]
    return dict(zip(BOUNDARIES, ends, strict=True))


def draw_rates(axes: Axes, rates: pd.DataFrame) -> None:
    """Shares with their intervals."""
    error = np.array([rates.rate - rates.low, rates.high - rates.rate]).clip(0)
    axes.errorbar(
        rates[FRACTION], 100 * rates.rate, yerr=100 * error, color="#0072b2", marker="o", capsize=2, elinewidth=0.9
    )
    for x, y, count, n in zip(rates[FRACTION], rates.high, rates["count"], rates.runs, strict=True):
        axes.annotate(f"{count}/{n}", (x, 100 * y), (0, 4), textcoords="offset points", ha="center", fontsize=6)
    accuracy_axis(axes)
    axes.set_ylim(-3, 122)


def draw_times(axes: Axes, runs: pd.DataFrame) -> None:
    """Medians and runs."""
    for name, style in TIMES.items():
        median = runs[name].fillna(np.inf).groupby(runs[FRACTION]).median().replace(np.inf, np.nan)
        axes.plot(median.index, median, gid=f"median {name}", linewidth=1.2, **style)
        axes.plot(
            runs[FRACTION],
            runs[name],
            linestyle="none",
            marker="o",
            markersize=2,
            color=style["color"],
            markeredgewidth=0,
        )
    late = runs[runs.censored]
    axes.plot(late[FRACTION], late.steps, gid="censored", **CENSORED)
    axes.set_xlim(*padded(runs[FRACTION]))
    if runs[[*TIMES]].notna().any(axis=None):
        steps_axis(axes)
    else:
        axes.set_yticks([])
        axes.text(
            0.5,
            0.5,
            "no run fitted its training data",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=6.5,
        )


def padded(values: pd.Series) -> tuple[float, float]:
    """Ends of an axis, a little outside."""
    room = 0.06 * float(values.max() - values.min())
    return float(values.min()) - room, float(values.max()) + room
