"""Draws what membership attacks find out about models after unlearning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from grokforget.figures.parts.dots import (
    BEFORE,
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

if TYPE_CHECKING:
    from grokforget.config.specs.figures import FigureSpec

ATTACKS = {
    "membership_accuracy": ("loss attack:\naccuracy (%)", 100.0),
    "confidence_attack_nonmembers": ("confidence attack: forget set\ntaken for unseen (%)", 100.0),
    "lira_auc": ("likelihood-ratio attack:\narea under the curve", 1.0),
}
"""Column → its axis, and the factor to the axis' unit."""


def figure(tables: Mapping[str, pd.DataFrame], spec: FigureSpec) -> Figure:
    """A row a setting, a column an attack (its unit in ``ATTACKS``), a line a method: the attack's value per checkpoint, mean
    and standard deviation over seeds, and the retrained model's as the ideal; on the last of the forget sets. Tables:
    unlearning and, where the study has it, membership.
    """
    set_small_style()
    forget_set = spec.forget_sets[-1] if spec.forget_sets else None
    cells = pd.concat(
        [long(tables[name]) for name in ("unlearning", "membership") if name in tables], ignore_index=True
    )
    cells = cells[(cells.forget_set == forget_set) & cells.setting.isin(spec.settings)].dropna(subset=["value"])
    settings = [name for name in spec.settings if name in set(cells.setting)]
    attacks = [name for name in ATTACKS if name in set(cells.attack)]
    if not settings:
        return empty("no membership attack was done")
    lines, styles = [BEFORE, *unlearned(spec)], looks(cells.series, spec.study)
    ideal = cells[cells.method.isin(retrained(spec))]
    fig, panels = panels_of([len(lines) * len(styles)] * len(settings), len(attacks))
    for row, setting in zip(panels, settings, strict=True):
        for axes, attack in zip(row, attacks, strict=True):
            here = (cells.setting == setting) & (cells.attack == attack)
            if not here.any():
                axes.set_axis_off()
                continue
            shown = cells[here].assign(line=cells.method.where(cells.method != spec.study.original, BEFORE))
            draw_dots(axes, shown, lines, styles, ideal[here[ideal.index]])
        row[0].set_ylabel(setting)
    for axes, attack in zip(panels[-1], attacks, strict=True):
        axes.set_xlabel(ATTACKS[attack][0])
    key(fig, styles, {**MEAN, **IDEAL})
    fig.suptitle(f"Membership attacks after unlearning {forget_set}: the nearer to the retrained model, the better")
    return fig


def long(table: pd.DataFrame) -> pd.DataFrame:
    """A row a (cell, attack), in the attack's unit: setting, seed, forget_set, series (the checkpoint), method, attack,
    value."""
    measured = [name for name in ATTACKS if name in table]
    labels = ["setting", "seed", "forget_set", "checkpoint", "method"]
    rows = table.melt(labels, measured, var_name="attack").rename(columns={"checkpoint": "series"})
    factor = rows.attack.map({name: factor for name, (_, factor) in ATTACKS.items()}).astype("float64")
    return rows.assign(value=rows.value.astype("float64") * factor)
