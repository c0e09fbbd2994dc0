"""What the claims compare, as one long table: a row a (setting, seed, cell, checkpoint)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from grokforget.statistics.flags import REFERENCE_FLAG, flagged

if TYPE_CHECKING:
    from grokforget.config.claims import Scope, Test
    from grokforget.config.specs.base import ControlMeaning, ForgetSetMeaning, Meanings

CELL = ["setting", "seed", "forget_set", "method"]


def share_of_updates(target: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Updates until a target as a share of those that the method makes; 1 where it is never reached, which is the least
    that can be said of such a run."""

    def derive(table: pd.DataFrame) -> pd.Series:
        reached: pd.Series = table[f"updates_to_{target}"] / table["updates"].replace(0, np.nan)
        share = reached.fillna(1.0).clip(upper=1.0)
        return share.mask(flagged(table, REFERENCE_FLAG)) if target == "retrained" else share

    return derive


DERIVED: dict[str, tuple[list[str], Callable[[pd.DataFrame], pd.Series]]] = {
    f"share_of_updates_to_{target}": ([f"updates_to_{target}", "updates"], share_of_updates(target))
    for target in ("chance", "retrained")
}
"""Quantities that no table holds: the columns that they need, and how they are computed."""


def quantity(tables: Mapping[str, pd.DataFrame], test: Test, study: Meanings) -> pd.DataFrame:
    """Columns ``CELL``, checkpoint, value, flagged of what a test compares; no rows where the study does not have it. What is
    flagged has no value.

    A control's rows stand under the setting that it is compared with, its name in place of the checkpoint. Of an analysis,
    ``method`` is the stage; where both stages are asked for, it is part of the checkpoint's name. Between groups, the group
    stands in place of the checkpoint, and checkpoint and number of pairs in place of the forget set; draws count as their mean.
    """
    table, scope = tables.get(test.table), test.scope
    if table is None:
        return pd.DataFrame(columns=[*CELL, "checkpoint", "value", "flagged"])
    table = table[table.forget_set.isin(in_scope(scope, study.forget_sets))]
    of_model = test.table == "analysis"
    table = table[~table["stage" if of_model else "method"].isin(study.references)]
    if of_model:
        table = of_analysis(table, scope, study.analyses)
    if scope.protocol:
        table = table[table.protocol == scope.protocol]
    if scope.level:
        table = table[table.chosen & (table.level == scope.level)]
    values = column(table, test.value)
    # What is measured against a retrained reference that is none is no number, for that reason.
    out = flagged(table) | (values.isna() & flagged(table, REFERENCE_FLAG))
    table = under_their_settings(table.assign(value=values.mask(out), flagged=out), study.controls)
    if test.between == "groups":
        table = of_groups(table, study.forget_sets)
    return table.groupby([*CELL, "checkpoint"], as_index=False).agg(value=("value", "mean"), flagged=("flagged", "any"))


def in_scope(scope: Scope, forget_sets: Mapping[str, ForgetSetMeaning]) -> list[str]:
    """The forget sets of the kinds and fractions that count."""
    return [
        name
        for name, rule in forget_sets.items()
        if rule.kind in scope.forget_sets
        and (rule.fraction or 0) <= scope.largest_fraction
        and rule.matched == scope.matched
    ]


def of_groups(table: pd.DataFrame, forget_sets: Mapping[str, ForgetSetMeaning]) -> pd.DataFrame:
    """Groups as checkpoints, each of what is forgotten from one checkpoint in so many pairs."""
    group, pairs = (
        table.forget_set.map({name: str(getattr(rule, key)) for name, rule in forget_sets.items()})
        for key in ("group", "pairs")
    )
    return table.assign(forget_set=table.checkpoint + " " + pairs, checkpoint=group)


def of_analysis(table: pd.DataFrame, scope: Scope, kinds: Mapping[str, str]) -> pd.DataFrame:
    """The rows of an analysis' measure, its stages in place of the methods."""
    names = [name for name, kind in kinds.items() if kind == scope.analysis]
    table = table[table.analysis.isin(names) & (table.measure == scope.measure)]
    if scope.parts is not None:
        table = table[table.part.isin(scope.parts)]
    before = table.stage == "before"
    if scope.stages is None:
        return table.assign(checkpoint=table.checkpoint + np.where(before, " before", " after"), method="")
    return table[before if scope.stages == "before" else ~before].rename(columns={"stage": "method"})


def column(table: pd.DataFrame, name: str) -> pd.Series:
    """A column of the table, or a derived one; all missing where the study does not measure it."""
    needed, derive = DERIVED.get(name, ([name], lambda one: one[name].astype("float64")))
    if not set(needed) <= set(table.columns):
        return pd.Series(np.nan, index=table.index)
    return derive(table)


def under_their_settings(table: pd.DataFrame, controls: Mapping[str, ControlMeaning]) -> pd.DataFrame:
    """Controls as further checkpoints of the settings that they are compared with."""
    is_control = table.setting.isin(list(controls))
    names = table.setting.map({setting: control.name for setting, control in controls.items()})
    bases = table.setting.map({setting: control.of for setting, control in controls.items()})
    return table.assign(
        checkpoint=table.checkpoint.where(~is_control, names), setting=table.setting.where(~is_control, bases)
    )
