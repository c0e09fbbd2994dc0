"""Rows of a table."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokforget.data.own import OwnData, Raw
from grokforget.data.refusal import DataError, listed

if TYPE_CHECKING:
    import pandas as pd

INDEX = re.compile(r"^__index_level_\d+__$")
"""What pandas calls an index without a name in a .parquet file."""


@dataclass(frozen=True, kw_only=True)
class Table(OwnData):
    """The rows of a .csv or .parquet file: the column ``label``, perhaps ``split_column`` for a given test set, and
    features.

    All other columns but those of ``ignore`` are features, in their order, and hold numbers or booleans. ``separator`` stands
    between the values of a .csv file, in which an empty value is a missing one and every other text is what it says.
    """

    label: str
    split_column: str | None
    ignore: Sequence[str]
    separator: str

    def read(self, *files: Path) -> Raw:
        (path,) = files
        names = names_of(path, self.separator)
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(path, "columns of the same name", listed(twice), "each name once")
        others = [self.label, *self.ignore, *([] if self.split_column is None else [self.split_column])]
        for key, name in zip(["label", *["ignore"] * len(self.ignore), "split_column"], others, strict=False):
            if name not in names:
                raise DataError(path, f"no such column for `{key}`", repr(name), listed(names, most=30))
        features = [name for name in names if name not in others]
        if "" in features:
            # A table that pandas wrote with its index: numbers of rows are no feature.
            found = f"column {names.index('') + 1} of {len(names)}"
            raise DataError(path, "a column without a name", found, 'a name for every column, or "" in `ignore`')
        table = table_of(path, self.separator).set_axis(names, axis=1)
        return Raw(
            features_of(table[features], path),
            texts_or_numbers(table[self.label], path),
            None if self.split_column is None else texts_or_numbers(table[self.split_column], path).astype(str),
            labels_at=f"column {self.label!r}",
            inputs_at="features",
            parts_at=f"column {self.split_column!r}",
        )


def names_of(path: Path, separator: str) -> list[str]:
    """The names of the columns as they are in the file, of an index that has none "": reading the table, pandas gives other
    names to columns that have none, or one that stands twice."""
    import pandas as pd
    from pyarrow import parquet

    with readable(path):
        if path.suffix.lower() == ".parquet":
            return [INDEX.sub("", str(name)) for name in parquet.read_schema(path).names]
        first = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
        return [*first.iloc[0]]


def table_of(path: Path, separator: str) -> pd.DataFrame:
    """The rows. DataError where they cannot be read."""
    import pandas as pd
    from pyarrow import parquet

    with readable(path):
        if path.suffix.lower() == ".parquet":
            return parquet.read_table(path).to_pandas(ignore_metadata=True)
        # Without `index_col`, pandas takes what is too much in a row for its name.
        return pd.read_csv(
            path, sep=separator, keep_default_na=False, na_values=[""], low_memory=False, index_col=False
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise DataError where the block finds that the file is no table."""
    from pandas.errors import ParserWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParserWarning)
            yield
    except (OSError, ValueError, ParserWarning) as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(
            path, "a table that cannot be read", said, "a line of names, and rows with as many values"
        ) from error


def features_of(table: pd.DataFrame, path: Path) -> np.ndarray:
    """The columns as float64 (rows, columns). DataError for those that are no numbers or have missing or infinite ones."""
    from pandas.api.types import is_any_real_numeric_dtype, is_bool_dtype

    if not len(table.columns):
        raise DataError(
            path, "a table without features", "no column", "at least one beside label, split and ignored ones"
        )
    if table.empty:
        return np.zeros(table.shape)
    odd = [name for name, kind in table.dtypes.items() if not (is_any_real_numeric_dtype(kind) or is_bool_dtype(kind))]
    if odd:
        values = table[odd[0]].dropna().unique()
        found = f"{listed(odd)}, with values as {listed([str(value) for value in values], most=3)} in {odd[0]!r}"
        raise DataError(path, "columns that are no numbers", found, "numbers; encode them, or name them in `ignore`")
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        columns = [name for name, any_bad in zip(table.columns, bad.any(axis=0), strict=True) if any_bad]
        found = f"{int(bad.sum())} in {listed(columns)}, the first in row {row + 1} of {table.columns[column]!r}"
        raise DataError(path, "missing or infinite values", found, "finite numbers, or the columns in `ignore`")
    return values


def texts_or_numbers(column: pd.Series, path: Path) -> np.ndarray:
    """A column of numbers or booleans as it is, any other as texts. DataError where values are missing."""
    from pandas.api.types import is_any_real_numeric_dtype, is_bool_dtype

    missing = column.isna().to_numpy()
    if missing.any():
        found = f"{int(missing.sum())} in column {column.name!r}, the first in row {int(missing.argmax()) + 1}"
        raise DataError(path, "missing values", found, "a value in every row")
    if is_bool_dtype(column.dtype) or is_any_real_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=getattr(column.dtype, "numpy_dtype", column.dtype))
    return np.array([str(value) for value in column])
