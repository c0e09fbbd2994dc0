"""Draws figure 2: forget accuracy against unlearning updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokforget.figures.parts.dots import empty
from grokforget.figures.parts.style import CHECKPOINTS, MILLIMETRES, accuracy_axis, set_style

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a (setting, forget set), a column a method: forget accuracy (%) after each update, mean and standard deviation
    over seeds. The level lines are the retrained references' forget accuracies. Tables: trajectories, unlearning.
    """
    set_style()
    trajectories, unlearning = tables["trajectories"], tables["unlearning"]
    moved = trajectories.groupby("method")["update"].max()
    methods = [method for method in spec.methods if moved.get(method, 0) > 0]
    if not methods:
        return empty("no cell in which something is unlearned counts")
    rows = [(setting, forget_set) for setting in spec.settings for forget_set in spec.forget_sets]
    fig, panels = plt.subplots(
        len(rows),
        len(methods),
        figsize=(42 * MILLIMETRES * len(methods) + 15 * MILLIMETRES, 36 * MILLIMETRES * len(rows) + 12 * MILLIMETRES),
        sharey=True,
        squeeze=False,
    )
    for row, (setting, forget_set) in zip(panels, rows, strict=True):
        for axes, method in zip(row, methods, strict=True):
            cells = of(trajectories, setting=setting, forget_set=forget_set, method=method)
            draw_panel(
                axes,
                cells,
                of(unlearning, setting=setting, forget_set=forget_set, method=spec.retrain),
                spec.checkpoints,
            )
        row[0].set_ylabel(f"{setting}\n{forget_set}\nforget accuracy (%)")
    for axes, method in zip(panels[0], methods, strict=True):
        axes.set_title(method)
    for axes in panels[-1]:
        axes.set_xlabel("unlearning updates")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.01), ncols=3)
    fig.tight_layout()
    return fig


def of(table: pd.DataFrame, **labels: str) -> pd.DataFrame:
    """The rows with these labels."""
    for name, value in labels.items():
        table = table[table[name] == value]
    return table


def over_seeds(updates: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (%) of the forget accuracy by update. A run that ended early stays where it ended."""
    by_seed = 100 * updates.pivot_table("forget_accuracy", "update", "seed").ffill()
    return pd.DataFrame({"mean": by_seed.mean(axis=1), "std": by_seed.std(axis=1).fillna(0)})


def draw_panel(axes: Axes, cells: pd.DataFrame, retrained: pd.DataFrame, checkpoints: list[str]) -> None:
    """One (setting, forget set, method). A rewound result stands as its own marker at the last update."""
    for name in checkpoints:
        style: dict[str, Any] = CHECKPOINTS[name]
        run = cells[cells.checkpoint == name]
        curve = over_seeds(run[~run.final])
        every = max(len(curve) // 6, 1)
        axes.plot(curve.index, curve["mean"], label=f"from {name} (mean ± sd over seeds)", markevery=every, **style)
        low, high = curve["mean"] - curve["std"], curve["mean"] + curve["std"]
        axes.fill_between(curve.index, low, high, color=style["color"], alpha=0.15, linewidth=0)
        end = run[run.final]
        axes.plot(
            end["update"].max(),
            100 * end.forget_accuracy.mean(),
            linestyle="none",
            marker=style["marker"],
            markersize=6,
            markerfacecolor="none",
            color=style["color"],
            label=f"{name}, result",
        )
        reference = of(retrained, checkpoint=name).forget_accuracy.mean()
        axes.axhline(
            100 * reference,
            color=style["color"],
            linestyle=style["linestyle"],
            linewidth=0.7,
            alpha=0.7,
            label=f"{name}, retrained",
        )
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    accuracy_axis(axes)
