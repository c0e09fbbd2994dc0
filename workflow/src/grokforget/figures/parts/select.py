"""Which rows of an analysis a figure shows: one forget set a setting."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from grokforget.figures.parts.dots import BEFORE
from grokforget.statistics.groups import GROUPS
from grokforget.statistics.quantities import under_their_settings

if TYPE_CHECKING:
    from grokforget.config.specs.base import Meanings

RUN = ["setting", "forget_set", "seed"]


def of_kinds(table: pd.DataFrame, kinds: Sequence[str], study: Meanings, preferred: Sequence[str] = ()) -> pd.DataFrame:
    """The rows with a value of the study's analyses of these kinds, each setting's of one forget set: the last of
    ``preferred`` that it has, or else the last by name (a job's spec has its mappings sorted).

    ``table`` is ``analysis`` or ``along``. In ``analysis``, controls stand under the setting that they are compared
    with, and what they have of that setting's forget set alone.
    """
    table = of_all(table[table.value.notna()], kinds, study)
    main = table[~table.setting.isin(list(study.controls))]
    order = [name for name in study.forget_sets if name not in preferred] + list(preferred)
    chosen = {
        setting: max(sets.unique(), key=order.index)
        for setting, sets in main[main.forget_set.isin(order)].groupby("setting").forget_set
    }
    if "checkpoint" in table:
        table = under_their_settings(table, study.controls)
    return table[table.forget_set == table.setting.map(chosen)]


def of_each_group(
    table: pd.DataFrame, kinds: Sequence[str], study: Meanings, preferred: Sequence[str] = ()
) -> pd.DataFrame:
    """As ``of_kinds``; but where a setting's forget sets are ``GROUPS`` of examples, all of these, each as a setting of its own,
    named "<setting>\n<forget set>"."""
    groups = [name for name, rule in study.forget_sets.items() if rule.group in GROUPS]
    # A group of which there is nothing is none that could be shown.
    grouped = table[table.forget_set.isin(groups) & table.value.notna()]
    grouped = of_all(grouped, kinds, study)
    others = of_kinds(table[~table.setting.isin(grouped.setting.unique())], kinds, study, preferred)
    return pd.concat([others, grouped.assign(setting=grouped.setting + "\n" + grouped.forget_set)])


def of_all(table: pd.DataFrame, kinds: Sequence[str], study: Meanings) -> pd.DataFrame:
    """The rows of the study's analyses of these kinds."""
    return table[table.analysis.isin([name for name, kind in study.analyses.items() if kind in kinds])]


def dotted(analysis: pd.DataFrame, kinds: Sequence[str], study: Meanings) -> pd.DataFrame:
    """``of_kinds`` of the settings that are no controls, as dot plots want it: line (the stage, or ``BEFORE``), series (the
    checkpoint), column ("<measure> <part>")."""
    rows = of_kinds(analysis[~analysis.setting.isin(list(study.controls))], kinds, study)
    return rows.assign(
        line=rows.stage.where(rows.stage != "before", BEFORE),
        series=rows.checkpoint,
        column=(rows.measure + " " + rows.part).str.strip(),
    )


def wide(rows: pd.DataFrame, by: str, measures: Sequence[str]) -> pd.DataFrame:
    """A row a (``RUN``, ``by``), a column a measure (all of them, NaN where there is no value); what a cell has several of
    counts as its mean."""
    rows = rows[rows.measure.isin(list(measures))]
    means = rows.groupby([*RUN, by, "measure"]).value.mean()
    return means.unstack("measure").reindex(columns=list(measures)).reset_index()


def natural(names: Sequence[str]) -> list[str]:
    """Names of layers as they follow each other: numbers by their size, ``representation`` (what enters the output) last."""

    def place(name: str) -> tuple[bool, list[tuple[int, str]]]:
        pieces = re.findall(r"\d+|\D+", name)
        return name == "representation", [(int(one), "") if one.isdigit() else (-1, one) for one in pieces]

    return sorted(set(names), key=place)
