"""Draws figure 1a: training dynamics with the checkpoints marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.style import (
    CHECKPOINTS,
    MILLIMETRES,
    SPLITS,
    WIDTH,
    accuracy_axis,
    logarithmic,
    set_style,
)

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """One panel a setting: accuracy (%) on train and test set against steps, mean and standard deviation over seeds, and
    each seed's checkpoints. Tables: training, checkpoints.
    """
    set_style()
    training, checkpoints = (tables[name][tables[name].train_set == "full"] for name in ("training", "checkpoints"))
    settings = spec.settings
    width = max(WIDTH / 3 * len(settings), WIDTH / 2)
    fig, panels = plt.subplots(1, len(settings), figsize=(width, 62 * MILLIMETRES), sharey=True, squeeze=False)
    for axes, setting in zip(panels[0], settings, strict=True):
        draw_panel(
            axes,
            training[training.setting == setting],
            checkpoints[checkpoints.setting == setting],
            spec.checkpoints,
        )
        axes.set_title(setting)
    panels[0, 0].set_ylabel("accuracy (%)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=5)
    fig.tight_layout()
    return fig


def draw_panel(axes: Axes, training: pd.DataFrame, checkpoints: pd.DataFrame, names: Sequence[str]) -> None:
    """One setting; ``names`` are those of the checkpoints to mark."""
    training = training[training.step > 0]
    for split in ("train", "test"):
        grouped = 100 * training.groupby("step")[f"{split}_accuracy"].agg(["mean", "std"]).fillna(0)
        style = SPLITS[split]
        axes.plot(grouped.index, grouped["mean"], label=f"{split} (mean ± sd over seeds)", **style)
        low, high = grouped["mean"] - grouped["std"], grouped["mean"] + grouped["std"]
        axes.fill_between(grouped.index, low, high, color=style["color"], alpha=0.2, linewidth=0)
    for name in names:
        chosen = checkpoints[checkpoints.checkpoint == name]
        style = {key: CHECKPOINTS[name][key] for key in ("color", "marker")}
        axes.plot(
            chosen.step,
            100 * chosen.test_accuracy,
            linestyle="none",
            markersize=5.5,
            markeredgecolor="white",
            markeredgewidth=0.6,
            label=f"{name} (each seed)",
            zorder=3,
            **style,
        )
    logarithmic(axes, "x")
    axes.set_xlabel("training step")
    accuracy_axis(axes)
