"""The store: what was computed, by its key, so that it is computed once.

A key is the hash of all that decides the bytes: the spec, the code, the locked versions, and the checksums of what is
read. Results are hard links to the store's files, so they take no second room. Snakemake deletes a job's outputs before
it runs the job again; what the job then finds here under its key is put in place and not computed.

The store keeps what results link to, and the finished items of jobs that have not finished. It lies in the study's
folder, so that it goes where the results go, or where ``GROKFORGET_STORE`` says, where studies, checkouts and users
share it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from grokforget.runtime.files import checksum, sha256, whole

log = logging.getLogger("grokforget")
VARIABLE = "GROKFORGET_STORE"
ENTRY = "entry.json"


def item_key(format_version: int, item: Mapping[str, Any], inputs: Mapping[str, list[Path]]) -> str:
    """The key of one item of a spec file, whose inputs lie at these paths: 32 hexadecimal digits.

    Raises DamagedFile for an input that is missing.
    """
    decides = {name: item[name] for name in ("function", "spec", "code", "versions")}
    read = {name: [checksum(path) for path in files] for name, files in inputs.items()}
    text = json.dumps(
        {**decides, "format": format_version, "inputs": read, "outputs": sorted(item["outputs"])}, sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Store:
    """The store of a study, or the shared one."""

    def __init__(self, root: Path) -> None:
        """``root`` is the study's folder."""
        self.shared = bool(os.environ.get(VARIABLE))
        self.folder = Path(os.environ[VARIABLE]) if self.shared else root / "store"
        # In a shared store not the name alone: another checkout may be at a study of the same name.
        self.study = str(root.resolve()) if self.shared else root.name

    def entry(self, key: str) -> Path:
        """The folder of an entry, whether it is there or not."""
        return self.folder / key[:2] / key

    def scratch(self, key: str) -> Path:
        """The folder in which an unfinished item leaves what its next run can go on from."""
        return self.folder / "unfinished" / key

    @contextmanager
    def locked(self, key: str) -> Iterator[None]:
        """While another process makes the same item, wait: both would leave their unfinished work in one folder."""
        place = self.folder / "unfinished"
        place.mkdir(parents=True, exist_ok=True)
        lock = place / f"{key}.lock"
        with open(lock, "a", encoding="utf-8") as file:
            # A file system that knows no locks has no two processes either, but for a shared store.
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)

    def find(self, key: str) -> dict[str, Any] | None:
        """What is kept under a key: for every output its ``file`` in the entry, ``sha256`` and ``bytes``; None where there
        is nothing, or not what was written. What is damaged is removed."""
        folder = self.entry(key)
        try:
            outputs: dict[str, Any] = json.loads((folder / ENTRY).read_text(encoding="utf-8"))["outputs"]
            damaged = [name for name, kept in outputs.items() if sha256(folder / kept["file"]) != kept["sha256"]]
        except FileNotFoundError:
            if not folder.exists():
                return None
            damaged = [ENTRY]
        except (ValueError, KeyError):
            damaged = [ENTRY]
        if damaged:
            log.warning("%s is damaged (%s); it is made anew", folder, ", ".join(damaged))
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return outputs

    @contextmanager
    def begin(self, key: str, job: str) -> Iterator[Path]:
        """A folder for the files of an item that ``add`` then takes: of this process alone, for another one, of another
        study or user, may be at the same item."""
        beside = self.folder / "unfinished" / f"{key}.{uuid4().hex}"
        for folder in (self.scratch(key), beside):
            folder.mkdir(parents=True, exist_ok=True)
            self._note(folder, job, {})
        try:
            yield beside
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def add(self, key: str, job: str, made: Mapping[str, Path], replace: bool = False) -> dict[str, Any]:
        """Make the folder of ``begin``, with the finished files ``made``, an entry, and return what ``find`` then does.

        Where another process was first its files stay, which it may just be putting in place, unless these are to
        ``replace`` what is there: those of a job that was forced.
        """
        outputs = {
            name: {"file": path.name, "sha256": sha256(path), "bytes": path.stat().st_size}
            for name, path in made.items()
        }
        beside = next(path.parent for path in made.values())
        self._note(beside, job, outputs)
        folder = self.entry(key)
        folder.parent.mkdir(parents=True, exist_ok=True)
        if replace:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.rename(beside, folder)
        except OSError:
            theirs = self.find(key)
            if theirs is None:
                os.rename(beside, folder)
            outputs = theirs or outputs
        shutil.rmtree(self.scratch(key), ignore_errors=True)
        return outputs

    def _note(self, folder: Path, job: str, outputs: Mapping[str, Any]) -> None:
        note = {"job": job, "study": self.study, "outputs": outputs}
        with whole(folder / ENTRY) as file:
            file.write_text(json.dumps(note, sort_keys=True), encoding="utf-8")

    def entries(self) -> Iterator[Path]:
        """The folders of all entries, and of items that are not finished."""
        for shelf in self.shelves():
            yield from sorted(path for path in shelf.iterdir() if path.is_dir())

    def shelves(self) -> list[Path]:
        """The folders in which the entries lie."""
        return sorted([*self.folder.glob("??"), *self.folder.glob("unfinished")])

    def sweep(self, keys: Mapping[str, Collection[str]]) -> int:
        """Remove what nothing needs, and return how many bytes that were: entries of this study's finished jobs
        (``keys``: job → the keys of its results) that no result links to and no job names, and what such jobs left when
        they were interrupted.

        Entries of other studies, and of jobs that have no record, because they have not finished, stay.
        """
        freed, needed = 0, set().union(*keys.values())
        for folder, note in self.notes():
            files = [file for file in folder.iterdir() if file.is_file()]
            linked = any(file.stat().st_nlink > 1 for file in files)
            if note["job"] not in keys or folder.name in needed or linked:
                continue
            freed += sum(file.stat().st_size for file in files)
            shutil.rmtree(folder, ignore_errors=True)
        return freed

    def notes(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The entries that this study's jobs made, and what stands in them."""
        for folder in self.entries():
            try:
                note = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if note["study"] == self.study:
                yield folder, note

    def jobs(self) -> set[str]:
        """This study's jobs that the store has something of."""
        return {note["job"] for _, note in self.notes()}

    def size(self) -> tuple[int, int]:
        """Bytes of all entries, and those of them that no result links to, which is what the store takes beside the results."""
        total = alone = 0
        for folder in self.entries():
            for file in folder.iterdir():
                status = file.stat()
                total += status.st_size
                alone += status.st_size if status.st_nlink == 1 and file.name != ENTRY else 0
        return total, alone

    def empty(self) -> None:
        """Remove everything: what is asked for next is computed."""
        shutil.rmtree(self.folder, ignore_errors=True)


def place(source: Path, target: Path) -> None:
    """The same file in another place, without a second copy on disk where that can be had; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    beside.unlink(missing_ok=True)
    try:
        os.link(source, beside)
    except OSError:
        # Some file systems know no hard links, and none goes from one to another.
        shutil.copyfile(source, beside)
    os.replace(beside, target)
    # Replacing a link to a file by another link to the same file does nothing, and leaves the one beside.
    beside.unlink(missing_ok=True)
