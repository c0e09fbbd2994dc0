"""What the figures of the laboratory share: the looks of kinds of curves and of runs, and panels by grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from grokforget.figures.parts.style import MILLIMETRES, WIDTH
from grokforget.statistics.timed_runs import varied, within

MOST_PANELS = 12
KINDS: dict[str, str] = {
    "grokking": "#0072b2",
    "delayed generalisation": "#56b4e9",
    "double descent": "#cc79a7",
    "late rise": "#009e73",
    "immediate generalisation": "#f0e442",
    "no memorisation": "#7f7f7f",
    "did not finish": "#e69f00",
    "diverged": "#d55e00",
}
KNOWN: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "color": "#0072b2",
    "markersize": 3.6,
    "markeredgewidth": 0,
}
CENSORED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "^",
    "color": "#d55e00",
    "markersize": 4.6,
    "markerfacecolor": "white",
    "markeredgewidth": 0.9,
}
INDUCED = "induced-"
"""How names of controls begin that a lever has brought to grok."""
UNITS = {"weight_decay": "weight decay γ", "train_fraction": "share of the data that is trained on"}


def axis_name(label: str) -> str:
    """A label as an axis has it."""
    return UNITS.get(label, label.replace("_", " "))


def of_grids(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of runs on the full train set, by grid."""
    runs = runs[runs.train_set == "full"]
    if "grid" not in runs:
        return []
    return [(str(name), part) for name, part in runs[runs.grid != ""].groupby("grid", sort=True)]


def panels_by(runs: pd.DataFrame, labels: list[str]) -> Iterable[tuple[str, pd.DataFrame]]:
    """The rows of a grid by those of its labels that are not among ``labels``, with a title each."""
    others = [name for name in varied(runs) if name not in labels]
    for words, part in within(runs, others):
        yield f"{runs.grid.iloc[0]}\n{words.replace('_', ' ')}" if words else str(runs.grid.iloc[0]), part


def canvas(count: int, height: float = 55, columns: int = 3, rows: int = 1) -> tuple[Figure, np.ndarray]:
    """Room for so many panels, as (count,), or of ``rows`` panels above one another each, (rows, count); height in mm."""
    columns = min(columns, count)
    lines = -(-count // columns)
    figure, axes = plt.subplots(
        lines * rows,
        columns,
        figsize=(max(WIDTH * columns / 3, WIDTH / 2), (height * rows * lines + 14) * MILLIMETRES),
        squeeze=False,
        layout="constrained",
    )
    sorted_axes = axes.reshape(lines, rows, columns).transpose(1, 0, 2).reshape(rows, lines * columns)
    for spare in sorted_axes[:, count:].ravel():
        spare.remove()
    found = sorted_axes[:, :count]
    return figure, found[0] if rows == 1 else found


def left(count: int, most: int = MOST_PANELS) -> str:
    """How many panels have no room, in words."""
    return f"; {count - most} more panels are not drawn" if count > most else ""


def values_axis(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic x-axis with ticks at the values that were tried, as many as have room."""
    found = sorted({float(one) for one in values if one > 0})
    if not found:
        return
    axes.set_xscale("log")
    room = math.log10(found[-1] / found[0]) / 7 if len(found) > 1 else 0.0
    ticks = [found[0]]
    for one in found[1:]:
        if math.log10(one / ticks[-1]) >= room:
            ticks.append(one)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    margin = (found[-1] / found[0]) ** 0.06 if len(found) > 1 else 1.5
    axes.set_xlim(found[0] / margin, found[-1] * margin)


def steps_axis(axes: Axes, which: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis of steps, with numbers that can be read where it spans less than a decade."""
    axes.set(**{f"{which}scale": "log"})
    low, high = getattr(axes, f"get_{which}lim")()
    bases = (1, 1.2, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)
    marks = [
        [one * 10**power for power in range(8) for one in some if low <= one * 10**power <= high] for some in bases
    ]
    few = next((some for some in marks if len(some) <= 6), marks[-1])
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(FixedLocator(few))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axis.set_minor_locator(NullLocator())


def say_seeds(axes: Axes, place: float, count: int) -> None:
    """At the right end of a line of a panel, of how many seeds it is."""
    said = f"n = {count}" if count else "no seed has both"
    axes.text(0.99, place - 0.25, said, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=6)


def jittered(part: pd.DataFrame, label: str) -> np.ndarray:
    """The values of a label, seeds a little apart, so that all of them are seen: by 1 % a seed, on a logarithmic axis."""
    place = part.seed.rank(method="dense") - (part.seed.nunique() + 1) / 2
    return np.asarray(part[label] * 1.015**place, dtype="float64")
