"""Which rows count.

A row of a result table is flagged where it says nothing of what its labels name: the run did not reach what the
checkpoint's name says, the model's outputs are no numbers, or a level of forgetting was never reached. Flagged rows
stay in the tidy tables. They are in no mean, contrast, verdict, paper table or figure, and their number stands beside
these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FLAG = "flag"
"""The column; empty in a row that counts."""
REFERENCE_FLAG = "reference_flag"
"""The column with the flag of the retrained reference of the same request and checkpoint."""
NOT_FOUND, DIVERGED, NOT_REACHED = "not found", "diverged", "not reached"


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
