"""Draws what goes with the collateral at matched forgetting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, legend, settings_of
from grokforget.statistics.candidates import ASKED, CANDIDATES, CHECKPOINTS, LEFT_FOR_GROKKING, PAST, SNAPSHOTS
from grokforget.statistics.explanations import ALL

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

LEVEL = "chance"
KINDS: dict[str, dict[str, Any]] = {
    SNAPSHOTS: {"marker": "o", "color": "#0072b2", "markersize": 3.6},
    CHECKPOINTS: {"marker": "s", "color": "#d55e00", "markersize": 3.2},
}
HEIGHTS = {(SNAPSHOTS, False): -0.33, (SNAPSHOTS, True): -0.12, (CHECKPOINTS, False): 0.12, (CHECKPOINTS, True): 0.33}
"""Of a mark within its row, by the kind of unit and whether something is given."""
COUNTS = 1.62
"""Where the numbers of units end."""
Line = tuple[str, str, str]


def lines() -> list[Line]:
    """The rows: a label, the predictor, and what is given where something is. What is given train and test accuracy stands
    in the row of the plain coefficient."""
    candidates = [(name, name, ", ".join(ASKED[name][1])) for name in CANDIDATES]
    fewest, usual, most = (", ".join(given) for given in LEFT_FOR_GROKKING)
    return [
        *candidates,
        ("past t_grok", PAST, usual),
        ("past t_grok,\ngiven train accuracy", PAST, fewest),
        ("past t_grok, given also\nthe weight norm", PAST, most),
    ]


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a setting, and where there are several the mean over them; a row a predictor: Spearman's ρ with the collateral
    where the forget accuracy has fallen to chance, filled, and the partial one given train and test accuracy, open, each
    with its bootstrap interval over seeds; of snapshots along training, and below it of checkpoints. Beside them the
    numbers of units, and below the numbers of those without a collateral. The last rows ask what is left for being past
    t_grok. Table: explanations.
    """
    set_small_style()
    rows = tables["explanations"]
    rows = rows[rows.level == LEVEL]
    settings = settings_of(rows[rows.n > 0], spec.settings)
    if not settings or rows.correlation.isna().all():
        return empty("no unit has a collateral to explain")
    columns = [*settings, *([ALL] if len(settings) > 1 else [])]
    asked = lines()
    fig, panels = grid(1, len(columns), 9.5 * len(asked), sharey="row")
    for axes, setting in zip(panels[0], columns, strict=True):
        panel(axes, rows[rows.setting == setting], asked)
        sets = [name for name in rows[rows.setting == setting].forget_set.unique() if name]
        axes.set_xlabel(without(rows[rows.setting == setting]), fontsize=6, color="0.4")
        axes.set_title(f"{setting}\n{', '.join(sets)}" if sets else "all\n(mean)")
    panels[0][0].set_yticks(range(len(asked)), [label for label, *_ in asked])
    panels[0][0].set_ylim(len(asked) - 0.5, -0.5)
    fig.suptitle(
        "rank correlation with the collateral at chance, 95 % bootstrap intervals over seeds; grey: number of units"
    )
    marks = {}
    for kind, style in KINDS.items():
        mark = {"linestyle": "none", **style}
        marks[kind] = mark
        marks[f"{kind}, given train and test accuracy"] = {**mark, "markerfacecolor": "white"}
    legend(fig, marks, columns=2)
    return fig


def without(rows: pd.DataFrame) -> str:
    """How many units of either kind have no collateral."""
    totals = rows.groupby("units")[["left_out", "there_before", "not_reached"]].first().sum(axis=1)
    return "without a collateral:\n" + "\n".join(f"{totals[kind]} {kind}" for kind in KINDS if kind in totals)


def panel(axes: Axes, rows: pd.DataFrame, asked: list[Line]) -> None:
    """One setting."""
    for place, (_, predictor, given) in enumerate(asked):
        alone = asked[place - 1][1] == predictor  # its plain coefficient stands above
        known = False
        for kind, style in KINDS.items():
            middle = place + (HEIGHTS[kind, False] + HEIGHTS[kind, True]) / 2
            found = rows[(rows.units == kind) & (rows.predictor == predictor)].set_index("given")
            numbers = []
            for what in (given,) if alone else ("", given):
                if what in found.index and np.isfinite(found.correlation[what]):
                    y = middle if alone else place + HEIGHTS[kind, bool(what)]
                    mark(axes, found.loc[what], y, style, "partial" if what else "plain")
                    numbers.append(str(found.n[what]))
            if numbers:
                axes.text(
                    COUNTS, middle, "/".join(dict.fromkeys(numbers)), fontsize=5.5, color="0.4", ha="right", va="center"
                )
                known = True
        if not known:
            axes.text(COUNTS, place, "no number", fontsize=5.5, color="0.4", ha="right", va="center")
    first = len(CANDIDATES)
    for edge in range(1, len(asked)):
        axes.axhline(edge - 0.5, color="0.3" if edge == first else "0.85", linewidth=0.8 if edge == first else 0.5)
    axes.axvline(0, color="0.3", linewidth=0.7, zorder=1)
    axes.set_xlim(-1.08, COUNTS + 0.06)
    axes.set_xticks([-1, 0, 1])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def mark(axes: Axes, row: pd.Series, y: float, style: Mapping[str, Any], what: str) -> None:
    """One coefficient, ``plain`` or ``partial``, and its interval."""
    if np.isfinite(row.low):
        axes.plot([row.low, row.high], [y, y], color=style["color"], linewidth=0.9, zorder=2, gid=f"interval {what}")
    face: dict[str, Any] = {"markerfacecolor": "white"} if what == "partial" else {}
    axes.plot([row.correlation], [y], linestyle="none", zorder=3, gid=f"{what} {row.units}", **style, **face)
