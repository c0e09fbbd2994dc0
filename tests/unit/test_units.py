"""A batch does no unit twice, and what it has done survives whatever ends it."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokforget import units as module
from grokforget.interruption import Interrupted
from grokforget.recipes import Task, recipe, task, units
from grokforget.stages.job import Job
from grokforget.storage import read_table, read_tensors, write_rows, write_tensors
from grokforget.units import place, run_batch


class Batch:
    """A batch of units that write their number; ``ran`` says which did."""

    def __init__(self, folder: Path) -> None:
        self.out, self.kept = folder / "out", folder / "jobs" / "batch.kept"
        self.ran: list[Job] = []
        self.before_last: Callable[[str], None] = lambda name: None

    def task(self, shared: int = 1, **values: int) -> Task:
        return task("split", {"shared": shared}, {}, {name: ({"value": v}, {}) for name, v in values.items()})

    def stage(self, job: Job) -> None:
        self.ran.append(job)
        value = job.spec["value"]
        write_rows(job.outputs["table"], [{"value": value}])
        self.before_last(str(value))
        write_tensors(job.outputs["weights"], {"value": np.array([value, job.spec["shared"]])})

    def run(self, made: Task) -> dict[str, str]:
        self.ran.clear()
        outputs = {"table": self.out / "@.parquet", "weights": self.out / "@" / "weights.safetensors"}
        inputs = {"own": [Path("in/@.parquet")], "shared": [Path("a"), Path("b")]}
        return run_batch(self.stage, made, Job(inputs, outputs, made["spec"], self.kept / "scratch"), self.kept)

    def files(self, name: str) -> list[Path]:
        return [self.out / f"{name}.parquet", self.out / name / "weights.safetensors"]

    def values(self, name: str) -> list[int]:
        table, weights = self.files(name)
        return [*read_table(table)["value"], *read_tensors(weights)[0]["value"]]

    def kept_files(self) -> dict[str, set[str]]:
        return {folder.name: {path.name for path in folder.iterdir()} for folder in self.kept.iterdir()}


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return Batch(tmp_path)


ABC = {"a": 1, "b": 2, "c": 3}


def test_every_unit_gets_its_own_files_and_spec_and_the_shared_ones(batch: Batch) -> None:
    made = batch.task(7, **ABC)
    assert batch.run(made) == dict.fromkeys(ABC, "computed")
    assert {name: batch.values(name) for name in ABC} == {name: [v, v, 7] for name, v in ABC.items()}
    assert [dict(job.spec) for job in batch.ran] == [{"shared": 7, "value": value} for value in ABC.values()]
    assert [job.inputs["own"] for job in batch.ran] == [[Path(f"in/{name}.parquet")] for name in ABC]
    assert all(job.inputs["shared"] == [Path("a"), Path("b")] for job in batch.ran)
    assert {job.scratch for job in batch.ran} == {batch.kept / "scratch"}
    expected = {recipe(unit): {"table.parquet", "weights.safetensors"} for unit in units(made).values()}
    assert batch.kept_files() == expected


@pytest.mark.parametrize(
    ("then", "computed"),
    [
        ({"shared": 1, **ABC}, set()),
        ({"shared": 1, "c": 3, "a": 1, "b": 2}, set()),
        ({"shared": 1, **ABC, "b": 20}, {"b"}),
        ({"shared": 1, **ABC, "d": 4}, {"d"}),
        ({"shared": 1, "a": 1}, set()),
        ({"shared": 1, "c": 3, "d": 4}, {"d"}),
        ({"shared": 2, **ABC}, {"a", "b", "c"}),
    ],
    ids=["again", "in another order", "one changed", "one more", "two less", "others", "what all share"],
)
def test_only_units_whose_recipe_is_new_are_computed(batch: Batch, then: dict[str, Any], computed: set[str]) -> None:
    batch.run(batch.task(**ABC))
    made = batch.task(**then)
    done = batch.run(made)
    assert {name for name, what in done.items() if what == "computed"} == computed
    assert done.keys() == made["units"].keys()
    assert len(batch.ran) == len(computed)
    values = {name: value for name, value in then.items() if name != "shared"}
    assert {name: batch.values(name) for name in values} == {n: [v, v, then["shared"]] for n, v in values.items()}
    assert batch.kept_files().keys() == {recipe(unit) for unit in units(made).values()}, "no other is kept"


def test_outputs_that_were_deleted_come_from_what_is_kept(batch: Batch) -> None:
    made = batch.task(**ABC)
    batch.run(made)
    for path in batch.files("b"):
        path.unlink()
    assert batch.run(made) == dict.fromkeys(ABC, "kept")
    assert batch.values("b") == [2, 2, 1]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, 10**9))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("place_of", ["kept", "output"])
def test_a_damaged_unit_is_made_anew_and_no_other(
    batch: Batch, damage: Callable[[Path], None], which: int, place_of: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = batch.task(**ABC)
    batch.run(made)
    name = ("table.parquet", "weights.safetensors")[which]
    path = batch.kept / recipe(units(made)["b"]) / name
    # An output is the same file as what is kept of it, so it is damaged with it; but not deleted.
    deleted_alone = place_of == "output" and damage is Path.unlink
    damage(path if place_of == "kept" else batch.files("b")[which])
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="grokforget"):
        done = batch.run(made)
    assert done == {"a": "kept", "b": "kept" if deleted_alone else "computed", "c": "kept"}
    assert {name: batch.values(name) for name in ABC} == {name: [v, v, 1] for name, v in ABC.items()}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    if damage is Path.unlink:
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert str(path) in warnings[0]
        assert warnings[0].endswith("made anew")
    told = [r.getMessage().partition(" in ")[0] for r in caplog.records if r.levelno == logging.INFO]
    assert told == [f"{n}: {w}" for n, w in done.items()]


@pytest.mark.parametrize("error", [ValueError(), OSError(errno.ENOSPC, "full"), Interrupted(signal.SIGTERM)])
def test_units_that_were_finished_survive_an_error_and_nothing_is_put_in_place(
    batch: Batch, error: BaseException
) -> None:
    old = batch.task(**ABC, d=9)
    batch.run(old)
    new = batch.task(a=1, b=20, c=30, e=40)

    def fail(value: str) -> None:
        if value == "30":
            raise error

    batch.before_last = fail
    with pytest.raises(type(error)):
        batch.run(new)
    assert {name: batch.values(name)[0] for name in (*ABC, "d")} == {**ABC, "d": 9}, "the old outputs are whole"
    # Nor is anything of before let go: the next run may be for the old task again.
    assert recipe(units(old)["d"]) in batch.kept_files()
    batch.before_last = lambda value: None
    assert batch.run(new) == {"a": "kept", "b": "kept", "c": "computed", "e": "computed"}
    assert [batch.values(name)[0] for name in ("a", "b", "c", "e")] == [1, 20, 30, 40]


def test_units_that_were_finished_survive_a_kill(batch: Batch) -> None:
    made = batch.task(**ABC)
    batch.before_last = lambda value: os.kill(os.getpid(), signal.SIGKILL) if value == "3" else None
    process = multiprocessing.get_context("fork").Process(target=batch.run, args=(made,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not batch.out.exists()
    batch.before_last = lambda value: None
    assert batch.run(made) == {"a": "kept", "b": "kept", "c": "computed"}


def test_a_task_that_is_no_batch_is_its_own_unit() -> None:
    alone = task("split", {"value": 1})
    assert units(alone) == {"": alone}


# Putting in place.
def test_what_is_put_in_place_is_the_same_file_and_not_a_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "down" / "target.txt"
    source.write_text("new")
    place(source, target)
    assert target.samefile(source)
    # Once more, when they are one file already.
    place(source, target)
    assert [path.name for path in target.parent.iterdir()] == ["target.txt"]


@pytest.mark.parametrize("links", [True, False])
def test_whoever_reads_the_old_file_goes_on_reading_it(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target.txt"
    source.write_text("new")
    target.write_text("old")

    def no_links(*paths: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    if not links:
        monkeypatch.setattr(module.os, "link", no_links)
    # Left behind by a process with the same number that was killed here.
    (tmp_path / f".target.{os.getpid()}.txt").write_text("half")
    with open(target) as reader:
        place(source, target)
        assert reader.read() == "old"
    assert target.read_text() == "new"
    assert target.samefile(source) == links
    assert {path.name for path in tmp_path.iterdir()} == {"source", "target.txt"}


def test_what_is_not_there_cannot_be_put_in_place_and_keeps_the_old(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    with pytest.raises(FileNotFoundError):
        place(tmp_path / "nothing", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "old"
