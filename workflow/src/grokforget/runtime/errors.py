"""What went wrong, in words that say what to do next."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from grokforget.runtime import paths
from grokforget.runtime.files import DamagedFile
from grokforget.runtime.record import read_record

REMEDIES = {
    errno.ENOSPC: "there is no space left on the disk; free some and give the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and give the same command again",
    errno.EROFS: "the file system can only be read; give a folder that can be written with `snakemake --directory FOLDER`",
    errno.EACCES: "there is no permission; give yourself access, or work in a folder of your own with `--directory FOLDER`",
}


def explain(error: Exception) -> str:
    """One sentence on an error of a job. Damage is marked too, so that the next run mends it."""
    if isinstance(error, DamagedFile):
        return f"{error}. {condemn(error.path)}"
    number = error.errno if isinstance(error, OSError) else None
    # Libraries in other languages pass the system's words on, not its number.
    said = re.search(r"\(os error (\d+)\)", str(error))
    if number is None and said:
        number = int(said[1])
    if number in REMEDIES:
        return f"{error}: {REMEDIES[number]}. What was finished is kept."
    return f"{type(error).__name__}: {error}"


def condemn(path: Path) -> str:
    """Remove the record of the job that made a damaged file, without which its results count as missing, and say so."""
    for root in path.parents:
        for file in sorted((root / paths.JOBS).rglob("*.json")):
            record = read_record(file)
            if record and path.relative_to(root).as_posix() in record["wrote"]:
                file.unlink()
                return "Give the same command again: it makes that file anew, and nothing else that is done."
    return "No job's record says what made it; remove it and give the same command again."
