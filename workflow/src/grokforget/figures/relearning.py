"""Draws how soon what was forgotten comes back, and how far the outputs are from the retrained model's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import (
    HOLLOW,
    IDEAL,
    MEAN,
    draw_dots,
    empty,
    key,
    looks,
    panels_of,
    retrained,
    set_small_style,
    unlearned,
)
from grokforget.figures.parts.select import dotted

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

MEASURES = {
    "relearn_updates near": "updates until the forget\nloss is nearly back",
    "relearn_updates accuracy": "updates until the forget\naccuracy is back",
    "js_divergence forget": "JS divergence,\nforget set (nats)",
    "js_divergence test": "JS divergence,\ntest set (nats)",
}
"""Column → its axis."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a line a method: updates of relearning, and the Jensen-Shannon divergence (nats) of the outputs from
    the retrained model's; mean and standard deviation over seeds, on the last of the forget sets that were analysed.

    Hollow where some seed did not get there within its budget, so that the mean is a lower bound. Table: analysis.
    """
    set_small_style()
    values = marked(dotted(tables["analysis"], ["relearning", "distance"], spec.study))
    values = values[values.setting.isin(spec.settings)]
    settings = [name for name in spec.settings if name in set(values.setting)]
    wanted = [name for name in MEASURES if name in set(values.column)]
    if not settings or not wanted:
        return empty("neither relearning nor distances were analysed")
    lines, styles = unlearned(spec), looks(values.series, spec.study)
    fig, panels = panels_of([len(lines) * len(styles)] * len(settings), len(wanted))
    for row, setting in zip(panels, settings, strict=True):
        for axes, column in zip(row, wanted, strict=True):
            here = values[(values.setting == setting) & (values.column == column)]
            if here.empty:
                axes.set_axis_off()
                continue
            relearns = column.startswith("relearn")
            # The retrained model's divergence from itself is 0.
            ideal = here[here.line.isin(retrained(spec))] if relearns else None
            draw_dots(axes, here, lines, styles, ideal, bound=relearns)
        row[0].set_ylabel(f"{setting}\n{values.forget_set[values.setting == setting].iloc[0]}")
    for axes, column in zip(panels[-1], wanted, strict=True):
        axes.set_xlabel(MEASURES[column])
    key(fig, styles, {**MEAN, **IDEAL, "not back in some seed (lower bound)": HOLLOW})
    fig.suptitle("Relearning, and the Jensen-Shannon (JS) divergence of the outputs from the retrained model's")
    return fig


def marked(values: pd.DataFrame) -> pd.DataFrame:
    """With ``open``: relearn updates of a run that did not get there."""
    keys = ["setting", "seed", "forget_set", "checkpoint", "stage", "part"]
    missed = values[(values.measure == "relearned") & (values.value == 0)][keys].drop_duplicates()
    flags = values[keys].merge(missed, on=keys, how="left", indicator="found").found.eq("both").to_numpy()
    return values.assign(open=flags & (values.measure == "relearn_updates"))
