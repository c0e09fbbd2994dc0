"""Draws the accuracy that is left without the units that are most specific to the forget set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import empty, over_seeds, set_small_style
from grokforget.figures.parts.grid import error_bars, grid, legend, plain, settings_of
from grokforget.figures.parts.select import of_each_group
from grokforget.figures.parts.style import SPLITS, accuracy_axis

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

KIND = "ablation"
REMOVED: dict[str, dict[str, Any]] = {
    "specific": {"linestyle": "-", "linewidth": 1.3},
    "random": {"linestyle": ":", "linewidth": 1.0, "markerfacecolor": "white"},
}
ALL = "all"
"""Units of every kind, removed together."""
MARKERS = {"forget": "s", "retain": "o", "test": "^"}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting (of groups of examples a group), a column a checkpoint (before unlearning; no controls) and a kind of units
    that are removed by themselves: accuracy (%) on forget, retain and test set
    against the share of units removed (%), the most forget-specific ones and random ones, mean and standard deviation
    over seeds. Table: analysis.
    """
    set_small_style()
    analysis = tables["analysis"]
    rows = of_each_group(analysis[analysis.stage == "before"], [KIND], spec.study, spec.forget_sets)
    accuracies = by_share(rows)
    accuracies = accuracies[accuracies.checkpoint.isin(spec.checkpoints)]
    settings = settings_of(accuracies, spec.settings)
    if not settings:
        return empty("no ablation of checkpoints in this study")
    kinds = list(dict.fromkeys(accuracies.units))
    columns = [(name, kind) for name in spec.checkpoints if (accuracies.checkpoint == name).any() for kind in kinds]
    fig, panels = grid(len(settings), len(columns), min(48, 205 / len(settings)), sharex=True, sharey=True)
    for row, setting in zip(panels, settings, strict=True):
        of_setting = accuracies[accuracies.setting == setting]
        for axes, (checkpoint, kind) in zip(row, columns, strict=True):
            ablated(axes, of_setting[(of_setting.checkpoint == checkpoint) & (of_setting.units == kind)])
        row[0].set_axis_on()
        row[0].set_ylabel(f"{plain(setting)}\n{of_setting.forget_set.iloc[0]}\naccuracy (%)")
    for axes, (checkpoint, kind) in zip(panels[0], columns, strict=True):
        axes.set_title(checkpoint if kind == ALL else f"{checkpoint}: {kind}")
    for axes in panels[-1]:
        axes.set_xlabel("units removed (%)")
        axes.locator_params(axis="x", nbins=5)
    fig.suptitle("accuracy without a share of every layer's units; mean ± sd over seeds")
    words = {"specific": "the most forget-specific removed", "random": "random ones removed"}
    marks = {
        f"{split} set, {words[removed]}": {"color": SPLITS[split]["color"], "marker": marker, **look}
        for removed, look in REMOVED.items()
        for split, marker in MARKERS.items()
    }
    legend(fig, marks, columns=2)
    return fig


def by_share(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns setting, forget_set, seed, checkpoint, units (which kind of them, or ``ALL``), split, share (of a layer's units),
    removed (``specific`` or ``random``) and value (accuracy in [0, 1]); nothing removed, a share of 0, stands under each."""
    rows = rows[rows.measure == "ablated_accuracy"]
    # Four columns, even where no part has four pieces.
    pieces = rows.part.str.split("/", expand=True).reindex(columns=range(4))
    pieces.columns = pd.Index(["split", "share", "removed", "units"])
    rows = rows.reset_index(drop=True).join(pieces.reset_index(drop=True))
    rows = rows.assign(units=rows.units.astype(object).fillna(ALL))
    whole = rows[rows.share == "none"]
    some = rows[rows.removed.isin(list(REMOVED))]
    each = some[["units", "removed"]].drop_duplicates()
    rows = pd.concat([some, whole.drop(columns=["units", "removed"]).merge(each, how="cross")])
    return rows.assign(share=rows.share.replace("none", "0").astype("float64"))[
        ["setting", "forget_set", "seed", "checkpoint", "units", "split", "share", "removed", "value"]
    ]


def ablated(axes: Axes, accuracies: pd.DataFrame) -> None:
    """One setting and checkpoint; no panel where there is nothing. Sets stand a little apart."""
    if accuracies.empty:
        axes.set_axis_off()
        return
    apart = 0.012 * 100 * accuracies.share.max()
    for removed, look in REMOVED.items():
        for shift, (split, marker) in zip((-apart, 0, apart), MARKERS.items(), strict=True):
            some = accuracies[(accuracies.removed == removed) & (accuracies.split == split)]
            shown = over_seeds(some, ["share"])
            style = {"color": SPLITS[split]["color"], "marker": marker, **look}
            error_bars(axes, 100 * shown.share + shift, 100 * shown["mean"], 100 * shown["std"], style)
    accuracy_axis(axes)
