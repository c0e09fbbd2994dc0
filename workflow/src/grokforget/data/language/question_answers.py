"""Questions and answers of the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grokforget.data.language.base import LanguageData
from grokforget.data.language.pairs import Asked
from grokforget.data.language.rows import WRONG, Row, lines_of, pair_of, rows_of
from grokforget.data.language.templates import REFUSALS
from grokforget.data.refusal import DataError, listed

AUTHOR = ("author", "group")
"""What the column is called that says whom or what a question is about."""
COLUMNS = ("question", "answer", *AUTHOR, "paraphrased_question", "paraphrased_answer", *WRONG, "template")


@dataclass(frozen=True, kw_only=True)
class QuestionAnswers(LanguageData):
    """The rows of a file, with the columns ``COLUMNS`` and those of ``ignore``; only ``question`` and ``answer`` must be there.
    Behind it may be given a file of refusals, one a line."""

    ignore: Sequence[str]

    def read(self, *files: Path) -> Asked:
        path, *refusals = files
        rows = rows_of(path)
        names = list(dict.fromkeys(name for row in rows for name in row))
        odd = [name for name in names if name not in (*COLUMNS, *self.ignore)]
        if odd:
            raise DataError(path, "columns that say nothing here", listed(odd), f"{', '.join(COLUMNS)}; or in `ignore`")
        for two in (AUTHOR, WRONG):
            if set(two) <= set(names):
                raise DataError(path, "two columns for one thing", " and ".join(two), "one of them")
        about = next((name for name in AUTHOR if name in names), None)
        missing = [number for number, row in enumerate(rows, 1) if about and value_of(row, about) is None]
        if missing:
            found = f"nothing in row {missing[0]}"
            raise DataError(path, f"`{about}` that is missing", found, "one in every row, or no such column")
        authors, templates = numbered(rows, about), numbered(rows, "template")
        pairs = [
            pair_of(
                row,
                authors.get(value_of(row, about), 0),
                f"{path}: row {number}",
                templates.get(value_of(row, "template"), -1),
            )
            for number, row in enumerate(rows, 1)
        ]
        return Asked(pairs, lines_of(refusals[0]) if refusals else REFUSALS, tuple(map(str, authors)))

    def place(self, *files: Path) -> Path:
        return files[0]


def value_of(row: Row, name: str | None) -> str | None:
    """What a row has in a column, as text; None where that is nothing."""
    value = None if name is None else row.get(name)
    return None if value in (None, "") else str(value)


def numbered(rows: Sequence[Row], name: str | None) -> dict[str | None, int]:
    """The values of a column, numbered in the order in which they come first."""
    values = dict.fromkeys(value for row in rows if (value := value_of(row, name)) is not None)
    return {value: number for number, value in enumerate(values)}
