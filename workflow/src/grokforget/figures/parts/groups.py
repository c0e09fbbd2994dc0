"""Groups of examples, and what tells them apart by eye."""

from __future__ import annotations

from typing import Any

import pandas as pd

from grokforget.statistics.groups import AS_THEY_ARE, GROUPS

LOOKS: dict[str, dict[str, Any]] = dict(
    zip(
        GROUPS.values(),
        ({"color": "#0072b2", "linestyle": "-"}, {"color": "#d55e00", "linestyle": (0, (5, 2))}),
        strict=True,
    )
)
"""The look of each group."""
MARKERS = "osD^"


def designs(table: pd.DataFrame) -> list[str]:
    """What groups are alike in: as they are first."""
    return sorted(set(table.matched), key=lambda one: (one != AS_THEY_ARE, one))


def looks_of(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """By (what groups are alike in, group): colour by group, a marker by what they are alike in, filled for those as they are."""
    return {
        (matched, group): {**look, "marker": MARKERS[place % len(MARKERS)], "filled": matched == AS_THEY_ARE}
        for place, matched in enumerate(designs(table))
        for group, look in LOOKS.items()
    }


def in_look(table: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    """The rows of a (what groups are alike in, group)."""
    return table[(table.matched == place[0]) & (table.group == place[1])]
