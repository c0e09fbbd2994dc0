"""Draws the deciding tests of every claim, and the same tests against ``memorised``."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from grokforget.figures.parts.dots import empty
from grokforget.figures.parts.style import MILLIMETRES, WIDTH, set_style

if TYPE_CHECKING:
    from grokforget.config.claims import Claim, Test
    from grokforget.config.specs.figures import FigureSpec

ALL = "all"
UNTESTED = "not tested here"
VERDICTS: dict[str, dict[str, Any]] = {
    "supported": {"marker": "o", "color": "#009e73", "markersize": 5.5},
    "contradicted": {"marker": "X", "color": "#d55e00", "markersize": 6.5},
    "undecided": {"marker": "o", "color": "0.35", "markersize": 5.5, "markerfacecolor": "white"},
}
MARKERS = "^sDvP<>*p"
"""Of the single settings."""
UNITS = {"points": (100.0, "points"), "×": (1.0, "ratio"), "": (1.0, "difference")}
"""Unit of a test → factor to it, and the axis."""
SMALL, THIN = 0.62, 0.8
"""The same test against ``memorised``: size of its mark as a share of the usual, and width of its interval."""
LABELS, PANEL = 0.37, 0.52
"""Shares of the width."""
LINE, TICKS, GAP = 2.9, 4.4, 1.3
"""Height of a line of text, of the axis' numbers, and between claims, mm."""
PAGE, LEGEND = 240.0, 16.0
"""The height that there is, and that of the legend, mm: where every claim is tested, all stand closer."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A panel a claim, in the claim's unit: of every deciding test the effect over all settings with its 95 % interval,
    marked by the test's verdict, above it and smaller the same test with ``memorised`` in place of
    ``early``, and below it the single settings as small marks; shaded is what the claim predicts. Table: claims.
    """
    set_style()
    if spec.claims is None:
        return empty("this study has no claims")
    tests = tables["claims"]
    settings = sorted(set(tests.setting[tests.decides.astype(bool)]) - {ALL})
    settings = settings if len(settings) > 1 else []
    blocks = [Block(claim, tests) for claim in spec.claims.claims]
    needed = sum(block.height for block in blocks)
    room = min(1.0, (PAGE - LEGEND) / needed)
    height = room * needed + LEGEND
    fig = plt.figure(figsize=(WIDTH, height * MILLIMETRES))
    top = height
    for block in blocks:
        block.draw(fig, top, height, room, settings)
        top -= room * block.height
    fig.legend(handles=list(legend_of(settings)), loc="lower center", ncols=4, bbox_to_anchor=(0.5, 0))
    return fig


class Block:
    """One claim's part of the page: its text, and below it a panel with a row a deciding test."""

    def __init__(self, claim: Claim, tests: pd.DataFrame) -> None:
        self.tests = tests[tests.claim == claim.id]
        names = [test.name for test in claim.deciding]
        tested = self.tests.verdict[self.tests.test.isin(names)] != UNTESTED
        # A claim that this study says nothing of is a line of text.
        self.deciding = claim.deciding if tested.any() else []
        others = {test.name: claim.with_memorised(test) for test in self.deciding}
        self.others = {name: other.name for name, other in others.items() if other and other.name != name}
        text = f"{claim.id}. {claim.claim}"
        if not self.deciding:
            text += ". " + ": ".join(filter(None, [UNTESTED.capitalize(), claim.why_not]))
        self.title = textwrap.wrap(text, 116)
        self.labels = [textwrap.wrap(test.name, 48) for test in self.deciding]
        self.rows = [
            LINE * max(len(label), 1) + (2.2 if test.name in self.others else 1.6)
            for label, test in zip(self.labels, self.deciding, strict=True)
        ]
        self.height = LINE * len(self.title) + GAP + (sum(self.rows) + TICKS + 0.8 if self.rows else 0)

    def draw(self, figure: Figure, top: float, height: float, room: float, settings: Sequence[str]) -> None:
        """From ``top`` down, mm from the bottom of a figure of that ``height``, in that share of its own height."""
        figure.text(
            0.005, (top - room * GAP) / height, "\n".join(self.title), fontsize=7.5, fontweight="bold", va="top"
        )
        if not self.rows:
            return
        top -= room * (GAP + LINE * len(self.title) + 0.8)
        rows = room * sum(self.rows) / height
        axes = figure.add_axes((LABELS, top / height - rows, PANEL, rows))
        edges = np.concatenate([[0], np.cumsum(self.rows)])
        draw_tests(axes, self.tests, self.deciding, self.others, edges, settings)
        middles = (edges[1:] + edges[:-1]) / 2
        axes.set_yticks(middles, ["\n".join(label) for label in self.labels], fontsize=7)


def draw_tests(
    axes: Axes,
    tests: pd.DataFrame,
    deciding: Sequence[Test],
    others: Mapping[str, str],
    edges: np.ndarray,
    settings: Sequence[str],
) -> None:
    """One claim. ``others``: by the name of a test, that of the same test against ``memorised``. ``edges``: where rows begin
    and end along y, which points down."""
    beside = tests.test.isin(list(others.values())) & (tests.setting == ALL)
    tests = tests[tests.test.isin([test.name for test in deciding]) | beside]
    factor, label = UNITS[deciding[0].unit]
    none = 1.0 if deciding[0].statistic == "sd-ratio" else 0.0
    shown = tests.assign(**{name: factor * tests[name] for name in ("effect", "low", "high")})
    margin = max([factor * (test.margin or 0) for test in deciding])
    low, high = limits(axes, shown, none, margin)
    for test, begin, end in zip(deciding, edges[:-1], edges[1:], strict=True):
        here = shown[shown.test == test.name]
        span = predicted(test, none, factor, low, high)
        axes.add_patch(Rectangle((span[0], begin), span[1] - span[0], end - begin, color="0.91", linewidth=0, zorder=0))
        whole = here[here.setting == ALL]
        middle = (begin + end) / 2
        if whole.empty or whole.verdict.item() not in VERDICTS or np.isnan(whole.effect.item()):
            said = next((f"undecided: {why}" for why in whole.why if why), UNTESTED)
            behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
            where: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "bbox": behind, **CENTRE}
            axes.text(0.5, middle, said, color="0.35", fontsize=6.5, **where)
            continue
        draw_effect(axes, whole, middle, "", 1.0, 1.5)
        other = shown[(shown.test == others.get(test.name)) & (shown.setting == ALL)]
        if len(other) and other.verdict.item() in VERDICTS and not np.isnan(other.effect.item()):
            draw_effect(axes, other, middle - 0.3 * (end - begin), " with memorised", SMALL, THIN)
        for number, setting in enumerate(settings):
            one = here[here.setting == setting].dropna(subset=["effect"])
            at = middle + 0.3 * (end - begin)
            mark: dict[str, Any] = {"marker": MARKERS[number % len(MARKERS)], "color": "0.45", "markeredgewidth": 0}
            axes.plot(
                one.effect,
                [at] * len(one),
                linestyle="none",
                gid=f"setting {setting}",
                zorder=2.5,
                markersize=2.6,
                **mark,
            )
    axes.axvline(none, color="0.2", linewidth=0.8, zorder=1)
    axes.set_ylim(edges[-1], edges[0])
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=6.5, pad=1, length=2)
    if not np.isfinite(shown.effect).any():
        axes.set_xticks([])
    axes.text(1.015, 0, label, transform=axes.transAxes, fontsize=7, va="center")


def draw_effect(axes: Axes, row: pd.DataFrame, y: float, of: str, size: float, width: float) -> None:
    """Effect and interval of one test, at this height."""
    style = VERDICTS[row.verdict.item()]
    style = {**style, "markersize": size * style["markersize"]}
    ends = row[["low", "high"]].to_numpy()[0]
    if not np.isnan(ends).any():
        axes.plot(ends, [y, y], color=style["color"], linewidth=width, gid=f"interval{of}", zorder=2)
    axes.plot(row.effect, [y], linestyle="none", gid=f"effect{of}", zorder=3, **style)


CENTRE: dict[str, Any] = {"ha": "center", "va": "center"}


def limits(axes: Axes, tests: pd.DataFrame, none: float, margin: float) -> tuple[float, float]:
    """Set the axis so that all is on it; the scale of ratios is logarithmic, where none is 0."""
    whole = tests[tests.setting == ALL]
    drawn = [tests.effect, whole.low, whole.high, [none - margin, none + margin]]
    values = np.concatenate([np.asarray(part, np.float64) for part in drawn])
    values = values[np.isfinite(values)]
    if none == 1.0 and (values > 0).all():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(10, (1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = values.min() / 1.15, values.max() * 1.15
    else:
        axes.xaxis.set_major_locator(MaxNLocator(7))
        room = 0.06 * (np.ptp(values) or 1.0)
        low, high = values.min() - room, values.max() + room
    axes.set_xlim(low, high)
    return float(low), float(high)


def predicted(test: Test, none: float, factor: float, low: float, high: float) -> tuple[float, float]:
    """From where to where the claim wants the effect, on an axis from ``low`` to ``high``."""
    if test.margin is not None:  # the direction is "equal"
        return none - factor * test.margin, none + factor * test.margin
    return (low, none) if test.direction == "lower" else (none, high)


def legend_of(settings: Sequence[str]) -> Iterator[Line2D | Patch]:
    """What the marks mean."""
    for name, style in VERDICTS.items():
        yield Line2D([], [], linestyle="none", label=name, **style)
    yield Line2D([], [], color="0.35", linewidth=1.5, label="95 % interval")
    small = {"marker": "o", "markersize": SMALL * VERDICTS["undecided"]["markersize"]}
    yield Line2D([], [], color="0.35", linewidth=THIN, label="the same against memorised", **small)
    yield Patch(color="0.91", label="what the claim predicts")
    for number, setting in enumerate(settings):
        mark = MARKERS[number % len(MARKERS)]
        yield Line2D(
            [],
            [],
            linestyle="none",
            marker=mark,
            markersize=3.5,
            color="0.45",
            markeredgewidth=0,
            label=f"{setting} alone",
        )
