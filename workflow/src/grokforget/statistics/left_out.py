"""What is left out of a figure or a paper table, in words.

Apart from ``flags.py``, which the jobs that train and unlearn use: another wording is nothing to them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from grokforget.statistics.flags import DIVERGED, FLAG, NOT_FOUND, NOT_REACHED

if TYPE_CHECKING:
    import pandas as pd

DID_NOT = {"grokked": "did not grok"}
"""What a run did not do that has no such checkpoint, in words."""


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
    setting as a whole, and so is what never forgot as much, by cells: no matter of a run.
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
        for flag in (NOT_FOUND, DIVERGED):
            share = (rows[FLAG] == flag).groupby(rows.seed).mean()
            concerned = share[share > 0]
            if len(concerned):
                cells = "" if (concerned == 1).all() else "cells of "
                what = f"{cells}{len(concerned)} of {runs} runs {did_not(flag, checkpoint)}"
                phrases[labels[0], checkpoint, flag] = f"{labels[0]}: {what}"
    for setting, rows in table.groupby("setting", sort=True):
        if never := int((rows[FLAG] == NOT_REACHED).sum()):
            phrases[str(setting), "", NOT_REACHED] = f"{setting}: {never} of {len(rows)} cells never forgot as much"
    return phrases


def did_not(flag: str, checkpoint: str) -> str:
    """What became of a run, in words."""
    if flag == NOT_FOUND:
        return DID_NOT.get(checkpoint, f"have no checkpoint {checkpoint}")
    return f"diverged ({checkpoint})" if checkpoint else "diverged"
