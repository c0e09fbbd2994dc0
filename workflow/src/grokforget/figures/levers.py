"""Draws steps until grokking with every lever and without."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import legend
from grokforget.figures.parts.laboratory import CENSORED, INDUCED, KNOWN, MOST_PANELS, say_seeds, steps_axis
from grokforget.figures.parts.style import MILLIMETRES, WIDTH, logarithmic
from grokforget.statistics.contrasts import paired_interval
from grokforget.statistics.timed_runs import labels_of, timed, varied, within

if TYPE_CHECKING:
    from grokforget.config.specs.base import Meanings
    from grokforget.config.specs.figures import FigureSpec

LEVER, BASE = "lever", "none"
RATIO: dict[str, Any] = {"linestyle": "none", "marker": "D", "color": "#000000", "markersize": 4.2}


class Group(NamedTuple):
    """Settings that differ in their lever alone."""

    title: str
    settings: dict[str, str]
    """Lever → setting, the one without a lever first."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a group of settings that differ in their lever: on the left t_grok (steps, by the setting's rule) of every
    run, those that did not within their budget at it as triangles; on the right t_grok with the lever over that without,
    by seed, and the geometric mean with its 95 % interval (Student, of log ratios), of seeds of which both are known: how
    many says the number. Table: runs.
    """
    set_small_style()
    table = tables["runs"][tables["runs"].train_set == "full"]
    groups, runs = groups_of(table, spec.study)[:MOST_PANELS], timed(table, "t_grok")
    if not groups:
        return empty("no setting has a lever")
    heights = [6 * len(group.settings) + 12 for group in groups]
    fig, panels = plt.subplots(
        len(groups),
        2,
        figsize=(WIDTH, (sum(heights) + 24) * MILLIMETRES),
        squeeze=False,
        sharey="row",
        layout="constrained",
        gridspec_kw={"height_ratios": heights},
    )
    for (times, ratios), group in zip(panels, groups, strict=True):
        draw_times(times, runs, group)
        draw_ratios(ratios, runs, group)
        times.set_title(group.title)
    panels[-1][0].set_xlabel("t_grok (steps)")
    panels[-1][1].set_xlabel("t_grok with the lever over that without, by seed")
    marks = {
        "a run": KNOWN,
        "did not grok within its budget (censored)": CENSORED,
        "geometric mean, 95 % interval": RATIO,
    }
    legend(fig, marks, columns=3)
    return fig


def groups_of(runs: pd.DataFrame, study: Meanings) -> list[Group]:
    """Settings of a grid, or of none, with the same other labels that differ in ``lever``, of which one has ``none``; and
    settings with their controls ``induced-...``."""
    found = []
    if LEVER in labels_of(runs):
        levers = runs[runs[LEVER] != ""]
        for grid, rows in levers.groupby("grid", sort=True):
            for words, part in within(rows, [name for name in varied(rows) if name != LEVER]):
                settings = dict(zip(part[LEVER], part.setting, strict=True))
                if BASE in settings and len(settings) > 1:
                    title = " ".join([str(grid), words.replace("_", " ")]).strip()
                    found.append(Group(title or "levers", {BASE: settings.pop(BASE), **settings}))
    for base in dict.fromkeys(control.of for control in study.controls.values() if control.name.startswith(INDUCED)):
        own = {
            one.name: name for name, one in study.controls.items() if one.of == base and one.name.startswith(INDUCED)
        }
        found.append(Group(base, {BASE: base, **own}))
    return found


def draw_times(axes: Axes, runs: pd.DataFrame, group: Group) -> None:
    """Each run's time, a line a lever."""
    for place, setting in enumerate(group.settings.values()):
        rows = runs[runs.setting == setting]
        for state, style in (("known", KNOWN), ("censored", CENSORED)):
            part = rows[rows.state == state]
            y = place + 0.12 * (part.seed.rank() - (len(part) + 1) / 2)
            axes.plot(part.time, y, gid=f"{state} {setting}", **style)
    logarithmic(axes, "x")
    steps_axis(axes, "x")
    axes.set_yticks(range(len(group.settings)), [told(runs, *one) for one in group.settings.items()])
    axes.set_ylim(len(group.settings) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def told(runs: pd.DataFrame, lever: str, setting: str) -> str:
    """A lever and how many of its runs grokked."""
    states = runs[runs.setting == setting].state
    known, excluded = (int((states == name).sum()) for name in ("known", "excluded"))
    more = f", {excluded} excluded" if excluded else ""
    return f"{'without' if lever == BASE else lever}\n{known} of {len(states)} grokked{more}"


def ratio(runs: pd.DataFrame, setting: str, base: str) -> tuple[np.ndarray, float, float, float]:
    """Of the seeds of which both times are known their ratios (n,); their geometric mean, and the ends of its 95 %
    interval, NaN below two."""
    known = runs[runs.state == "known"]
    both = known[known.setting == setting].set_index("seed").time / known[known.setting == base].set_index("seed").time
    logs = np.log(both.dropna().to_numpy("float64"))
    middle, low, high = map(math.exp, paired_interval(logs) if len(logs) else [math.nan] * 3)
    return np.exp(logs), middle, low, high


def draw_ratios(axes: Axes, runs: pd.DataFrame, group: Group) -> None:
    """Ratios to the setting without a lever."""
    base, *levers = group.settings.values()
    for place, setting in enumerate(levers, 1):
        ratios, middle, low, high = ratio(runs, setting, base)
        axes.plot(ratios, np.full(len(ratios), place + 0.25), **{**KNOWN, "markersize": 2.2})
        if len(ratios):
            axes.plot([middle], [place], gid=f"ratio {setting}", **RATIO)
            axes.plot([low, high], [place, place], color="0.2", linewidth=1.0)
        say_seeds(axes, place, len(ratios))
    axes.axvline(1, color="0.3", linewidth=0.7, zorder=1)
    logarithmic(axes, "x")
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.5), max(high, 2))
    axes.xaxis.set_major_locator(FixedLocator([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False, axis="y")
