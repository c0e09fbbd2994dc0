"""Groups of examples, and what tells them apart by eye."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from grokforget.statistics.groups import AS_THEY_ARE, GROUPS

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOKS: dict[str, dict[str, Any]] = dict(
    zip(
        GROUPS.values(),
        ({"color": "#0072b2", "linestyle": "-"}, {"color": "#d55e00", "linestyle": (0, (5, 2))}),
        strict=True,
    )
)
"""The look of each group."""


def designs(table: pd.DataFrame, settings: Sequence[str]) -> list[tuple[str, str]]:
    """What is shown in panels, (setting, what groups are alike in): those as they are first."""
    found = set(table[["setting", "matched"]].itertuples(index=False, name=None))
    shown = [one for one in found if one[0] in settings]
    return sorted(shown, key=lambda one: (list(settings).index(one[0]), one[1] != AS_THEY_ARE, one[1]))
