"""Files of logs as tables of what stands in them: CSV (with commas, semicolons or tabs), JSON lines, JSON, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from grokforget.detect.refusal import LogError

NAMED = "a table whose first line names its columns, JSON lines, JSON or Parquet is read"


def read_cells(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The cells as they stand in the file (texts; of JSON and Parquet values; None where there is none), a column a name, and
    notes on what was left out. LogError where there is no table."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LogError(path, error.strerror or str(error), "the file of a log is wanted") from None
    if content.startswith(b"PAR1"):
        try:
            return pd.read_parquet(io.BytesIO(content)).astype(object), []
        except (ValueError, OSError):
            raise LogError(path, "a Parquet file that is damaged", NAMED) from None
    try:
        # Spreadsheets put a byte-order mark in front.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise LogError(path, f"no text: byte {error.start} is not UTF-8", NAMED) from None
    if not text.strip():
        raise LogError(path, "the file is empty", NAMED)
    table, notes = json_cells(path, text) if text.lstrip()[0] in "{[" else csv_cells(path, text)
    if table.empty:
        raise LogError(path, "names of columns and no rows", NAMED)
    return table, notes


def csv_cells(path: Path, text: str) -> tuple[pd.DataFrame, list[str]]:
    """Of a CSV file. A header that comes again, as in files that were appended to, is no row."""
    delimiter = max(",;\t", key=text.splitlines()[0].count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise LogError(path, f"line {lines.line_num} is no CSV: {error}", NAMED) from None
    header = [name.strip() for name in rows[0][1]]
    if any(is_number(name) for name in header):
        raise LogError(path, f"no names of columns in the first line: {delimiter.join(header)}", NAMED)
    twice = sorted({name for name in header if header.count(name) > 1 and name})
    if twice:
        raise LogError(path, f"several columns of the name {twice[0]!r}", "every column needs a name of its own")
    rows = [(number, row) for number, row in rows[1:] if [cell.strip() for cell in row] != header]
    notes = []
    if rows and len(rows[-1][1]) < len(header):
        notes.append(f"line {rows.pop()[0]}, the last, is cut off and was left out")
    for number, row in rows:
        if len(row) != len(header):
            raise LogError(
                path, f"line {number} has {len(row)} cells", f"{len(header)}, one a column, are wanted in every line"
            )
    table = pd.DataFrame([row for _, row in rows], columns=header, dtype=object)
    return table, notes


def json_cells(path: Path, text: str) -> tuple[pd.DataFrame, list[str]]:
    """Of an object a line; or of one value: a list of objects, lists by name, or an object that holds such a list (as the state
    of a trainer does). Objects in objects are columns ``outer/inner``."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return json_lines(path, text)
    if isinstance(value, dict):
        lists = [one for one in value.values() if isinstance(one, list)]
        objects = [one for one in lists if one and all(isinstance(row, dict) for row in one)]
        if len(objects) == 1:
            value = objects[0]
        elif lists and len(lists) == len(value) and len({len(one) for one in lists}) == 1:
            return pd.DataFrame(value, dtype=object), []
        else:
            value = [value]
    return flat(path, value), []


def json_lines(path: Path, text: str) -> tuple[pd.DataFrame, list[str]]:
    """Of an object a line. A last line that is cut off, as killed runs leave it, is left out."""
    values, notes = [], []
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    for number, line in lines:
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number != lines[-1][0] or not values:
                raise LogError(path, f"line {number} is no JSON: {error.msg}", "an object a line is wanted") from None
            notes.append(f"line {number}, the last, is cut off and was left out")
    return flat(path, values), notes


def flat(path: Path, values: Any) -> pd.DataFrame:
    """A row an object; None where an object does not have a name, which is not the same as a NaN in it."""
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise LogError(path, "JSON that is no list of objects", NAMED)
    rows = [dict(leaves(one)) for one in values]
    names = dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame({name: [row.get(name) for row in rows] for name in names}, dtype=object)


def leaves(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of an object and of the objects in it."""
    for name, one in value.items():
        if isinstance(one, dict):
            yield from leaves(one, f"{above}{name}/")
        else:
            yield f"{above}{name}", one


def is_number(text: str) -> bool:
    """Whether a cell is a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True
