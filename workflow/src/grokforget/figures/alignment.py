"""Draws how forget and retain gradients part along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, dash, draw_runs, mark_times, mean_curve
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, heading, legend, settings_of
from grokforget.figures.parts.select import of_kinds, wide
from grokforget.figures.parts.style import SPLITS, logarithmic

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "gradient-alignment"
NORMS = {split: f"{split}_gradient_norm" for split in ("forget", "retain")}
CONTROLS = ["gradient_cosine_control", "pair_cosine_mean_control"]
MEASURES = ["gradient_cosine", "gradient_cosine_is_noise", "pair_cosine_mean", *CONTROLS, *NORMS.values()]
MEANS = {"color": "#000000", "linestyle": "-"}
PAIRS = {"color": "#cc79a7", "linestyle": (0, (3, 1, 1, 1))}
OF_RETAIN, THIN = {"color": "0.6"}, 1.1
POINT: dict[str, Any] = {"marker": "o", "markersize": 2.6, "color": "0.15", "linestyle": "none", "markeredgewidth": 0.5}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a setting, against the snapshot's step: above, the cosine between the mean gradients of forget and retain
    set, and the mean cosine of pairs of single examples, each with its control in grey, the same of two parts of the retain
    set; below, the lengths of the two mean gradients (nats per unit of weight).

    A hollow point is noise: one of the mean gradients is shorter than two of its standard errors. Means over seeds are
    interpolated in log step; those of lengths are geometric. Tables: along, checkpoints.
    """
    set_small_style()
    along = tables["along"]
    checkpoints = tables["checkpoints"]
    rows = of_kinds(along[along.part == ""], [KIND], spec.study, spec.along_forget_sets)
    settings = settings_of(rows, spec.settings)
    if not settings:
        return empty("no gradients along training in this study")
    fig, panels = grid(2, len(settings), 46, sharex="col", sharey="row")
    values = wide(rows, "step", MEASURES)
    for column, setting in zip(panels.T, settings, strict=True):
        of_setting = values[values.setting == setting]
        cosines(column[0], of_setting)
        norms(column[1], of_setting)
        for place, axes in enumerate(column):
            mark_times(axes, checkpoints, setting, named=place == 0)
        column[0].set_title(heading(rows, setting), pad=13)
        column[1].set_xlabel("training step")
    panels[0, 0].set_ylabel("cosine")
    panels[1, 0].set_ylabel("mean gradient's length\n(nats per unit of weight)")
    fig.suptitle("gradients on forget and retain set along training")
    legend(
        fig,
        {
            "cosine of the mean gradients": {**MEANS, "linewidth": 1.6},
            "mean cosine of pairs of examples": {**PAIRS, "linewidth": 1},
            "cosine, two parts of the retain set (mean)": {**MEANS, **OF_RETAIN, "linewidth": THIN},
            "pairs, two parts of the retain set (mean)": {**PAIRS, **OF_RETAIN, "linewidth": THIN},
            LEGEND: {"linestyle": "none"},
            "one seed's mean gradients": POINT,
            "the same, where they are noise": {**POINT, "markerfacecolor": "white"},
            **{f"length, {split} set": {**dash(SPLITS[split]), "linewidth": 1.6} for split in NORMS},
        },
        columns=3,
    )
    return fig


def cosines(axes: Axes, values: pd.DataFrame) -> None:
    """``values`` has seed, step and ``MEASURES``, of one setting."""
    axes.axhline(0, color="0.6", linewidth=0.6)
    for measure, look, width in (("pair_cosine_mean", PAIRS, 1.0), ("gradient_cosine", MEANS, 1.6)):
        control = mean_curve(values.assign(value=values[f"{measure}_control"]))
        axes.plot(*control, linewidth=THIN, **{**dash(look), **OF_RETAIN})
        draw_runs(axes, values.assign(value=values[measure]), look, width=width)
    noise = values.gradient_cosine_is_noise == 1
    for hollow in (False, True):
        some = values[noise == hollow]
        face = {"markerfacecolor": "white" if hollow else POINT["color"]}
        axes.plot(some.step, some.gradient_cosine, zorder=3, **{**POINT, **face})
    axes.set_ylim(-1.05, 1.05)


def norms(axes: Axes, values: pd.DataFrame) -> None:
    """As ``cosines``. A length of 0 has no place on a logarithmic axis."""
    for split, name in NORMS.items():
        draw_runs(axes, values.assign(value=values[name].where(values[name] > 0)), dash(SPLITS[split]), geometric=True)
    logarithmic(axes, "y")
