"""A job's record says what made its results, and from records alone it is told what is valid and why something is not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grokforget import records as module
from grokforget import versions
from grokforget.fingerprint import digests
from grokforget.plan import PlannedJob
from grokforget.recipes import Task, recipe, task, unit
from grokforget.records import commit, environment, files_of, read_record, task_modules, write_record
from grokforget.stages import STAGES
from grokforget.staleness import Stale, made, reasons, standing

SCRUB = {"implementation": "grokforget.unlearning.scrub:Scrub", "settings": {"epochs": 3}}
ASCENT = {"implementation": "grokforget.unlearning.gradient_ascent:GradientAscent", "settings": {"rate": 0.1}}
FISHER = {"implementation": "grokforget.unlearning.fisher_forgetting:FisherForgetting", "settings": {}}
KEY = "unlearn/mlp/seed1/within"


def batch(*, spec: Any = None, upstream: Any = None, **methods: Any) -> Task:
    """A task of methods by name, each a component or a pair with what it alone reads."""
    methods = methods or {"scrub": SCRUB, "ascent": ASCENT}
    parts = {name: what if isinstance(what, tuple) else (what, {}) for name, what in methods.items()}
    units = {name: ({"method": method}, above) for name, (method, above) in parts.items()}
    return task("unlearn", {"seed": 0, **(spec or {})}, {"examples": "e", **(upstream or {})}, units)


class Results:
    """A folder of one job's results."""

    def __init__(self, root: Path, key: str = KEY) -> None:
        self.root, self.key = root, key
        self.record = root / "jobs" / f"{key}.json"
        self.file = root / key / "scrub" / "models.safetensors"

    def finish(self, made_by: Task) -> dict[str, Any]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text("models")
        return write_record(
            self.record, made_by, read=[], wrote=[self.root / self.key], costs={}, units_done={"scrub": "computed"}
        )

    def job(self, now: Task) -> PlannedJob:
        return PlannedJob(self.key, now, (self.key,))


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results" / "small")


# Records.
def test_a_record_holds_what_was_made_by_what_and_from_what(tmp_path: Path) -> None:
    folder, alone, source = tmp_path / "cells", tmp_path / "table.csv", tmp_path / "in.txt"
    (folder / "scrub").mkdir(parents=True)
    for path in (folder / "scrub" / "b.txt", folder / "a.txt", folder / ".half.7.txt", alone, source):
        path.write_text(path.name)
    done = batch()
    noted = write_record(
        tmp_path / "jobs" / "deep" / "job.json",
        done,
        read=[source],
        wrote=[folder, alone, folder / "a.txt"],
        costs={"work_s": 1.5},
        units_done={"scrub": "kept"},
    )
    assert read_record(tmp_path / "jobs" / "deep" / "job.json") == noted
    assert noted["recipe"] == recipe(done)
    assert noted["task"] == done
    assert noted["read"] == {"in.txt": hashlib.sha256(b"in.txt").hexdigest()}
    assert noted["wrote"] == {
        str(path.relative_to(tmp_path)): {
            "sha256": hashlib.sha256(path.name.encode()).hexdigest(),
            "bytes": len(path.name),
        }
        for path in (folder / "a.txt", folder / "scrub" / "b.txt", alone)
    }
    assert (noted["costs"], noted["units"]) == ({"work_s": 1.5}, {"scrub": "kept"})
    assert noted["modules"] == digests(STAGES["unlearn"], SCRUB["implementation"], ASCENT["implementation"])
    assert noted["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert noted["environment"]["libraries"]["numpy"] == versions.locked_versions()["numpy"]


def test_files_are_found_once_in_order_and_without_what_is_half_written(tmp_path: Path) -> None:
    names = ["b/c.txt", "a.txt", "b/.hidden", ".lock"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = files_of([tmp_path / "b", tmp_path, tmp_path / "a.txt", tmp_path / "missing"])
    assert found == [tmp_path / "a.txt", tmp_path / "b" / "c.txt"]


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b'{"recipe": "a", "task"', b"[]", b'"recipe"', b"{}", b"\xff\xfe", b"null", "folder"]
)
def test_what_is_no_whole_record_is_none(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "job.json"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert read_record(path) is None


def test_the_modules_of_a_task_are_those_of_all_its_units() -> None:
    alone = {name: set(task_modules(batch(it=method))) for name, method in (("scrub", SCRUB), ("ascent", ASCENT))}
    both = task_modules(batch())
    assert set(both) == alone["scrub"] | alone["ascent"]
    assert "grokforget.unlearning.scrub" in both
    assert "grokforget.unlearning.scrub" not in alone["ascent"]
    assert task_modules(unit(batch(), "ascent")).keys() == alone["ascent"]


def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(module, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "unknown"
    git("init", "--quiet")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "First")
    head = git("rev-parse", "HEAD").strip()
    (tmp_path / "results").write_text("not tracked")
    assert commit() == head
    (tmp_path / "requirements.lock").write_text("a==2\n")
    assert commit() == f"{head}+changes"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"


def test_the_environment_is_noted_without_loading_torch() -> None:
    code = "import sys; from grokforget.records import environment; print(environment()['gpu'], 'torch' in sys.modules)"
    path = [str(Path(module.__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], capture_output=True)
    assert done.stdout.split() == [b"None", b"False"]
    assert environment()["cores"] >= 1
    assert environment()["memory_gib"] > 0.1


# How jobs stand.
def test_results_of_the_task_are_valid(results: Results) -> None:
    results.finish(batch())
    found = standing(results.root, [results.job(batch(ascent=ASCENT, scrub=SCRUB))])
    assert (found.valid, found.stale) == ({KEY}, [])


def test_results_of_another_task_are_stale(results: Results) -> None:
    record = results.finish(batch())
    job = results.job(batch(spec={"seed": 1}))
    found = standing(results.root, [job])
    assert (found.valid, found.stale) == (set(), [Stale(job, record)])


@pytest.mark.parametrize("record", ["missing", "cut off", "empty"])
def test_results_without_a_record_that_can_be_read_are_stale(results: Results, record: str) -> None:
    results.finish(batch())
    if record == "missing":
        results.record.unlink()
    else:
        results.record.write_bytes(results.record.read_bytes()[:100] if record == "cut off" else b"")
    found = standing(results.root, [results.job(batch())])
    assert (found.valid, found.stale) == (set(), [Stale(results.job(batch()), None)])
    assert reasons(found.stale[0]) == ["no record says what made them"]


@pytest.mark.parametrize("now", [batch(), batch(spec={"seed": 1})], ids=["as planned", "of another task"])
def test_what_is_missing_is_neither_valid_nor_stale(results: Results, now: Task) -> None:
    nothing = (frozenset(), [])
    found = standing(results.root, [results.job(now)])
    assert (found.valid, found.stale) == nothing
    results.finish(batch())
    results.file.unlink()
    results.file.parent.rmdir()
    results.file.parent.parent.rmdir()
    found = standing(results.root, [results.job(now)])
    assert (found.valid, found.stale) == nothing


def test_a_file_missing_from_a_folder_that_is_there_is_stale(results: Results) -> None:
    """Snakemake looks no further than the folder."""
    (results.root / KEY).mkdir(parents=True)
    (results.root / KEY / "other.txt").touch()
    results.finish(batch())
    (results.root / KEY / "other.txt").unlink()
    found = standing(results.root, [results.job(batch())])
    assert found.valid == set()
    assert [reasons(item) for item in found.stale] == [["a file that the job wrote is missing"]]


@pytest.mark.parametrize(
    "key", ["tables/summary", "figures/figure1a", "paper/table1", "provenance", "tuning/choice", KEY]
)
def test_what_no_job_reads_is_compared_with_what_was_written(tmp_path: Path, key: str) -> None:
    """Other files are checked by those who read them, and there may be very much of them."""
    results = Results(tmp_path / "results" / "small", key)
    results.finish(batch())
    assert standing(results.root, [results.job(batch())]).valid == {key}
    results.file.write_text("MODELS")
    found = standing(results.root, [results.job(batch())])
    assert found.valid == ({key} if key == KEY else set())
    told = [reasons(item) for item in found.stale]
    assert told == ([] if key == KEY else [["damaged: the files are not what the job wrote"]])


def test_what_a_job_has_made_begins_with_its_key_and_not_with_one_that_is_longer(tmp_path: Path) -> None:
    for name in ("a/seed1.parquet", "a/seed1.csv", "a/seed10.parquet", "a/seed1-b.csv", "a/.seed1.7.csv", "seed1.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "seed1").mkdir()
    (tmp_path / "a" / "seed11").mkdir()
    assert {path.name for path in made(tmp_path, "a/seed1")} == {"seed1", "seed1.parquet", "seed1.csv"}
    assert list(made(tmp_path, "nowhere/seed1")) == []
    assert [path.name for path in made(tmp_path, "seed1")] == ["seed1.csv"]
