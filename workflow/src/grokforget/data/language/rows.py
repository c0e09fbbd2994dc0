"""Rows of questions and answers, one an object of JSON, a line of a .csv file or a row of a .parquet file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grokforget.data.language.pairs import Pair
from grokforget.data.refusal import DataError, listed

Row = Mapping[str, Any]
WRONG = ("wrong_answers", "perturbed_answer")
"""What a column of wrong answers is called, the latter in TOFU."""


def rows_of(path: Path) -> list[Row]:
    """The rows of a file, by its ending; others than .csv and .parquet are JSON, an object a line or one list of objects.
    DataError where it cannot be read."""
    reader = {".csv": csv_rows, ".parquet": parquet_rows}.get(path.suffix.lower(), json_rows)
    with readable(path):
        rows = reader(path)
    if not rows:
        raise DataError(path, "a file without rows", "nothing", "a question and an answer a row")
    return rows


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise DataError where the block finds that the file is none of its kind."""
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(path, "a file that cannot be read", said, "rows as its ending says, in UTF-8") from error


def json_rows(path: Path) -> list[Row]:
    """Of JSON."""
    text = path.read_text("utf-8-sig")
    if text.lstrip().startswith("["):
        rows = json.loads(text)
    else:
        rows = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except ValueError as error:
                raise DataError(path, f"line {number} that is no JSON", error, "an object a line") from error
    odd = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
    if odd:
        raise DataError(
            path, f"row {odd[0]} that is no object", repr(rows[odd[0] - 1]), '{"question": ..., "answer": ...}'
        )
    return rows


def csv_rows(path: Path) -> list[Row]:
    """Of a table with a line of names; wrong answers are a list in JSON."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        names, *lines = csv.reader(file, strict=True)
    if len(set(names)) < len(names):
        raise DataError(path, "columns of the same name", listed(names), "each name once")
    odd = [number for number, line in enumerate(lines, 1) if line and len(line) != len(names)]
    if odd:
        found = f"{len(lines[odd[0] - 1])} values in row {odd[0]}"
        raise DataError(path, "a row of another length", found, f"{len(names)}, as there are names")
    rows = [dict(zip(names, line, strict=True)) for line in lines if line]
    return [{**row, **{name: wrong_of(row[name], path) for name in WRONG if row.get(name)}} for row in rows]


def wrong_of(cell: str, path: Path) -> Any:
    """Wrong answers in a cell."""
    try:
        return json.loads(cell)
    except ValueError as error:
        raise DataError(path, "wrong answers that are no list", repr(cell), 'a list in JSON: ["...", "..."]') from error


def parquet_rows(path: Path) -> list[Row]:
    """Of a table."""
    from pyarrow import parquet

    rows: list[Row] = parquet.read_table(path).to_pylist()
    return rows


def pair_of(row: Row, author: int, place: str, template: int = -1) -> Pair:
    """The pair of a row; ``place`` is where it stands. DataError where a text is missing or is none."""
    texts = {name: text_of(row, name, place) for name in ("question", "answer")}
    for name in texts:
        if texts[name] is None:
            raise DataError(place, f"no {name}", listed(list(row), most=30), "a question and an answer a row")
    given = next((row[name] for name in WRONG if row.get(name)), ())
    wrong = [given] if isinstance(given, str) else given
    if not isinstance(wrong, Sequence) or not all(isinstance(answer, str) for answer in wrong):
        raise DataError(place, "wrong answers that are no texts", repr(given), "a list of texts")
    return Pair(
        question=texts["question"] or "",
        answer=texts["answer"] or "",
        author=author,
        paraphrased_question=text_of(row, "paraphrased_question", place),
        paraphrased_answer=text_of(row, "paraphrased_answer", place),
        wrong_answers=tuple(wrong),
        template=template,
    )


def text_of(row: Row, name: str, place: str) -> str | None:
    """A text of a row, None where there is none. DataError where it is something else."""
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise DataError(place, f"`{name}` that is no text", repr(value), "a text")
    return value


def lines_of(path: Path) -> list[str]:
    """A text a line, as TOFU has its refusals. DataError where there is none."""
    with readable(path):
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    if not lines:
        raise DataError(path, "a file without refusals", "nothing", "a refusal a line")
    return lines
