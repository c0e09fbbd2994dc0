"""What went wrong, in words that say what to do next."""

from __future__ import annotations

import errno
import re
from pathlib import Path

from grokforget import paths
from grokforget.seal import DamagedFile

REMEDIES = {
    errno.ENOSPC: "there is no space left on the disk; free some and give the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and give the same command again",
    errno.EROFS: "the file system can only be read; give a folder that can be written with `snakemake --directory FOLDER`",
    errno.EACCES: "there is no permission; give yourself access, or work in a folder of your own with `--directory FOLDER`",
}


def explain(error: Exception) -> str:
    """One sentence on an error of a stage. Damage is marked too, so that the next run mends it."""
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
    """Remove the record of the job that made a damaged file, without which its results count as invalid, and say so.

    Nothing else is touched: the next run makes just this job's results anew. What lies in a cache between workflows is
    removed from there, or it would be fetched again.
    """
    if path.is_symlink():
        real = path.resolve()
        try:
            real.unlink(missing_ok=True)
        except OSError as error:
            return f"It lies in the cache as {real}, where it cannot be removed ({error}); have it removed, or leave out --cache."
    for root in path.parents:
        relative = path.relative_to(root)
        own = relative.with_suffix("").as_posix()
        for key in (paths.BESIDE.get(own, own), *(folder.as_posix() for folder in relative.parents)):
            record = root / paths.record_of(key)
            if record.is_file() and key != ".":
                record.unlink()
                return "Give the same command again: it makes that file anew, and nothing else that is done."
    return "No job's record says what made it; remove it and give the same command again."
