"""Curves with the times that were read off them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.detect.logs import Log
from grokforget.figures.parts.grid import grid, legend
from grokforget.figures.parts.style import SPLITS, accuracy_axis, add_note, logarithmic, set_style, settle
from grokforget.grokking.detection import Detection
from grokforget.runtime.files import whole

COLUMNS, MOST = 4, 48
"""Panels beside each other, and in all."""
TIMES = {"t_mem": (0, (4, 2, 1, 2)), "t_grok": (0, (1, 1))}
DETECTORS: dict[str, dict[str, Any]] = {
    "steepest rise": {"color": "#d55e00", "marker": "v", "linestyle": "none"},
    "sigmoid fit": {"color": "#56b4e9", "marker": "^", "linestyle": "none"},
}


def figure(found: Mapping[str, tuple[Log, Detection]]) -> Figure:
    """A panel a run: train and test accuracy (%) against steps, t_mem and t_grok as upright lines, and both detectors."""
    set_style()
    shown = dict(list(found.items())[:MOST])
    columns = min(COLUMNS, len(shown))
    fig, panels = grid(-(-len(shown) // columns), columns, 46, sharey=True)
    for axes, (name, (log, one)) in zip(panels.flat, shown.items(), strict=False):
        draw(axes, log, one)
        axes.set_title(f"{name}\n{one.kind}" if len(shown) > 1 else f"{name}: {one.kind}", fontsize=8)
    for axes in panels.flat[len(shown) :]:
        axes.set_visible(False)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy (%)")
    lines = {split: {key: SPLITS[split][key] for key in ("color", "linestyle")} for split in ("train", "test")}
    times = {name: {"color": "0.3", "linestyle": dash, "linewidth": 0.8} for name, dash in TIMES.items()}
    legend(fig, lines | times | DETECTORS, columns=3 if columns == 1 else 6)
    if len(found) > MOST:
        add_note(fig, f"The first {MOST} of {len(found)} runs.")
    return fig


def draw(axes: Axes, log: Log, found: Detection) -> None:
    """One run."""
    for split in ("train", "test"):
        series = getattr(log, split)
        there = series.steps > 0
        marker: dict[str, Any] = {"marker": ".", "markersize": 3} if there.sum() <= 30 else {"marker": ""}
        axes.plot(series.steps[there], 100 * series.accuracy[there], linewidth=1.4, **{**SPLITS[split], **marker})
    for time, dash in zip((found.memorised.time, found.t_grok), TIMES.values(), strict=True):
        if time > 0:
            axes.axvline(time, color="0.3", linewidth=0.8, linestyle=dash, zorder=1)
    for time, mark in zip((found.t_derivative, found.t_sigmoid), DETECTORS.values(), strict=True):
        if np.isfinite(time):
            axes.plot([time], [50], zorder=3, markersize=5, **mark)
    logarithmic(axes, "x")
    axes.set_xlabel("step")
    accuracy_axis(axes)


def save(fig: Figure, path: Path) -> None:
    """As the ending of ``path`` says, without a date."""
    settle(fig)
    dateless = {".svg": {"Date": None}, ".pdf": {"CreationDate": None, "ModDate": None}, ".png": {"Software": None}}
    with whole(path) as beside:
        fig.savefig(beside, dpi=200, bbox_inches="tight", metadata=dateless[path.suffix.lower()])
    plt.close(fig)
