"""Files that carry their own checksum, so that damage is found before a file is used, wherever it was copied to.

A seal is the SHA-256 of the whole file, computed while its own digits read 0 and then written over them. It stands in
the metadata that safetensors and Parquet files have, so the files stay what they are to every other reader.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from pathlib import Path

MARK = b"sealed-sha256:"
EMPTY = "0" * 64
SEAL = MARK.decode() + EMPTY
"""What a writer puts into the metadata of a file that is to be sealed."""

_intact: set[tuple[str, int, int]] = set()


def files_checked() -> list[Path]:
    """Every file that this process has found intact, which is every one that it has read."""
    return sorted({Path(path) for path, _, _ in _intact})


class DamagedFile(Exception):
    """A file that is missing, or not what was written; ``path`` says which."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path


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
