"""Draws progress measures along training on one clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, dash, draw_runs, mark_times
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, settings_of
from grokforget.figures.parts.select import natural
from grokforget.figures.parts.style import SPLITS, logarithmic
from grokforget.runtime import paths

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

OF_SETS: dict[str, Mapping[str, Any]] = {"train": SPLITS["train"], "retain": SPLITS["train"], "test": SPLITS["test"]}
"""Train and test set; local complexity calls the train set of a run of which nothing is forgotten ``retain``."""
LOOKS: tuple[Mapping[str, Any], ...] = (
    {"color": "#0072b2", "linestyle": "-"},
    {"color": "#d55e00", "linestyle": (0, (5, 2))},
    {"color": "#009e73", "linestyle": (0, (1, 1.2))},
    {"color": "#cc79a7", "linestyle": (0, (3, 1, 1, 1))},
    {"color": "#000000", "linestyle": (0, (5, 1, 1, 1, 1, 1))},
    {"color": "#56b4e9", "linestyle": "-"},
)
"""Of other parts in their order; of more than these the mean is drawn."""


class Panel(NamedTuple):
    """A row of the figure: the label of its axis, its measures with what they are called, and whether values are logarithmic."""

    label: str
    measures: Mapping[str, str]
    logarithmic: bool = False


PANELS = (
    Panel("accuracy (%)", {"accuracy": ""}),
    Panel("norm", {"weight_norm": "all weights", "last_layer_norm": "last layer"}, logarithmic=True),
    Panel("effective rank", {"effective_rank": ""}),
    Panel("stable rank", {"stable_rank": ""}),
    Panel("share of units\nactive", {"active_share": ""}),
    Panel("local complexity", {"local_complexity": ""}),
    Panel("sharpness", {"sharpness": ""}, logarithmic=True),
    Panel("top eigenvalue\nof the Hessian", {"top_eigenvalue": ""}, logarithmic=True),
    Panel("loss with key\nwaves alone", {"restricted_loss": ""}, logarithmic=True),
    Panel("loss without\nkey waves", {"excluded_loss": ""}, logarithmic=True),
    Panel("share of\nthe logits", {"wave_share": "waves", "key_power": "key among waves"}),
    Panel("Gini of\nFourier norms", {"fourier_gini": ""}),
)


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A column a setting whose runs themselves are analysed, a row a measure, all against the step: each seed thin, their mean
    thick, median t_mem and t_grok upright. Accuracies are of all evaluations, all else of the snapshots that are looked at.
    Tables: along, runs, training.
    """
    set_small_style()
    along = tables["along"]
    along = along[(along.forget_set == paths.FULL) & along.analysis.isin(list(spec.study.analyses))]
    settings = settings_of(along, spec.settings)
    if not settings:
        return empty("no analyses of runs themselves along training in this study")
    rows = pd.concat([along, accuracies(tables["training"])], ignore_index=True)
    rows = rows[rows.setting.isin(settings) & rows.value.notna()]
    panels = [panel for panel in PANELS if rows.measure.isin(list(panel.measures)).any()]
    fig, axes = grid(len(panels), len(settings), 26, sharex="col")
    for column, setting in enumerate(settings):
        for panel, one in zip(panels, axes[:, column], strict=True):
            mark_times(one, tables["runs"], setting, named=panel is panels[0])
            draw_panel(one, rows[rows.setting == setting], panel)
        axes[0, column].set_title(setting, pad=13)
        axes[-1, column].set_xlabel("training step")
    for panel, one in zip(panels, axes[:, 0], strict=True):
        one.set_ylabel(panel.label)
    fig.align_ylabels(list(axes[:, 0]))
    fig.suptitle(f"progress measures along training ({LEGEND})")
    return fig


def accuracies(training: pd.DataFrame) -> pd.DataFrame:
    """Rows as of ``along``, in percent, of the runs on the full train set."""
    full = training[training.train_set == paths.FULL]
    parts = [
        full[["setting", "seed", "step"]].assign(measure="accuracy", part=part, value=100 * full[f"{part}_accuracy"])
        for part in ("train", "test")
    ]
    return pd.concat(parts, ignore_index=True)


def draw_panel(axes: Axes, rows: pd.DataFrame, panel: Panel) -> None:
    """One measure, or several, of one setting, each of its parts with a look of its own, which a legend beside it names; it is
    said where there is nothing of it. What is not above 0 has no place on a logarithmic axis."""
    rows = rows[rows.measure.isin(list(panel.measures))]
    if panel.logarithmic:
        rows = rows[rows.value > 0]
    if rows.empty:
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "not measured here", transform=axes.transAxes, ha="center", va="center", fontsize=7, color="0.4"
        )
        return
    rows = rows.assign(part=[panel.measures[one.measure] or one.part for one in rows.itertuples()])
    if (count := rows.part.nunique()) > len(LOOKS):
        rows = rows.groupby(["seed", "step"], as_index=False).value.mean().assign(part=f"mean of {count}")
    others = iter(LOOKS)
    for part in natural(list(rows.part)):
        look = OF_SETS.get(part) or next(others)
        draw_runs(axes, rows[rows.part == part], look, geometric=panel.logarithmic)
        axes.plot([], [], linewidth=1.6, label="train" if part == "retain" else part, **dash(look))
    if panel.logarithmic:
        logarithmic(axes, "y")
    if rows.part.any():
        axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.02), borderaxespad=0.2, handlelength=1.8)
