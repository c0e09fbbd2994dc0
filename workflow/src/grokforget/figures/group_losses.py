"""Draws how the losses of groups of examples go along training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.curves import LEGEND, draw_runs
from grokforget.figures.parts.dots import empty, set_small_style
from grokforget.figures.parts.grid import grid, legend
from grokforget.figures.parts.groups import LOOKS, designs
from grokforget.statistics.groups import by_groups
from grokforget.figures.parts.style import logarithmic

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

ASKED = {"loss": "as trained", "paraphrase_loss": "in other words"}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a (setting, what groups are alike in), a column for the questions as they are trained and one for paraphrased ones:
    mean loss of each group's answers (nats a token) along the run on the full train set. Table: group_losses.
    """
    set_small_style()
    rows = by_groups(tables["group_losses"], spec.study.forget_sets)
    shown = designs(rows, spec.settings)
    if not shown:
        return empty("there are no losses of groups")
    measures = [name for name in ASKED if name in rows]
    fig, panels = grid(len(shown), len(measures), 46, sharex=True, sharey=True)
    for line, (setting, matched) in zip(panels, shown, strict=True):
        here = rows[(rows.setting == setting) & (rows.matched == matched)]
        for axes, measure in zip(line, measures, strict=True):
            for group, look in LOOKS.items():
                own = here[here.group == group].rename(columns={measure: "value"})
                # Several draws, or numbers of pairs, of a seed are one curve.
                draw_runs(axes, own.groupby(["seed", "step"], as_index=False).value.mean(), look, geometric=True)
            logarithmic(axes, "y")
            axes.set_title(f"{setting}, groups {matched}\nquestions {ASKED[measure]}")
        line[0].set_ylabel("loss (nats a token)")
    for axes in panels[-1]:
        axes.set_xlabel("training step")
    legend(fig, {**LOOKS, LEGEND: {"color": "0.35", "linewidth": 1.6}})
    return fig
