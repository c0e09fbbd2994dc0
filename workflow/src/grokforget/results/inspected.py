"""Which rows of an analysis a figure shows: one analysis, one forget set a setting."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from grokforget.analysis.quantities import under_their_settings

RUN = ["setting", "forget_set", "seed"]


def of_kind(table: pd.DataFrame, kind: str, study: Mapping[str, Any], preferred: Sequence[str]) -> pd.DataFrame:
    """The rows with a value of the study's first analysis of a kind that has any, each setting's of one forget set: the last of
    ``preferred`` that it has, or else the last in the study's order.

    ``table`` is ``analysis`` or ``along``, ``study`` as in ``quantities.quantity``. In ``analysis``, controls stand under
    the setting that they are compared with, and what they have of that setting's forget set alone.
    """
    table = table[table.value.notna()]
    names = [name for name, its in study["analyses"].items() if its == kind and (table.analysis == name).any()]
    table = table[table.analysis.isin(names[:1])]
    mine = table[~table.setting.isin(list(study["controls"]))]
    order = [name for name in study["forget_sets"] if name not in preferred] + list(preferred)
    chosen = {
        setting: max(sets.unique(), key=order.index)
        for setting, sets in mine[mine.forget_set.isin(order)].groupby("setting").forget_set
    }
    if "checkpoint" in table:
        table = under_their_settings(table, study["controls"])
    return table[table.forget_set == table.setting.map(chosen)]


def which(study: Mapping[str, Any], kind: str, rows: pd.DataFrame) -> str:
    """For a title: which analysis is shown, where the study has several of the kind."""
    several = sum(its == kind for its in study["analyses"].values()) > 1
    return f" (analysis {rows.analysis.iloc[0]})" if several else ""


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
