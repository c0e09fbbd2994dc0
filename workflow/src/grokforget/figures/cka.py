"""Draws how alike forget and retain examples are represented, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, looks, over_seeds, set_small_style
from grokforget.figures.parts.grid import error_bars, grid, heading, legend, settings_of
from grokforget.figures.parts.select import natural, of_each_group

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "cka"
ROWS = {"": "CKA, usual estimator", "_unbiased": "CKA, unbiased estimator"}
CONTROL = {"color": "0.6", "linestyle": "-", "linewidth": 0.7, "markerfacecolor": "white", "markersize": 2.6}
LONG = 16
"""Letters of a layer's name."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row an estimator, a column a setting, against the layer: CKA between forget and retain examples (0 to 1; the unbiased
    estimate may be negative), mean and standard deviation over seeds, and as its control between parts of the retain set of as
    many classes and rows (thin grey, hollow: means). Control settings have no lines. Table: analysis.
    """
    set_small_style()
    analysis = tables["analysis"]
    rows = of_each_group(analysis[analysis.stage == "before"], [KIND], spec.study, spec.forget_sets)
    rows = rows[rows.part != ""]
    settings = settings_of(rows, spec.settings)
    if not settings:
        return empty("no CKA in this study")
    styles = looks(rows.checkpoint, spec.study)
    controls = [control.name for control in spec.study.controls.values()]
    joined = [name for name in styles if name not in controls]
    fig, panels = grid(len(ROWS), len(settings), 52, sharex="col", sharey="row")
    for column, setting in zip(panels.T, settings, strict=True):
        of_setting = rows[rows.setting == setting]
        order = natural(of_setting.part)
        for axes, ending in zip(column, ROWS, strict=True):
            layers(axes, of_setting, ending, order, looks(of_setting.checkpoint, spec.study), joined)
        column[0].set_title(heading(rows, setting))
        label, names = shortened(order)
        column[-1].set_xticks(range(len(order)), names, rotation=35, ha="right", rotation_mode="anchor")
        column[-1].set_xlabel(label)
    for axes, label in zip(panels[:, 0], ROWS.values(), strict=True):
        axes.set_ylabel(label)
    title = "forget against retain examples, before unlearning"
    fig.suptitle(f"{title}; mean ± sd over seeds")
    lines = {name: {**style, "linestyle": "-" if name in joined else "none"} for name, style in styles.items()}
    control = {**CONTROL, "marker": "o"}
    legend(fig, {**lines, "the same of two parts of the retain set (means)": control}, columns=4)
    return fig


def shortened(layers: Sequence[str]) -> tuple[str, list[str]]:
    """The axis' label and the layers' names; of long ones without the folder that all of them lie in."""
    if max(map(len, layers), default=0) <= LONG:
        return "layer", [*layers]
    steps = zip(*(name.split(".")[:-1] for name in layers if "." in name), strict=False)
    folder = ".".join(step[0] for step in takewhile(lambda step: len({*step}) == 1, steps))
    return (f"layer of {folder}" if folder else "layer"), [name.removeprefix(f"{folder}.") for name in layers]


def layers(
    axes: Axes,
    rows: pd.DataFrame,
    ending: str,
    order: Sequence[str],
    styles: Mapping[str, Mapping[str, Any]],
    joined: Sequence[str],
) -> None:
    """One setting and estimator. The names in ``joined`` have lines from layer to layer."""
    axes.axhline(0, color="0.6", linewidth=0.6)
    place = {name: number for number, name in enumerate(order)}
    for number, (name, style) in enumerate(styles.items()):
        shift = (number - (len(styles) - 1) / 2) * min(0.7 / len(styles), 0.12)
        of_style = {"color": style["color"], "marker": style["marker"]}
        usual = {"linestyle": "-", "linewidth": 1.1}
        for measure, look in ((f"cka{ending}_control", CONTROL), (f"cka{ending}", usual)):
            of_measure = rows[(rows.checkpoint == name) & (rows.measure == measure)]
            shown = over_seeds(of_measure, ["part"])
            x = shown.part.map(place).astype(float)
            shown, x = shown.loc[x.sort_values().index], x.sort_values() + shift
            line = {} if name in joined else {"linestyle": "none"}
            error = None if look is CONTROL else shown["std"]
            error_bars(axes, x, shown["mean"], error, {**of_style, **look, **line})
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.grid(visible=False, axis="x")
