"""Figures of panels: a column a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from grokforget.figures.parts.dots import MARGINS, darker
from grokforget.figures.parts.style import MILLIMETRES, WIDTH


def grid(rows: int, columns: int, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of rows × columns panels, each ``height`` mm high; as wide as a page, or wider where panels would be
    too narrow to read."""
    width = max(WIDTH, 36 * MILLIMETRES * columns)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(width, height * MILLIMETRES * rows + MARGINS),
        squeeze=False,
        layout="constrained",
        **options,
    )
    return figure, panels


def settings_of(rows: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """Those of the settings that there is something of, groups of examples of one behind each other
    (``select.of_each_group``)."""
    found = sorted(set(rows.setting))
    return [name for setting in settings for name in found if plain(name) == setting]


def plain(setting: str) -> str:
    """The setting's own name, without that of a group."""
    return setting.partition("\n")[0]


def heading(rows: pd.DataFrame, setting: str) -> str:
    """A column's: the setting, and the forget set that is shown of it."""
    return f"{plain(setting)}\nforget set {rows[rows.setting == setting].forget_set.iloc[0]}"


def legend(figure: Figure, marks: Mapping[str, Mapping[str, Any]], columns: int = 4) -> None:
    """Below the panels: marks and lines by what they mean."""
    handles = [Line2D([], [], label=name, **mark) for name, mark in marks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.4)


def error_bars(axes: Axes, x: Any, y: Any, error: Any, style: Mapping[str, Any]) -> None:
    """Mean ± standard deviation, with a marker that can be told in black and white."""
    look: dict[str, Any] = {"markeredgecolor": "0.15", "markeredgewidth": 0.5, **style}
    axes.errorbar(x, y, yerr=error, ecolor=darker(style["color"]), elinewidth=0.8, capsize=1.5, **look)
