"""What went wrong, in words that say what to do next."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grokforget.runtime import paths
from grokforget.runtime.files import DamagedFile
from grokforget.runtime.gpu import NoDevice, is_out_of_memory, memory_needed
from grokforget.runtime.record import read_record

REMEDIES = {
    errno.ENOSPC: "there is no space left on the disk; free some and give the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and give the same command again",
    errno.EROFS: "the file system can only be read; give a folder that can be written with `snakemake --directory FOLDER`",
    errno.EACCES: "there is no permission; give yourself access, or work in a folder of your own with `--directory FOLDER`",
}


class ItemsFailed(Exception):
    """Items of a batch that failed, each with its reason; the others were done and are kept."""


@contextmanager
def noted(what: str, name: object) -> Iterator[None]:
    """An error within says, in a note that goes with it, where in a job it happened: at which checkpoint, say. Its class
    stays, by which damage and full disks are known."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{what} {name}")
        raise


def explain(error: Exception) -> str:
    """One sentence on an error of a job, with its notes. Damage is marked too, so that the next run mends it."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    if isinstance(error, DamagedFile):
        return f"{error}. {condemn(error.path)}"
    if is_out_of_memory(error):
        return f"{memory_needed(error)}{notes}. What was finished is kept."
    if _number(error) in REMEDIES:
        return f"{error}{notes}: {REMEDIES[_number(error)]}. What was finished is kept."
    return f"{type(error).__name__}: {error}{notes}"


def meets_all(error: Exception) -> bool:
    """Whether an error would meet every item of a job alike: of the disk, the machine, or a file that was read."""
    return isinstance(error, (OSError, MemoryError, DamagedFile, NoDevice)) or _number(error) in REMEDIES


def _number(error: Exception) -> int:
    """The system's number of an error, 0 where it has none; libraries in other languages pass on its words, not its number."""
    said = re.search(r"\(os error (\d+)\)", str(error))
    number = error.errno if isinstance(error, OSError) else None
    return number if number is not None else int(said[1]) if said else 0


def condemn(path: Path) -> str:
    """Remove the record of the job that made a damaged file, without which its results count as missing, and say so."""
    for root in path.parents:
        for file in sorted((root / paths.JOBS).rglob("*.json")):
            record = read_record(file)
            if record and path.relative_to(root).as_posix() in record["wrote"]:
                file.unlink()
                return "Give the same command again: it makes that file anew, and nothing else that is done."
    return "No job's record says what made it; remove it and give the same command again."
