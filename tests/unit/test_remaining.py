"""How far a run is, and how long the rest may take, from the records of the jobs that have ended."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from grokforget.runtime import paths, remaining
from grokforget.runtime.files import write_json
from grokforget.runtime.remaining import LOG, START, Kind, Progress, Watch, duration, kind_of
from grokforget.runtime.results import records_of

RULES = {"train": "train", "unlearn": "unlearn", "tables": "collect", "figures": "figure"}
SECONDS = {"train": 19.5, "unlearn": 10.5, "figure": 6.0, "collect": 2.0}


def forecast(kind: Kind) -> float:
    """Of a job of which none has ended."""
    return SECONDS[kind[0]]


class Run:
    """A run of jobs whose clock is set by hand; each takes what it is told to."""

    def __init__(self, root: Path, *jobs: str) -> None:
        self.root, self.now, self.written = root, 0.0, 0
        self.jobs = {job: RULES[job.split("/")[0]] for job in jobs}
        self.progress = Progress(root, self.jobs, forecast, lambda: self.now)

    def _stamp(self, path: Path) -> None:
        """However quickly files are written one after the other, their times differ."""
        self.written += 1
        os.utime(path, ns=(0, time.time_ns() + self.written * 10**6))

    def log(self, job: str) -> None:
        path = self.root / paths.log_of(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("started")
        self._stamp(path)

    def end(self, job: str, seconds: float, *, status: str = "computed", rule: str = "") -> None:
        path = self.root / paths.record_of(job)
        record: dict[str, Any] = {"spec": {"rule": rule or RULES[job.split("/")[0]]}, "items": {"": {"status": status}}}
        costs = {"imports_s": 0.0, "work_s": seconds - START}
        write_json(path, {**record, "read": {}, "wrote": {}, "costs": costs})
        self._stamp(path)

    def line(self, now: float) -> str:
        self.now = now
        self.progress.look()
        return self.progress.line()

    def again(self, *jobs: str) -> Run:
        """A later run, which remembers this one."""
        run = Run(self.root, *jobs)
        run.written = self.written
        run.progress.remember(records_of(self.root))
        return run


def train(setting: str, *seeds: int) -> list[str]:
    return [f"train/{setting}/seed{seed}" for seed in seeds]


def test_the_rest_takes_as_long_as_what_is_done_did(tmp_path: Path) -> None:
    run = Run(tmp_path, *train("mlp", *range(4)))
    assert run.line(5) == "0 of 4 jobs are done; how long they take is not known yet"
    run.end("train/mlp/seed0", 100)
    assert run.line(100) == "1 of 4 jobs are done, about 25 % of the work; about 5 min left"
    for seed in (1, 2, 3):
        run.end(f"train/mlp/seed{seed}", 100)
    assert run.line(400) == "4 of 4 jobs are done, in 7 min"


def test_several_at_a_time_are_sooner_done(tmp_path: Path) -> None:
    run = Run(tmp_path, *train("mlp", *range(8)))
    for seed in range(4):
        run.end(f"train/mlp/seed{seed}", 100)
    assert run.line(100) == "4 of 8 jobs are done, about 50 % of the work; about 2 min left"
    # But never sooner than the one that takes longest.
    run = run.again("train/mlp/seed0", "figures/a", "figures/b", "figures/c", "figures/d")
    for name in "abcd":
        run.end(f"figures/{name}", SECONDS["figure"])
    assert run.line(6).endswith("; about 2 min left")


def test_jobs_that_run_count_for_as_long_as_they_have(tmp_path: Path) -> None:
    """A hundred that began together all have to do when the first has ended."""
    run = Run(tmp_path, *train("mlp", *range(100)))
    for seed in range(100):
        run.log(f"train/mlp/seed{seed}")
    run.line(0)
    run.end("train/mlp/seed0", 600)
    assert run.line(540) == "1 of 100 jobs are done, about 90 % of the work; about 60 s left"


def test_each_kind_has_its_own_cost(tmp_path: Path) -> None:
    run = Run(tmp_path, *train("mlp", 0, 1), *train("cnn", 0, 1), "unlearn/mlp/seed0/a", "tables/training")
    run.end("train/mlp/seed0", 10)
    run.end("train/cnn/seed0", 90)
    run.line(100)
    left = run.progress.expected()
    assert (left["train/mlp/seed1"], left["train/cnn/seed1"]) == (10, 90)
    # Of what has not run yet the forecast's shares are taken, as far as this run's jobs cost more or less than usual.
    factor = 100 / (2 * SECONDS["train"])
    assert left["unlearn/mlp/seed0/a"] == pytest.approx(factor * SECONDS["unlearn"])
    assert left["tables/training"] == pytest.approx(factor * SECONDS["collect"])


def test_another_setting_costs_what_the_rule_does(tmp_path: Path) -> None:
    run = Run(tmp_path, *train("mlp", 0, 1), *train("cnn", 0))
    run.end("train/mlp/seed0", 10)
    run.line(10)
    assert run.progress.expected()["train/cnn/seed0"] == 10
    # Until it runs for longer.
    run.log("train/cnn/seed0")
    run.line(20)
    run.line(65)
    assert run.progress.expected() == {"train/mlp/seed1": 10, "train/cnn/seed0": 45}


def test_what_jobs_cost_before_is_remembered_but_for_what_was_kept(tmp_path: Path) -> None:
    first = Run(tmp_path, *train("mlp", 0, 1), "unlearn/mlp/seed0/a", "unlearn/mlp/seed1/a")
    first.end("train/mlp/seed0", 50)
    first.end("unlearn/mlp/seed0/a", 20)
    first.end("unlearn/mlp/seed1/a", START, status="kept")
    run = first.again(*train("mlp", 0, 1), "unlearn/mlp/seed0/a", "unlearn/mlp/seed1/a")
    assert run.line(30) == "0 of 4 jobs are done, about 0 % of the work", (
        "records of before are not taken for this run's"
    )
    assert run.progress.expected() == {
        **dict.fromkeys(train("mlp", 0, 1), 50),
        **dict.fromkeys(["unlearn/mlp/seed0/a", "unlearn/mlp/seed1/a"], 20),
    }
    # On a machine that is twice as fast.
    run.end("train/mlp/seed0", 25)
    run.line(25)
    assert run.progress.expected()["unlearn/mlp/seed0/a"] == 10


def test_a_second_run_that_keeps_results_is_soon_known_to_be_short(tmp_path: Path) -> None:
    jobs = [*train("mlp", *range(10)), *(f"unlearn/mlp/seed{seed}/a" for seed in range(10))]
    first = Run(tmp_path, *jobs)
    for job in jobs:
        first.end(job, 300)
    run = first.again(*jobs)
    for job in jobs[:5]:
        run.end(job, START, status="kept")
    assert run.line(2.5) == "5 of 20 jobs are done, about 25 % of the work; about 8 s left"


def test_a_run_of_a_few_jobs_counts_those_alone(tmp_path: Path) -> None:
    first = Run(tmp_path, *train("mlp", *range(10)))
    for job in first.jobs:
        first.end(job, 300)
    run = first.again("train/mlp/seed3")
    assert run.line(1).startswith("0 of 1 jobs are done")
    # Snakemake deletes it before the job starts.
    (tmp_path / paths.record_of("train/mlp/seed3")).unlink()
    assert run.line(2).startswith("0 of 1 jobs are done")
    run.end("train/mlp/seed4", 300)
    assert run.line(3).startswith("0 of 1 jobs are done")
    run.end("train/mlp/seed3", 300)
    assert run.line(4) == "1 of 1 jobs are done, in 4 s"


def test_a_record_that_cannot_be_read_is_none_yet(tmp_path: Path) -> None:
    run = Run(tmp_path, *train("mlp", 0))
    path = tmp_path / paths.record_of("train/mlp/seed0")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert run.line(1).startswith("0 of 1")
    run.end("train/mlp/seed0", 1)
    assert run.line(2).startswith("1 of 1")


def test_lines_are_told_and_noted_while_jobs_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remaining, "LINE_SECONDS", -1)
    (tmp_path / "logs").mkdir()
    (tmp_path / LOG).write_text("of the run before\n")
    run = Run(tmp_path, *train("mlp", 0, 1))
    told: list[str] = []
    watch = Watch(run.progress, told.append, every=0.01)
    run.now = 10
    time.sleep(0.2)
    assert told == [], "nothing new"
    run.end("train/mlp/seed0", 10)
    for _ in range(500):
        time.sleep(0.01 if not told else 0)
    run.end("train/mlp/seed1", 10)
    assert watch.end() == "2 of 2 jobs are done, in 10 s"
    assert told[0] == "1 of 2 jobs are done, about 50 % of the work; about 10 s left"
    lines = [line[20:] for line in (tmp_path / LOG).read_text().splitlines()]
    assert lines == [*told, "2 of 2 jobs are done, in 10 s"]


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("no folder")
    watch = Watch(Run(tmp_path, *train("mlp", 0)).progress, print)
    assert watch.end().startswith("0 of 1")


def test_times_are_told_as_one_says_them() -> None:
    assert [duration(seconds) for seconds in (0, 8.4, 89, 91, 5399, 5401, 90000, 200000)] == [
        "0 s", "8 s", "89 s", "2 min", "90 min", "1.5 h", "25.0 h", "2.3 days",
    ]  # fmt: skip


def test_kinds_are_rule_and_setting() -> None:
    assert kind_of("train", "train/mlp/seed0/full/segment001") == ("train", "mlp")
    assert kind_of("provenance", "provenance") == ("provenance", "provenance")
