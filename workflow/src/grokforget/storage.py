"""Files that appear whole or not at all, carry their checksum, and are of formats that cannot run code when read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from grokforget.seal import SEAL, check, seal

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


@contextmanager
def sealed(path: Path) -> Iterator[Path]:
    """As ``whole``, for a file whose metadata holds ``SEAL``."""
    with whole(path) as beside:
        yield beside
        seal(beside)


def tensor_metadata(metadata: Mapping[str, Any] | None) -> dict[str, str]:
    """What a safetensors file holds beside its arrays.

    One key: safetensors keeps its metadata in a map of no fixed order, and the same study must give the same bytes.
    """
    return {"grokforget": json.dumps({**(metadata or {}), "seal": SEAL}, sort_keys=True)}


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> None:
    """Write arrays as safetensors."""
    with sealed(path) as beside:
        contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        save_file(contiguous, beside, tensor_metadata(metadata))


@contextmanager
def opened(path: Path, framework: str = "numpy") -> Iterator[Any]:
    """A safetensors file to read from, once its checksum was found right. Raises DamagedFile."""
    check(path)
    with safe_open(path, framework) as file:
        yield file


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata that were given when a safetensors file was written."""
    with opened(path) as file:
        metadata: dict[str, Any] = json.loads(file.metadata()["grokforget"])
    del metadata["seal"]
    return metadata


def read_tensors(path: Path, prefix: str = "") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name, and the metadata; with ``prefix`` only the arrays whose name begins with it, named without it."""
    with opened(path) as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118 - not a dict
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}, read_metadata(path)


def tensor_groups(path: Path) -> list[str]:
    """What stands before the first ``/`` of the names in a file: its snapshots or checkpoints."""
    with opened(path) as file:
        return sorted({name.split("/")[0] for name in file.keys()})  # noqa: SIM118 - not a dict


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON with sorted keys."""
    with whole(path) as beside:
        beside.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file whose bytes depend on the values alone: no index, no writer's extras."""
    import pyarrow as pa

    _write_parquet(path, pa.Table.from_pandas(table, preserve_index=False))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    """Write rows (dicts with the same keys), or columns by name, as Parquet, without pandas: importing it would cost a
    short job a third of its time."""
    import pyarrow as pa

    _write_parquet(
        path, pa.table(dict(rows)) if isinstance(rows, Mapping) else pa.Table.from_pylist([dict(row) for row in rows])
    )


def _write_parquet(path: Path, table: Any) -> None:
    from pyarrow import parquet

    with (
        sealed(path) as beside,
        parquet.ParquetWriter(beside, table.schema, compression="zstd") as writer,
    ):
        writer.write_table(table)
        # Not in the schema: that would be written twice.
        writer.add_key_value_metadata({"grokforget": SEAL})


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file, once its checksum was found right. Raises DamagedFile."""
    import pandas as pd

    check(path)
    return pd.read_parquet(path)
