"""The values of analyses, as figures show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from grokforget.results.dots import BEFORE


def of_kinds(table: pd.DataFrame, study: Mapping[str, Any], kinds: Sequence[str]) -> pd.DataFrame:
    """The rows of ``analysis`` with a value that are of these kinds, each setting's on the last of the forget sets that it
    has any on. Of several analyses of a kind in a setting the study's first counts.

    Further columns: line (the stage, or ``BEFORE``), series (the checkpoint), column ("<measure> <part>").
    """
    kind_of = {name: kind for name, kind in study["analyses"].items() if kind in kinds}
    names, forget_sets = list(kind_of), list(study["forget_sets"])
    table = table[table.analysis.isin(names) & table.forget_set.isin(forget_sets)].dropna(subset=["value"])
    place = table.forget_set.map(forget_sets.index).astype("int64")
    table = table[place == place.groupby(table.setting).transform("max")]
    order = table.analysis.map(names.index).astype("int64")
    table = table[order == order.groupby([table.setting, table.analysis.map(kind_of)]).transform("min")]
    return table.assign(
        line=table.stage.where(table.stage != "before", BEFORE),
        series=table.checkpoint,
        column=(table.measure + " " + table.part).str.strip(),
    )
