"""Draws what is compared between checkpoints, by the design of the forget set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import Looks, dot, empty, key, panels_of, set_small_style, unlearned
from grokforget.figures.parts.style import CHECKPOINTS
from grokforget.statistics.contrasts import paired_interval

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

SPLITS = ("forget", "retain", "test")
OTHERS = ("memorised", "early")
FEWEST = 3
"""Forget sets of a setting that are worth a comparison."""
MARKS = {
    "bar: 95 % t interval over seeds": {"marker": "_", "color": "0.4", "markersize": 9},
    "each seed": {"marker": "o", "color": "0.4", "markersize": 1.8, "markeredgewidth": 0},
}


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting with three or more forget sets, a line a forget set, a column a split: the accuracy (points) after
    unlearning from grokked less that from memorised, and from early, averaged over the methods that unlearn; mean and 95 %
    t interval over seeds. Table: unlearning.
    """
    set_small_style()
    seeds = differences(tables["unlearning"], unlearned(spec))
    counts = seeds.groupby("setting").forget_set.nunique()
    settings = [name for name in spec.settings if counts.get(name, 0) >= FEWEST]
    if not settings:
        return empty(f"no setting has {FEWEST} or more forget sets")
    designs = {
        setting: [name for name in spec.study.forget_sets if name in set(seeds.forget_set[seeds.setting == setting])]
        for setting in settings
    }
    styles = {f"grokked − {other}": CHECKPOINTS[other] for other in OTHERS}
    # Two dots a line, and room for a label of two lines.
    fig, panels = panels_of([len(designs[setting]) for setting in settings], len(SPLITS), each=8)
    for row, setting in zip(panels, settings, strict=True):
        for axes, split in zip(row, SPLITS, strict=True):
            here = seeds[(seeds.setting == setting) & (seeds.split == split)]
            draw_differences(axes, here, designs[setting], styles)
        kinds = [spec.study.forget_sets[name].kind for name in designs[setting]]
        labels = [f"{name}\n({kind})" for name, kind in zip(designs[setting], kinds, strict=True)]
        row[0].set_yticks(range(len(labels)), labels)
        row[0].set_ylabel(setting)
    for axes, split in zip(panels[-1], SPLITS, strict=True):
        axes.set_xlabel(f"difference in {split}\naccuracy (points)")
    key(fig, styles, MARKS)
    fig.suptitle("After unlearning: what starting from grokked changes, by design of the forget set (mean of methods)")
    return fig


def differences(cells: pd.DataFrame, methods: Sequence[str]) -> pd.DataFrame:
    """Grokked less each of ``OTHERS``, points, averaged over the methods that have both: setting, forget_set, seed, split,
    series, value."""
    cells = cells[cells.method.isin(list(methods))]
    keys = ["setting", "forget_set", "seed", "method"]
    parts = [pd.DataFrame(columns=["setting", "forget_set", "seed", "split", "series", "value"])]
    for split in SPLITS:
        wide = cells.pivot(index=keys, columns="checkpoint", values=f"{split}_accuracy")
        for other in OTHERS:
            if "grokked" in wide and other in wide:
                paired = (100 * (wide["grokked"] - wide[other])).dropna()
                mean = paired.groupby(["setting", "forget_set", "seed"]).mean().rename("value").reset_index()
                parts.append(mean.assign(split=split, series=f"grokked − {other}"))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)


def draw_differences(axes: Axes, seeds: pd.DataFrame, designs: Sequence[str], styles: Looks) -> dict[Any, Any]:
    """One setting and split; gives mean and interval by (forget set, series)."""
    axes.axvline(0, color="0.3", linewidth=0.8)
    shown = {}
    for offset, (name, style) in zip((-0.18, 0.18), styles.items(), strict=True):
        for place, design in enumerate(designs):
            values = seeds.value[(seeds.forget_set == design) & (seeds.series == name)].to_numpy(np.float64)
            if not len(values):
                continue
            mean, low, high = shown[design, name] = paired_interval(values)
            y = place + offset
            axes.scatter(values, np.full(len(values), y + 0.13), s=3, color=style["color"], linewidths=0, zorder=2)
            if not np.isnan(low):
                axes.plot([low, high], [y, y], color=style["color"], linewidth=1.0, zorder=2.5)
            axes.plot(mean, y, zorder=3, **dot(style))
    axes.set_ylim(len(designs) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return shown
