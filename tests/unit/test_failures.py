"""An error is told in words that say what to do next, and damage is marked so that the next run mends it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from grokforget.runtime import paths
from grokforget.runtime.errors import REMEDIES, condemn, explain
from grokforget.runtime.files import DamagedFile, check, write_json, write_rows, write_tensors

WORDS = {
    errno.ENOSPC: "no space left on the disk; free some",
    errno.EDQUOT: "quota is used up; free some",
    errno.EROFS: "can only be read; give a folder that can be written",
    errno.EACCES: "no permission; give yourself access",
}


@pytest.mark.parametrize("number", WORDS)
def test_an_error_of_the_system_is_told_with_its_remedy(number: int) -> None:
    told = explain(OSError(number, os.strerror(number), "results/a.parquet"))
    assert told.startswith(f"[Errno {number}] {os.strerror(number)}: 'results/a.parquet': ")
    assert WORDS[number] in told
    assert told.endswith(". What was finished is kept.")


@pytest.mark.parametrize("number", WORDS)
def test_so_is_one_that_a_library_passes_on_in_words(number: int) -> None:
    error = SafetensorError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")
    assert explain(error) == f"{error}: {REMEDIES[number]}. What was finished is kept."


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no such thing"), "ValueError: no such thing"),
        (FileNotFoundError(errno.ENOENT, "gone", "a"), "FileNotFoundError: [Errno 2] gone: 'a'"),
        (OSError("without a number"), "OSError: without a number"),
        (SafetensorError("I/O error: too many (os error 280)"), "SafetensorError: I/O error: too many (os error 280)"),
        (SafetensorError("I/O error: what (os error 9999)"), "SafetensorError: I/O error: what (os error 9999)"),
        (KeyError("state"), "KeyError: 'state'"),
    ],
)
def test_any_other_error_is_told_as_it_is(error: Exception, told: str) -> None:
    assert explain(error) == told


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few pages."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "none", place], capture_output=True).returncode
    ):
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


WRITERS: dict[str, Callable[[Path], None]] = {
    "tensors": lambda folder: write_tensors(folder / "a.safetensors", {"a": np.random.default_rng(0).random(50000)}),
    "table": lambda folder: write_rows(folder / "a.parquet", {"a": np.random.default_rng(0).random(50000)}),
    "json": lambda folder: write_json(folder / "a.json", list(range(50000))),
}


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(("number", "option"), [(errno.ENOSPC, None), (errno.EROFS, "remount,ro")])
def test_a_full_disk_and_one_that_can_only_be_read_are_told(
    disk: Path, kind: str, number: int, option: str | None
) -> None:
    old = disk / "old.txt"
    old.write_text("old")
    if option:
        subprocess.run(["mount", "-o", option, "none", disk], check=True)
    with pytest.raises((OSError, SafetensorError)) as failed:
        WRITERS[kind](disk)
    assert REMEDIES[number] in explain(failed.value)
    assert list(disk.iterdir()) == [old], "nothing half written is left"


# Damage.
AGAIN = "Give the same command again: it makes that file anew, and nothing else that is done."
NOBODY = "No job's record says what made it; remove it and give the same command again."


FILES = {
    "data/addition/examples": ["data/addition/examples.safetensors"],
    "data/addition/seed1": ["data/addition/seed1.safetensors"],
    "unlearn/mlp/seed0/within": [
        f"unlearn/mlp/seed0/within/{method}/{name}" for method in ("scrub", "ascent") for name in ("models.safetensors", "a.csv")
    ],
    "unlearn/mlp/seed0/random": ["unlearn/mlp/seed0/random/scrub/models.safetensors"],
    "metrics/mlp/seed1": ["metrics/mlp/seed1/within.parquet"],
    "tables/summary": ["tables/summary.parquet", "tables/contrasts.parquet"],
    "paper/claims": ["tables/claims.parquet", "paper/claims.csv", "paper/claims.md"],
    "tuning/choice": ["tuning/choice.csv", "tuning/candidates.csv"],
    "provenance": ["provenance.json"],
}  # fmt: skip
MADE_BY = {file: job for job, files in FILES.items() for file in files}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records of a study's jobs and of another beside it, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for study in ("results/small", "results/other"):
        for job, files in FILES.items():
            record = {"spec": {}, "items": {}, "read": {}, "wrote": dict.fromkeys(files)}
            write_json(Path(study) / paths.record_of(job), record)
    return Path("results/small")


def records() -> set[str]:
    return {path.as_posix() for path in Path("results").rglob("*.json")}


@pytest.mark.parametrize("made", MADE_BY)
@pytest.mark.parametrize("absolute", [False, True])
def test_the_record_of_the_job_that_made_a_damaged_file_goes_and_no_other(
    root: Path, made: str, absolute: bool
) -> None:
    before, path = records(), root / made
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("damaged")
    told = explain(DamagedFile(path.absolute() if absolute else path, "is damaged"))
    assert told == f"{path.absolute() if absolute else path} is damaged. {AGAIN}"
    # The damaged file may be a JSON file itself.
    assert before - records() == {(root / paths.record_of(MADE_BY[made])).as_posix()}
    assert path.read_text() == "damaged", "nothing but the record is touched"


def test_the_results_nearest_to_a_file_are_those_that_it_belongs_to(root: Path, tmp_path: Path) -> None:
    outer = tmp_path / "jobs" / "a.json"
    record = {"spec": {}, "items": {}, "read": {}, "wrote": {"results/small/tables/summary.parquet": {}}}
    write_json(outer, record)
    assert condemn(tmp_path / root / "tables" / "summary.parquet") == AGAIN
    assert outer.exists()


def test_a_missing_file_is_damage_too_and_the_second_time_nobody_made_it(root: Path) -> None:
    path = root / "metrics" / "mlp" / "seed1" / "within.parquet"
    with pytest.raises(DamagedFile) as missing:
        check(path)
    assert explain(missing.value) == f"{path} is missing. {AGAIN}"
    assert explain(missing.value) == f"{path} is missing. {NOBODY}"


@pytest.mark.parametrize("path", ["results/small/unknown/a.parquet", "results/small/jobs.parquet", "a.parquet"])
def test_a_file_that_no_job_made_condemns_none(root: Path, path: str) -> None:
    before = records()
    assert condemn(Path(path)) == NOBODY
    assert condemn(Path(path).absolute()) == NOBODY
    assert records() == before
