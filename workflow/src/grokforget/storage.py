"""Files that appear whole or not at all, in formats that cannot run code when read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` once the block ends without an error.

    The ending stays last, since plotting libraries read the format from it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays as safetensors."""
    with whole(path) as beside:
        save_file(
            {name: np.ascontiguousarray(array) for name, array in arrays.items()},
            beside,
            # One key: safetensors keeps its metadata in a map of no fixed order, and the same study must give the same bytes.
            {"grokforget": json.dumps(dict(metadata or {}), sort_keys=True)},
        )


def read_tensors(path: Path, prefix: str = "") -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and the metadata; with ``prefix`` only the arrays whose name begins with it, named without it."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata: dict[str, str] = json.loads((file.metadata() or {}).get("grokforget", "{}"))
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a dict
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}, metadata


def tensor_groups(path: Path) -> list[str]:
    """What stands before the first ``/`` of the names in a file: its snapshots or checkpoints."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return sorted({name.split("/")[0] for name in file.keys()})  # noqa: SIM118 - not a dict


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys."""
    with whole(path) as beside:
        beside.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file whose bytes depend on the values alone: no index, no writer's extras."""
    with whole(path) as beside:
        table.to_parquet(beside, index=False, compression="zstd")


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Write rows (dicts with the same keys), or columns by name, as Parquet, without pandas: importing it would cost a
    short job a third of its time."""
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table(dict(rows)) if isinstance(rows, Mapping) else pa.Table.from_pylist([dict(row) for row in rows])
    with whole(path) as beside:
        parquet.write_table(table, beside, compression="zstd")


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file."""
    import pandas as pd

    return pd.read_parquet(path)
