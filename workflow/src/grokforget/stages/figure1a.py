"""Figure 1a: training dynamics with the checkpoints marked."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from grokforget.results.style import CHECKPOINTS, MILLIMETRES, SPLITS, WIDTH, accuracy_axis, save, set_style
from grokforget.stages.job import Job
from grokforget.storage import read_table


def figure1a(job: Job) -> None:
    """One panel a setting: accuracy on train and test set against steps, mean and standard deviation over seeds, and
    each seed's checkpoints.

    Reads ``tables`` (training, checkpoints); spec: ``settings``, ``checkpoints``.
    """
    set_style()
    training, checkpoints = (table[table.train_set == "full"] for table in map(read_table, job.inputs["tables"]))
    settings = job.spec["settings"]
    width = max(WIDTH / 3 * len(settings), WIDTH / 2)
    figure, panels = plt.subplots(1, len(settings), figsize=(width, 62 * MILLIMETRES), sharey=True, squeeze=False)
    for axes, setting in zip(panels[0], settings, strict=True):
        draw(axes, training[training.setting == setting], checkpoints[checkpoints.setting == setting], job)
        axes.set_title(setting)
    panels[0, 0].set_ylabel("accuracy (%)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.02), ncols=5)
    figure.tight_layout()
    save(figure, job.outputs)


def draw(axes: Axes, training: pd.DataFrame, checkpoints: pd.DataFrame, job: Job) -> None:
    """One setting."""
    training = training[training.step > 0]
    for split in ("train", "test"):
        grouped = 100 * training.groupby("step")[f"{split}_accuracy"].agg(["mean", "std"]).fillna(0)
        style = SPLITS[split]
        axes.plot(grouped.index, grouped["mean"], label=f"{split} (mean ± sd over seeds)", **style)
        low, high = grouped["mean"] - grouped["std"], grouped["mean"] + grouped["std"]
        axes.fill_between(grouped.index, low, high, color=style["color"], alpha=0.2, linewidth=0)
    for name in job.spec["checkpoints"]:
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
    axes.set_xscale("log")
    axes.set_xlabel("training step")
    accuracy_axis(axes)
