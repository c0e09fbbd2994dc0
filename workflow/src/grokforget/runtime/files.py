"""Files that appear whole or not at all, carry their checksum, and are of formats that cannot run code when read.

A seal is the SHA-256 of the whole file, computed while its own digits read 0 and then written over them. It stands in
the metadata that safetensors and Parquet files have, so the files stay what they are to every other reader, and damage
is found before a file is used, wherever it was copied to.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

if TYPE_CHECKING:
    import pandas as pd

MARK = b"sealed-sha256:"
EMPTY = "0" * 64
SEAL = MARK.decode() + EMPTY
"""What a writer puts into the metadata of a file that is to be sealed."""
UMASK = os.umask(0)
os.umask(UMASK)
SEALED = (".safetensors", ".parquet")
"""Endings of the files that carry their checksum."""
NUMPY: dict[str, np.dtype] = {
    "U8": np.dtype("u1"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""Of the types of safetensors those that data sets are made of."""

_intact: set[tuple[str, int, int]] = set()


def files_checked() -> list[Path]:
    """Every file that this process has found intact, which is every one that it has read."""
    return sorted({Path(path) for path, _, _ in _intact})


class DamagedFile(Exception):
    """A file that is missing, or not what was written; ``path`` says which."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(path, what)
        self.path, self.what = path, what

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


def seal(path: Path) -> None:
    """Write the checksum into a file whose metadata holds ``SEAL``. Raises DamagedFile where it does not."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        start = _digits(path, content)
        content[start : start + 64] = _digest(content, start).encode()
        content.flush()


def check(path: Path) -> None:
    """Raise DamagedFile unless the file is there and its content gives the checksum that it carries.

    A file that was found intact is read again only once it has changed.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise DamagedFile(path, "is missing") from None
    key = (os.fspath(path), status.st_mtime_ns, status.st_size)
    if key in _intact:
        return
    if not status.st_size:
        raise DamagedFile(path, "is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        start = _digits(path, content)
        carried, computed = content[start : start + 64].decode("ascii", "replace"), _digest(content, start)
    if carried != computed:
        raise DamagedFile(
            path, f"is damaged: it carries the checksum {carried[:12]}..., its content gives {computed[:12]}..."
        )
    _intact.add(key)


def _digits(path: Path, content: mmap.mmap) -> int:
    """Where the digits stand: safetensors has its metadata in front, Parquet at its end."""
    mark = content.rfind(MARK) if path.suffix == ".parquet" else content.find(MARK)
    if mark < 0 or mark + len(MARK) + 64 > len(content):
        raise DamagedFile(path, "is damaged: it carries no checksum")
    return mark + len(MARK)


def _digest(content: mmap.mmap, start: int) -> str:
    whole = memoryview(content)
    try:
        digest = hashlib.sha256(whole[:start])
        digest.update(EMPTY.encode())
        digest.update(whole[start + 64 :])
        return digest.hexdigest()
    finally:
        whole.release()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; it takes the place of ``path`` once the block ends without an error.

    The ending stays last, since plotting libraries read the format from it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        # Some libraries write for their user alone, but a store may be shared.
        os.chmod(beside, 0o666 & ~UMASK)
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


def read_tensors(
    path: Path, prefix: str = "", leave: Sequence[str] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays by name but for those to ``leave``, and the metadata; with ``prefix`` only the arrays whose name begins with it,
    named without it."""
    with opened(path) as file:
        names = [name for name in file.keys() if name.startswith(prefix) and name not in leave]  # noqa: SIM118 - not a dict
        return {name.removeprefix(prefix): file.get_tensor(name) for name in names}, read_metadata(path)


def mapped_tensor(path: Path, name: str) -> np.ndarray:
    """One array of a safetensors file, mapped into memory and read-only: what is looked at is read, and no more is held. Raises
    DamagedFile."""
    check(path)
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        told = json.loads(file.read(length))[name]
    start = 8 + length + told["data_offsets"][0]
    return np.asarray(np.memmap(path, NUMPY[told["dtype"]], "r", start, tuple(told["shape"])))


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


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of a Parquet file by name, strings as objects, once its checksum was found right; without pandas, as
    ``write_rows``. Raises DamagedFile."""
    from pyarrow import parquet

    check(path)
    table = parquet.ParquetFile(path).read()
    return {name: table[name].to_numpy() for name in table.column_names}


def sha256(path: Path) -> str:
    """As `sha256sum` prints it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_sha256(folder: Path) -> str:
    """SHA-256 of the names and contents of all files below a folder, but for what is hidden, and of the names of its folders."""
    digest = hashlib.sha256()
    for above, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *sorted(name for name in files if not name.startswith("."))]:
            path = Path(above, name)
            content = sha256(path) if name in files else ""
            digest.update(f"{json.dumps(path.relative_to(folder).as_posix())} {content}\n".encode())
    return digest.hexdigest()


def checksum(path: Path) -> str:
    """What a file's content is known by: the checksum that it carries (compared when the file is read), or, of a file that
    carries none, its SHA-256; of a folder, that of what is in it. Raises DamagedFile for a file that is missing."""
    if path.suffix not in SEALED and os.path.isdir(path):
        return folder_sha256(path)
    if not os.path.isfile(path):
        raise DamagedFile(path, "is missing")
    if path.suffix not in SEALED or not os.path.getsize(path):
        return sha256(path)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            start = _digits(path, content)
        except DamagedFile:
            # A user's file, or one of ours that is found damaged as soon as it is read.
            return sha256(path)
        return content[start : start + 64].decode("ascii", "replace")
