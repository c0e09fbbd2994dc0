"""One look for all figures: legible in black and white, fixed bytes, three formats."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from grokforget.runtime.files import whole

# Each checkpoint differs in lightness, dash and marker, so that none of the three is needed to tell them apart.
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "early": {"color": "#56b4e9", "linestyle": (0, (1, 1.2)), "marker": "o"},
    "memorised": {"color": "#d55e00", "linestyle": (0, (5, 2)), "marker": "s"},
    "grokked": {"color": "#000000", "linestyle": "-", "marker": "^"},
    "rescaled": {"color": "#cc79a7", "linestyle": (0, (3, 1, 1, 1)), "marker": "D"},
    "final": {"color": "#a0522d", "linestyle": (0, (5, 1, 1, 1)), "marker": "h"},
}
# Controls by the names of their settings.
CONTROLS: tuple[dict[str, Any], ...] = (
    {"color": "#009e73", "linestyle": "-", "marker": "v"},
    {"color": "#f0e442", "linestyle": (0, (5, 2)), "marker": "P"},
    {"color": "#7f7f7f", "linestyle": (0, (1, 1.2)), "marker": "X"},
    {"color": "#b15928", "linestyle": (0, (3, 1, 1, 1)), "marker": "<"},
    {"color": "#6a3d9a", "linestyle": "-", "marker": ">"},
    {"color": "#a6cee3", "linestyle": (0, (5, 2)), "marker": "p"},
    {"color": "#e31a1c", "linestyle": (0, (1, 1.2)), "marker": "d"},
    {"color": "#33a02c", "linestyle": (0, (3, 1, 1, 1)), "marker": "*"},
    {"color": "#fb9a99", "linestyle": "-", "marker": "8"},
    {"color": "#1f3a93", "linestyle": (0, (5, 2)), "marker": "H"},
    {"color": "#bcbd22", "linestyle": (0, (1, 1.2)), "marker": "^"},
    {"color": "#17becf", "linestyle": (0, (3, 1, 1, 1)), "marker": "s"},
)
# The sets of examples likewise.
SPLITS: dict[str, dict[str, Any]] = {
    "train": {"color": "#999999", "linestyle": (0, (5, 2))},
    "retain": {"color": "#0072b2", "linestyle": "-", "marker": "o"},
    "forget": {"color": "#e69f00", "linestyle": (0, (5, 2)), "marker": "s"},
    "test": {"color": "#004d40", "linestyle": "-"},
}
MILLIMETRES = 1 / 25.4
WIDTH = 180 * MILLIMETRES


def set_style() -> None:
    """Call before drawing."""
    sns.set_theme(context="paper", style="ticks", font_scale=0.9)
    plt.rcParams.update(
        {
            # Names of SVG elements are random unless salted; text stays text.
            "svg.hashsalt": "grokforget",
            "svg.fonttype": "none",
            "pdf.fonttype": 42,
            "axes.grid": True,
            "grid.color": "#e6e6e6",
            "grid.linewidth": 0.5,
            "lines.markersize": 3.5,
            "legend.frameon": False,
        }
    )


def save(figure: Figure, outputs: Mapping[str, Path], note: str = "") -> None:
    """Write ``svg``, ``pdf`` and ``png`` without dates, with a ``note`` below all that is drawn, and close the figure."""
    settle(figure)
    if note:
        add_note(figure, note)
    dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {"Software": None}}
    for kind, metadata in dateless.items():
        with whole(outputs[kind]) as beside:
            figure.savefig(beside, format=kind, dpi=200, bbox_inches="tight", metadata=metadata)
    plt.close(figure)


def add_note(figure: Figure, note: str) -> None:
    """In small type, below the lowest thing that is drawn, in lines as wide as the figure."""
    width, height = figure.get_size_inches()
    figure.draw_without_rendering()
    lowest = figure.get_tightbbox().y0
    for legend in figure.legends:
        # Or else it would go down with the lower edge of the page, which the note moves.
        place = legend.get_window_extent().transformed(figure.transFigure.inverted())
        legend.set_loc("lower left")
        legend.borderaxespad = 0
        legend.set_bbox_to_anchor((round(place.x0, 9), round(place.y0, 9)), transform=figure.transFigure)
    # Seven-point type has some eighteen characters an inch.
    lines = textwrap.wrap(note, max(int(18 * width), 40))
    figure.text(0.01, round((lowest - 0.05) / height, 9), "\n".join(lines), fontsize=7, va="top", color="0.25")


def settle(figure: Figure) -> None:
    """Work a constrained layout out: once, not again for each of three formats, which takes seconds a figure.

    Its solver gives other last bits of the panels' positions in every process, so they are rounded: the same tables give
    the same bytes.
    """
    if not isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine):
        return
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(float(edge), 9) for edge in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height))


def accuracy_axis(axes: Axes) -> None:
    """Accuracy in percent, 0 to 100."""
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 25, 50, 75, 100])


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis. Where nothing positive was drawn it goes from 1 to 10: its limits so far may lie around 0, which
    has no place on it."""
    if not np.isfinite(getattr(axes.dataLim, f"minpos{which}")):
        axes.set(**{f"{which}lim": (1, 10)})
        axes.autoscale(axis=which)
    axes.set(**{f"{which}scale": "log"})
