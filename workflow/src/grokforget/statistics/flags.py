"""Which rows count.

A row of a result table is flagged where it says nothing of what its labels name: the run did not reach what the
checkpoint's name says, the model's outputs are no numbers, or a level of forgetting was never reached. Flagged rows
stay in the tidy tables. They are in no mean, contrast, verdict, paper table or figure, and their number stands beside
these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLAG = "flag"
"""The column; empty in a row that counts."""
REFERENCE_FLAG = "reference_flag"
"""The column with the flag of the retrained reference of the same request and checkpoint."""
NOT_FOUND, DIVERGED, NOT_REACHED = "not found", "diverged", "not reached"
DID_NOT = {"grokked": "did not grok", "memorised": "did not fit the training data"}
"""What a run did not do that has no such checkpoint, in words."""


def flag_of(found: bool, finite: bool) -> str:
    """The flag of a model: whether its checkpoint was ``found``, and whether all its outputs are finite."""
    if not finite:
        return DIVERGED
    return "" if found else NOT_FOUND


def flagged(table: pd.DataFrame, column: str = FLAG) -> pd.Series:
    """Whether each row has a flag, (n,) bool: none in a table without flags."""
    # Only here: the jobs that set flags do without pandas, which takes long to import.
    import pandas as pd

    return table[column] != "" if column in table else pd.Series(False, index=table.index)


def counted(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that count."""
    return table[~flagged(table)]


def note_of(tables: Iterable[pd.DataFrame]) -> str:
    """A sentence on what is left out of some tables, of each kind of row what the first table has; empty where that is
    nothing."""
    phrases: dict[tuple[str, str, str], str] = {}
    for table in tables:
        phrases = {**left_out(table), **phrases}
    return f"Left out: {'; '.join(phrases[key] for key in sorted(phrases))}." if phrases else ""


def left_out(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """What a table's flagged rows are, a phrase a (setting, checkpoint, flag): "digits-mlp: 2 of 9 runs did not grok".

    Of a table of candidates those that were chosen count. A run is a (setting, seed). Where not all rows of a run and
    checkpoint have the flag, it is "cells of" that run. Snapshots along training, which have no checkpoint, are told of a
    setting as a whole.
    """
    if FLAG not in table:
        return {}
    if "train_set" in table:
        table = table[table.train_set == "full"]
    if "chosen" in table:
        table = table[table.chosen]
    places = ["setting", *(["checkpoint"] if "checkpoint" in table else [])]
    phrases = {}
    for labels, rows in table.groupby(places, sort=True):
        checkpoint = labels[1] if len(places) > 1 else ""
        runs = rows.seed.nunique()
        for flag in (NOT_FOUND, DIVERGED, NOT_REACHED):
            share = (rows[FLAG] == flag).groupby(rows.seed).mean()
            concerned = share[share > 0]
            if len(concerned):
                cells = "" if (concerned == 1).all() else "cells of "
                what = f"{cells}{len(concerned)} of {runs} runs {did_not(flag, checkpoint)}"
                phrases[labels[0], checkpoint, flag] = f"{labels[0]}: {what}"
    return phrases


def did_not(flag: str, checkpoint: str) -> str:
    """What became of a run, in words."""
    if flag == NOT_FOUND:
        return DID_NOT.get(checkpoint, f"have no checkpoint {checkpoint}")
    if flag == NOT_REACHED:
        return f"never forgot as much ({checkpoint})"
    return f"diverged ({checkpoint})" if checkpoint else "diverged"
