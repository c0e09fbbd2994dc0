"""Groups of examples by how their losses went, as tables and figures name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from grokforget.config.specs.base import ForgetSetMeaning

GROUPS = {"early": "locally grokked", "late": "locally ungrokked"}
"""The two groups that are compared, as the paper calls them."""
AS_THEY_ARE = "as they are"


def by_groups(table: pd.DataFrame, forget_sets: Mapping[str, ForgetSetMeaning]) -> pd.DataFrame:
    """The rows of forget sets that are one of ``GROUPS``, with ``group``, its name; ``matched``, in what the groups are alike, in
    words; and ``pairs``, how many are forgotten."""
    known = {name: rule for name, rule in forget_sets.items() if rule.group in GROUPS}
    table = table[table.forget_set.isin(list(known))]
    matched = {name: f"alike in {rule.matched}" if rule.matched else AS_THEY_ARE for name, rule in known.items()}
    return table.assign(
        group=table.forget_set.map({name: GROUPS[str(rule.group)] for name, rule in known.items()}),
        matched=table.forget_set.map(matched),
        pairs=table.forget_set.map({name: rule.pairs for name, rule in known.items()}),
    )


def loss_p(examples: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Columns ``keys`` and ``value``: p of Welch's two-sided t-test of the final losses of the examples of both groups (rows as
    ``by_groups`` names them, with ``final_loss``); NaN where a group has fewer than two."""
    # Here alone: figures that know the groups by name need none of it.
    from scipy import stats

    rows = []
    for where, here in examples.groupby(list(keys)):
        losses = [here.final_loss[here.group == group] for group in GROUPS.values()]
        able = min(map(len, losses)) > 1
        p = float(stats.ttest_ind(*losses, equal_var=False).pvalue) if able else float("nan")
        rows.append([*where, p])
    return pd.DataFrame(rows, columns=[*keys, "value"])
