"""Draws how well the paper's module model foretells the correlation of gradients (Appendix D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, dash, draw_runs
from grokforget.figures.parts.dots import dot, empty, looks, set_small_style
from grokforget.figures.parts.grid import grid, heading, legend, settings_of
from grokforget.figures.parts.select import of_each_group, of_kinds, wide

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "module-model"
PAIRS = ("forget-retain", "forget-forget", "retain-retain")
CURVES: dict[str, dict[str, Any]] = {
    "module_p": {"name": "p", "color": "#0072b2", "linestyle": (0, (1, 1.2))},
    "module_rho": {"name": "ρ", "color": "#e69f00", "linestyle": (0, (3, 1, 1, 1))},
    "module_predicted": {"name": "p·ρ", "color": "#d55e00", "linestyle": (0, (5, 2))},
    "module_measured": {"name": "measured", "color": "#000000", "linestyle": "-"},
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a setting. A row a kind of pairs: measured against predicted correlation p·ρ (%) of two examples' gradients, a
    point a seed and checkpoint (before unlearning), with the line where they agree. Last rows: p, the share of
    active modules (%), and ρ, p·ρ and the measured correlation along training, for a forget and a retain example. Tables:
    along, analysis.
    """
    set_small_style()
    along = tables["along"]
    analysis = tables["analysis"]
    before = of_each_group(analysis[analysis.stage == "before"], [KIND], spec.study, spec.forget_sets)
    during = of_kinds(along, [KIND], spec.study, spec.forget_sets)
    both = pd.concat([before, during])
    settings = settings_of(both, spec.settings)
    if not settings:
        return empty("no module model in this study")
    fig, panels = grid(len(PAIRS) + 2, len(settings), 37)
    styles = looks(before.checkpoint, spec.study)
    for column, setting in zip(panels.T, settings, strict=True):
        for axes, pair in zip(column, PAIRS, strict=False):
            points(axes, before[(before.setting == setting) & (before.part == pair)], styles)
        of_setting = during[(during.setting == setting) & (during.part == PAIRS[0])]
        curves(column[-2], of_setting, ["module_p"])
        curves(column[-1], of_setting, ["module_rho", "module_predicted", "module_measured"])
        column[0].set_title(heading(both, setting))
        column[-3].set_xlabel("predicted, p·ρ (%)")
        column[-1].set_xlabel("training step")
    for axes, pair in zip(panels[:, 0], PAIRS, strict=False):
        axes.set_ylabel(f"{pair.replace('-', ' × ')}\nmeasured (%)")
    for axes, label in zip(panels[-2:, 0], ("share active (%)", "correlation (%)"), strict=True):
        axes.set_ylabel(f"{PAIRS[0].replace('-', ' × ')}\n{label}")
    fig.suptitle("module model of gradients' correlation, each seed")
    lines = {str(look["name"]): {**dash(look), "linewidth": 1.6} for look in CURVES.values()}
    same = {"measured = p·ρ": {"color": "0.4", "linewidth": 0.8}}
    marks = {name: dot(style) for name, style in styles.items()}
    legend(fig, {**marks, **same, **lines, LEGEND: {"linestyle": "none"}}, columns=4)
    return fig


def points(axes: Axes, rows: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]]) -> None:
    """One setting and kind of pairs; no panel where there is nothing. Both axes have the same scale."""
    values = wide(rows, "checkpoint", ["module_predicted", "module_measured"]).dropna()
    if values.empty:
        axes.set_axis_off()
        return
    # Later ones smaller, so that they do not hide those that they equal.
    for (name, style), size in zip(styles.items(), np.linspace(6, 3.5, len(styles)), strict=True):
        some = 100 * values.loc[values.checkpoint == name, ["module_predicted", "module_measured"]]
        axes.plot(some.module_predicted, some.module_measured, label=name, **{**dot(style), "markersize": size})
    numbers = 100 * values[["module_predicted", "module_measured"]].to_numpy()
    margin = 0.06 * np.ptp(numbers) or 1.0
    limits = (numbers.min() - margin, numbers.max() + margin)
    axes.axline((0, 0), slope=1, color="0.4", linewidth=0.8, zorder=1)
    axes.set(xlim=limits, ylim=limits, box_aspect=1)
    axes.locator_params(nbins=3)


def curves(axes: Axes, rows: pd.DataFrame, measures: Sequence[str]) -> None:
    """One setting and kind of pairs along training; no panel where there is nothing."""
    values = wide(rows, "step", measures)
    if values.empty:
        axes.set_axis_off()
        return
    for measure in measures:
        draw_runs(axes, values.assign(value=100 * values[measure]), CURVES[measure])
    if measures == ["module_p"]:
        axes.set_ylim(-5, 105)
    else:
        axes.axhline(0, color="0.6", linewidth=0.6)
