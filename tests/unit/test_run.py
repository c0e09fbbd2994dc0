"""A job does no item twice, and what it has done survives whatever ends it."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors import SafetensorError

from grokforget.config.specs import runs
from grokforget.config.specs.base import Item, JobSpec
from grokforget.runtime import paths, run, spec_file, store
from grokforget.runtime.errors import ItemsFailed, explain, noted
from grokforget.runtime.files import DamagedFile, read_table, read_tensors, write_rows, write_tensors
from grokforget.runtime.gpu import NoDevice
from grokforget.runtime.job import Job
from grokforget.runtime.record import read_record
from grokforget.runtime.run import FORCED, run_job
from grokforget.runtime.signals import Interrupted
from grokforget.runtime.spec_file import load_spec, read_spec, write_spec
from grokforget.runtime.store import ENTRY, Store, item_key, place
from small import small


class NumberSpec(JobSpec):
    """Of the job of these tests. Its function is named for its code alone: what runs is ``Batch.job``."""

    function: ClassVar[str] = "grokforget.jobs.prepare:split"
    libraries: ClassVar[tuple[str, ...]] = ("numpy",)
    value: int
    shared: int = 1


class Batch:
    """A job of items that write their number; ``ran`` says which did."""

    def __init__(self, root: Path, key: str = "metrics/mlp/seed0") -> None:
        self.root, self.key = root, key
        self.ran: list[Job] = []
        self.before_last: Callable[[Job], None] = lambda job: None
        self.write("first")
        self.write("second")

    def write(self, name: str, value: float = 1.0) -> None:
        """Something that the items read."""
        write_rows(self.root / "in" / f"{name}.parquet", [{"value": value}])

    def items(self, values: Mapping[str, int], shared: int = 1, reads: tuple[str, ...] = ("first",)) -> dict[str, Item]:
        return {
            name: Item(
                NumberSpec(value=value, shared=shared),
                {"parts": [f"in/{file}.parquet" for file in reads]},
                {"table": f"{self.key}/{name}.parquet", "weights": f"{self.key}/{name}/weights.safetensors"},
            )
            for name, value in values.items()
        }

    def job(self, job: Job[NumberSpec]) -> None:
        self.ran.append(job)
        write_rows(job.outputs["table"], [{"value": job.spec.value}])
        self.before_last(job)
        write_tensors(job.outputs["weights"], {"value": np.array([job.spec.value, job.spec.shared])})

    def run(self, items: Mapping[str, Item], rule: str = "batch") -> dict[str, str]:
        """What was done with each item."""
        self.ran.clear()
        self.delete()
        run_job(write_spec(self.root, self.key, items, rule), self.record)
        noted = read_record(self.record)
        assert noted
        return {name: item["status"] for name, item in noted["items"].items()}

    def delete(self) -> None:
        """As Snakemake does before it runs a job again."""
        self.record.unlink(missing_ok=True)
        for path in sorted((self.root / self.key).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    @property
    def record(self) -> Path:
        return self.root / paths.record_of(self.key)

    @property
    def store(self) -> Store:
        return Store(self.root)

    def key_of(self, name: str) -> str:
        noted = read_record(self.record)
        assert noted
        key: str = noted["items"][name]["key"]
        return key

    def files(self, name: str) -> list[Path]:
        return [self.root / self.key / f"{name}.parquet", self.root / self.key / name / "weights.safetensors"]

    def values(self, name: str) -> list[int]:
        table, weights = self.files(name)
        return [*read_table(table)["value"], *read_tensors(weights)[0]["value"]]


@pytest.fixture
def batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.delenv(store.VARIABLE, raising=False)
    made = Batch(tmp_path / "results" / "small")
    load = run.load_implementation
    monkeypatch.setattr(
        run, "load_implementation", lambda path: made.job if path == NumberSpec.function else load(path)
    )
    return made


ABC = {"a": 1, "b": 2, "c": 3}


def test_every_item_gets_its_own_files_and_spec(batch: Batch) -> None:
    assert batch.run(batch.items(ABC, 7, ("first", "second"))) == dict.fromkeys(ABC, "computed")
    assert {name: batch.values(name) for name in ABC} == {name: [v, v, 7] for name, v in ABC.items()}
    assert [job.spec for job in batch.ran] == [NumberSpec(value=value, shared=7) for value in ABC.values()]
    read = [batch.root / "in" / f"{name}.parquet" for name in ("first", "second")]
    assert [job.inputs for job in batch.ran] == [{"parts": read}] * 3
    assert {job.root for job in batch.ran} == {batch.root}
    for job in batch.ran:
        # The ending says what kind of file it is, and results appear in place whole, and only once they are kept.
        assert {name: path.suffix for name, path in job.outputs.items()} == {
            "table": ".parquet",
            "weights": ".safetensors",
        }
        assert batch.root / batch.key not in [parent for path in job.outputs.values() for parent in path.parents]


def test_what_a_job_did_is_noted(batch: Batch) -> None:
    items = batch.items(ABC)
    batch.run(items)
    noted = read_record(batch.record)
    assert noted
    assert noted["spec"] == load_spec(batch.root / paths.spec_of(batch.key))
    assert noted["read"].keys() == {"in/first.parquet"}
    assert noted["wrote"].keys() == {path.relative_to(batch.root).as_posix() for n in ABC for path in batch.files(n)}
    for file, wrote in noted["wrote"].items():
        assert wrote == {"sha256": store.sha256(batch.root / file), "bytes": (batch.root / file).stat().st_size}
    assert noted["costs"].keys() == {"imports_s", "work_s", "peak_mb"}


@pytest.mark.parametrize(
    ("then", "computed"),
    [
        ({"values": ABC}, set()),
        ({"values": {"c": 3, "a": 1, "b": 2}}, set()),
        ({"values": {**ABC, "b": 20}}, {"b"}),
        ({"values": {**ABC, "d": 4}}, {"d"}),
        ({"values": {"a": 1}}, set()),
        ({"values": {"c": 3, "d": 4}}, {"d"}),
        ({"values": {"other": 1}}, set()),
        ({"values": ABC, "shared": 2}, {"a", "b", "c"}),
        ({"values": ABC, "reads": ("second",)}, set()),
        ({"values": ABC, "reads": ("first", "second")}, {"a", "b", "c"}),
    ],
    ids=["again", "in another order", "one changed", "one more", "two less", "others", "the same of another name",
         "what all share", "a file of the same content", "one file more"],
)  # fmt: skip
def test_only_items_whose_key_is_new_are_computed(batch: Batch, then: dict[str, Any], computed: set[str]) -> None:
    batch.run(batch.items(ABC))
    done = batch.run(batch.items(**then))
    assert {name for name, what in done.items() if what == "computed"} == computed
    assert done.keys() == then["values"].keys()
    assert len(batch.ran) == len(computed)
    shared = then.get("shared", 1)
    assert {name: batch.values(name) for name in done} == {n: [v, v, shared] for n, v in then["values"].items()}


def test_other_bytes_of_what_is_read_are_another_key_and_the_same_bytes_none(batch: Batch) -> None:
    items = batch.items(ABC)
    batch.run(items)
    batch.write("first", 2.0)
    assert batch.run(items) == dict.fromkeys(ABC, "computed")
    batch.write("first", 1.0)
    assert batch.run(items) == dict.fromkeys(ABC, "kept"), "as it was before"


@pytest.mark.parametrize(
    "part", ["function", "spec", "code", "versions", "format", "outputs", "input", "another input"]
)
def test_all_that_decides_the_bytes_is_in_the_key(batch: Batch, part: str) -> None:
    item = spec_file.content(batch.items({"a": 1}))["items"]["a"]
    inputs = {"parts": [batch.root / "in" / "first.parquet"]}
    key = item_key(1, item, inputs)
    assert item_key(1, json.loads(json.dumps(item)), inputs) == key
    # Not in it: where things lie, and the class that the spec is read as.
    elsewhere = {"table": "x/a.parquet", "weights": "y/w.safetensors"}
    assert item_key(1, {**item, "outputs": elsewhere, "inputs": {}, "type": "other:Other"}, inputs) == key
    if part == "format":
        other = item_key(2, item, inputs)
    elif part == "input":
        batch.write("first", 2.0)
        other = item_key(1, item, inputs)
    elif part == "another input":
        other = item_key(1, item, {"others": inputs["parts"]})
    elif part == "outputs":
        other = item_key(1, {**item, "outputs": {"table": "a.parquet"}}, inputs)
    else:
        other = item_key(1, {**item, part: {"changed": 1}}, inputs)
    assert other != key


def test_a_missing_input_is_damage_before_anything_is_computed(batch: Batch) -> None:
    (batch.root / "in" / "first.parquet").unlink()
    with pytest.raises(DamagedFile, match=r"in/first\.parquet is missing"):
        batch.run(batch.items(ABC))
    assert batch.ran == []


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
@pytest.mark.parametrize("which", ["table.parquet", "weights.safetensors", ENTRY])
def test_a_damaged_entry_is_made_anew_and_no_other(
    batch: Batch, damage: Callable[[Path], None], which: str, caplog: pytest.LogCaptureFixture
) -> None:
    items = batch.items(ABC)
    batch.run(items)
    folder = batch.store.entry(batch.key_of("b"))
    damage(folder / which)
    with caplog.at_level(logging.INFO, logger="grokforget"):
        done = batch.run(items)
    assert done == {"a": "kept", "b": "computed", "c": "kept"}
    assert {name: batch.values(name) for name in ABC} == {name: [v, v, 1] for name, v in ABC.items()}
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{folder} is damaged (")
    assert warnings[0].endswith("made anew")
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert told[:3] == [f"{n}: {w}" for n, w in done.items()]


def test_a_damaged_result_is_damaged_in_the_store_too_and_made_anew(batch: Batch) -> None:
    """They are one file; results that were copied are not, and come from the store."""
    items = batch.items(ABC)
    batch.run(items)
    flip(batch.files("b")[0])
    assert batch.run(items) == {"a": "kept", "b": "computed", "c": "kept"}
    path = batch.files("b")[0]
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    assert batch.run(items) == dict.fromkeys(ABC, "kept")
    assert batch.values("b") == [2, 2, 1]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), SafetensorError("I/O error (os error 28)"), DamagedFile(Path("a"), "is damaged"),
     MemoryError(), NoDevice(), Interrupted(signal.SIGTERM)],
)  # fmt: skip
def test_items_that_were_finished_survive_an_error_that_would_meet_all(batch: Batch, error: BaseException) -> None:
    batch.run(batch.items({**ABC, "d": 9}))
    d = batch.key_of("d")
    new = batch.items({"a": 1, "b": 20, "c": 30, "e": 40})

    def fail(job: Job) -> None:
        if job.spec.value == 30:
            raise error

    batch.before_last = fail
    with pytest.raises(type(error)):
        batch.run(new)
    assert not batch.record.exists()
    # Nor is anything of before let go: the next run may be for the old spec again.
    assert batch.store.find(d)
    batch.before_last = lambda job: None
    assert batch.run(new) == {"a": "kept", "b": "kept", "c": "computed", "e": "computed"}
    assert [batch.values(name)[0] for name in ("a", "b", "c", "e")] == [1, 20, 30, 40]


def test_items_that_fail_are_named_with_their_reasons_once_the_others_are_done(
    batch: Batch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is wrong with one method is not wrong with the others of its batch."""
    items = batch.items({**ABC, "d": 4})

    def fail(job: Job) -> None:
        if job.spec.value in (2, 3):
            with noted("checkpoint", "grokked"):
                raise (ValueError if job.spec.value == 2 else RuntimeError)(f"no {job.spec.value}")

    batch.before_last = fail
    with pytest.raises(ItemsFailed) as failed:
        batch.run(items)
    assert explain(failed.value) == (
        f"ItemsFailed: 2 of 4 items of {batch.key}, what was done is kept: b: ValueError: no 2 (checkpoint grokked); "
        "c: RuntimeError: no 3 (checkpoint grokked)"
    )
    assert "b failed; the other items go on" in caplog.text
    assert "Traceback" in caplog.text
    assert not batch.record.exists(), "the job has not done what it was to do"
    batch.before_last = lambda job: None
    assert batch.run(items) == {"a": "kept", "b": "computed", "c": "computed", "d": "kept"}


def test_an_item_that_reads_what_a_failed_one_should_have_made_fails_with_it_and_no_other_does(batch: Batch) -> None:
    items = batch.items({"a": 1, "b": 2, "c": 3})
    items["b"] = Item(items["b"].spec, {"parts": items["a"].outputs["table"]}, items["b"].outputs)

    def fail(job: Job) -> None:
        if job.spec.value == 1:
            raise ValueError("no 1")

    batch.before_last = fail
    with pytest.raises(ItemsFailed, match=r"2 of 3 items .*a: ValueError: no 1; b: what it reads was not made"):
        batch.run(items)
    assert [job.spec.value for job in batch.ran] == [1, 3]
    batch.before_last = lambda job: None
    batch.run(items)
    assert [job.spec.value for job in batch.ran] == [1, 2], "c is kept"


def test_a_job_that_is_no_batch_raises_what_its_function_raises(batch: Batch) -> None:
    def fail(job: Job) -> None:
        raise ValueError("wrong")

    batch.before_last = fail
    with pytest.raises(ValueError, match="wrong"):
        batch.run({"": batch.items(ABC)["a"]})


def test_items_that_were_finished_survive_a_kill(batch: Batch) -> None:
    items = batch.items(ABC)
    batch.before_last = lambda job: os.kill(os.getpid(), signal.SIGKILL) if job.spec.value == 3 else None
    process = multiprocessing.get_context("fork").Process(target=batch.run, args=(items,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not batch.files("c")[0].exists()
    assert not batch.record.exists()
    batch.before_last = lambda job: None
    assert batch.run(items) == {"a": "kept", "b": "kept", "c": "computed"}
    # What the killed process was writing goes with the next clearing up.
    batch.store.sweep({batch.key: {batch.key_of(name) for name in ABC}})
    assert list((batch.store.folder / "unfinished").iterdir()) == []


def test_what_an_item_can_go_on_from_is_there_for_its_next_run_and_goes_when_it_is_done(batch: Batch) -> None:
    found: list[str] = []

    def interrupt(job: Job) -> None:
        assert job.scratch
        partial = job.scratch / "partial"
        found.append(partial.read_text() if partial.exists() else "nothing")
        partial.write_text(f"half of {job.spec.value}")
        if len(found) == 1:
            raise Interrupted(signal.SIGTERM)

    batch.before_last = interrupt
    with pytest.raises(Interrupted):
        batch.run(batch.items({"a": 1}))
    assert batch.run(batch.items({"b": 2})) == {"b": "computed"}
    assert batch.run(batch.items({"a": 1})) == {"a": "computed"}
    assert found == ["nothing", "nothing", "half of 1"], "each item has its own"
    assert list((batch.store.folder / "unfinished").iterdir()) == []


def test_what_an_item_can_go_on_from_outlives_an_error_of_its_record(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake deletes what a job has written that fails, be it at the last moment."""

    def fail(*given: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("grokforget.runtime.record.write_record", fail)
        with pytest.raises(OSError, match="No space left"):
            batch.run(batch.items(ABC))
    assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "kept")


# Forcing.
@pytest.mark.parametrize(
    "forced", ["*", "batch", "results/small/metrics/mlp/seed0", "results/small/metrics/mlp/seed0/b.parquet"]
)  # fmt: skip
def test_a_forced_job_computes_all_of_its_items(batch: Batch, forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(batch.root.parents[1])
    batch.root = batch.root.relative_to(batch.root.parents[1])
    batch.run(batch.items(ABC))
    keys = [batch.key_of(name) for name in ABC]
    old = [path.stat().st_ino for name in ABC for path in batch.files(name)]
    held = [open(path, "rb") for name in ABC for path in batch.files(name)]  # noqa: SIM115 - so that no number is used again
    (batch.root / FORCED).write_text(json.dumps(["another", forced]))
    assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "computed")
    assert [batch.key_of(name) for name in ABC] == keys
    assert not {path.stat().st_ino for name in ABC for path in batch.files(name)} & set(old)
    (batch.root / FORCED).write_text(json.dumps(["another", "results/small/metrics/mlp/seed1", "batc"]))
    assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "kept")
    (batch.root / FORCED).unlink()
    assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "kept")
    for file in held:
        file.close()


def test_what_a_forced_job_computes_takes_the_place_of_what_was_kept(batch: Batch) -> None:
    """As on a GPU, where the same job may give other bytes: what is put in place then is what was forced."""
    batch.run(batch.items({"a": 1}))
    batch.before_last = lambda job: write_rows(job.outputs["table"], [{"value": 5}])
    (batch.root / FORCED).write_text(json.dumps(["batch"]))
    batch.run(batch.items({"a": 1}))
    assert batch.values("a")[0] == 5
    (batch.root / FORCED).unlink()
    assert batch.run(batch.items({"a": 1})) == {"a": "kept"}
    assert batch.values("a")[0] == 5


def test_provenance_is_computed_whenever_its_job_runs(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads all records, which are none of its inputs."""
    monkeypatch.setattr(run, "ALWAYS", (NumberSpec.function,))
    for _ in range(2):
        assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "computed")


# Several at once.
def test_two_processes_with_one_key_both_finish_and_the_first_ones_files_stay(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of two users with one store, on a file system that knows no locks."""
    monkeypatch.setattr(Store, "locked", lambda store, key: nullcontext())
    other = Batch(batch.root.parents[1] / "elsewhere" / "results" / "small")
    items, inside = batch.items({"a": 1}), []

    def meanwhile(job: Job) -> None:
        batch.before_last = lambda job: None
        run_job(write_spec(other.root, other.key, other.items({"a": 1})), other.record)
        inside.append(other.store.entry(other.key_of("a")))

    monkeypatch.setenv(store.VARIABLE, str(batch.root / "shared"))
    batch.before_last = meanwhile
    assert batch.run(items) == {"a": "computed"}
    assert other.key_of("a") == batch.key_of("a")
    assert inside == [batch.store.entry(batch.key_of("a"))]
    assert batch.values("a") == other.values("a") == [1, 1, 1]
    for ours, theirs in zip(batch.files("a"), other.files("a"), strict=True):
        assert ours.samefile(theirs), "one entry, and both link to it"


RACE = """
import sys
from pathlib import Path
from grokforget.runtime.run import run_job
print("ready", flush=True)
sys.stdin.readline()
run_job(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_real_processes_with_one_key_at_the_same_time_all_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    environment = {
        **os.environ,
        store.VARIABLE: str(tmp_path / "store"),
        "PYTHONPATH": str(Path(run.__file__).parents[2]),
    }
    roots = [tmp_path / str(n) / "results" / "small" for n in range(3)]
    processes = []
    for root in roots:
        key = paths.DATA.format(data="addition")
        spec = write_spec(root, key, runs.prepare(small(), "addition"))
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", RACE, spec, root / paths.record_of(key)],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert len({(root / "data/addition/examples.safetensors").stat().st_ino for root in roots}) == 1
    assert len(list((tmp_path / "store").glob("??/*"))) == 1
    # One computes and the others wait for it.
    done = [read_record(root / paths.record_of("data/addition/examples")) for root in roots]
    assert sorted(noted["items"][""]["status"] for noted in done if noted) == ["computed", "kept", "kept"]
    assert list((tmp_path / "store" / "unfinished").iterdir()) == []


# The store.
def keys_of(batch: Batch, *names: str) -> dict[str, set[str]]:
    return {batch.key: {batch.key_of(name) for name in names}}


def entries(batch: Batch) -> set[str]:
    return {folder.name for folder in batch.store.entries()}


def test_results_are_links_and_take_no_second_room(batch: Batch) -> None:
    batch.run(batch.items(ABC))
    for name in ABC:
        for path, kept in zip(batch.files(name), ("table.parquet", "weights.safetensors"), strict=True):
            assert path.samefile(batch.store.entry(batch.key_of(name)) / kept)
    total, alone = batch.store.size()
    assert alone == 0 < total
    batch.delete()
    assert batch.store.size()[1] == sum(
        file.stat().st_size for folder in batch.store.entries() for file in folder.iterdir() if file.name != ENTRY
    )


def test_what_no_result_needs_any_more_is_swept(batch: Batch) -> None:
    batch.run(batch.items(ABC))
    before = {name: batch.key_of(name) for name in ABC}
    batch.run(batch.items({**ABC, "b": 20}))
    assert entries(batch) == {*before.values(), batch.key_of("b")}
    size = sum(file.stat().st_size for file in batch.store.entry(before["b"]).iterdir())
    assert batch.store.sweep(keys_of(batch, *ABC)) == size
    assert entries(batch) == {before["a"], before["c"], batch.key_of("b")}
    assert batch.store.sweep(keys_of(batch, *ABC)) == 0
    assert batch.run(batch.items({**ABC, "b": 20})) == dict.fromkeys(ABC, "kept")


def test_what_is_not_finished_is_not_swept(batch: Batch) -> None:
    """A job without a record: what it has done is for its next run."""
    batch.before_last = lambda job: (_ for _ in ()).throw(ValueError) if job.spec.value == 3 else None
    with pytest.raises(ItemsFailed):
        batch.run(batch.items(ABC))
    assert batch.store.sweep({"another/job": set()}) == 0
    assert batch.store.sweep({}) == 0
    batch.before_last = lambda job: None
    assert batch.run(batch.items(ABC)) == {"a": "kept", "b": "kept", "c": "computed"}


def test_what_an_interrupted_item_left_goes_once_its_job_is_done_without_it(batch: Batch) -> None:
    def interrupt(job: Job) -> None:
        assert job.scratch
        (job.scratch / "partial").write_text("half")
        raise Interrupted(signal.SIGTERM)

    batch.before_last = interrupt
    with pytest.raises(Interrupted):
        batch.run(batch.items({"a": 1}))
    batch.store.sweep({})
    assert len(list(batch.store.folder.glob("unfinished/*/partial"))) == 1
    batch.before_last = lambda job: None
    batch.run(batch.items({"a": 2}))
    batch.store.sweep(keys_of(batch, "a"))
    assert list(batch.store.folder.glob("unfinished/*")) == []


def test_what_a_result_links_to_stays_whoever_asks(batch: Batch) -> None:
    batch.run(batch.items(ABC))
    before = entries(batch)
    assert batch.store.sweep({batch.key: set()}) == 0
    assert entries(batch) == before


def test_results_that_are_no_links_keep_what_their_records_name(batch: Batch) -> None:
    """Where a file system knows none; and of a key that two jobs have, what either of them names."""
    batch.run(batch.items(ABC))
    named = keys_of(batch, *ABC)
    batch.delete()
    assert batch.store.sweep(named) == 0
    assert batch.store.sweep({batch.key: set(), "another/job": named[batch.key]}) == 0
    assert batch.store.sweep({batch.key: set()}) > 0
    assert entries(batch) == set()


def test_a_shared_store_is_swept_of_ones_own(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of what a study of the same name in another checkout has, which may be about to go on from it."""
    monkeypatch.setenv(store.VARIABLE, str(batch.root.parent / "shared"))
    other = Batch(batch.root.parents[1] / "other" / "results" / "small")
    run_job(write_spec(other.root, other.key, other.items({"z": 9})), other.record)
    other.delete()
    batch.run(batch.items(ABC))
    batch.delete()
    assert len(entries(batch)) == 4
    batch.store.sweep({batch.key: set()})
    assert len(entries(batch)) == 1
    assert batch.store.jobs() == set()
    assert other.store.jobs() == {other.key}


def test_an_empty_store_computes_everything_and_a_sweep_of_nothing_does_nothing(batch: Batch) -> None:
    assert batch.store.sweep({}) == 0
    assert batch.store.size() == (0, 0)
    batch.run(batch.items(ABC))
    batch.store.empty()
    assert batch.store.size() == (0, 0)
    assert {name: batch.values(name)[0] for name in ABC} == ABC, "results are no part of it"
    assert batch.run(batch.items(ABC)) == dict.fromkeys(ABC, "computed")


def test_the_store_lies_with_the_results_or_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("", None):
        monkeypatch.setenv(store.VARIABLE, value) if value is not None else monkeypatch.delenv(store.VARIABLE)
        own = Store(tmp_path / "results" / "small")
        assert (own.folder, own.shared) == (tmp_path / "results" / "small" / "store", False)
    monkeypatch.setenv(store.VARIABLE, str(tmp_path / "shared"))
    assert (Store(tmp_path / "results" / "small").folder, Store(tmp_path).shared) == (tmp_path / "shared", True)


# The spec file.
def test_a_spec_file_is_written_only_where_its_content_differs(batch: Batch) -> None:
    path = write_spec(batch.root, batch.key, batch.items(ABC), "batch")
    assert path == batch.root / "specs" / batch.key / "spec.json"
    os.utime(path, ns=(0, 10**9))
    write_spec(batch.root, batch.key, batch.items(ABC), "batch")
    assert path.stat().st_mtime_ns == 10**9
    write_spec(batch.root, batch.key, batch.items({**ABC, "b": 20}), "batch")
    assert path.stat().st_mtime_ns > 10**9
    os.utime(path, ns=(0, 10**9))
    write_spec(batch.root, batch.key, batch.items({**ABC, "b": 20}), "renamed")
    assert path.stat().st_mtime_ns > 10**9


def again(batch: Batch, items: Mapping[str, Item]) -> bool:
    """Whether planning tells Snakemake by the spec file that the job is to run again."""
    path = batch.root / paths.spec_of(batch.key)
    before = path.read_bytes()
    write_spec(batch.root, batch.key, items, "batch")
    return path.read_bytes() != before


def test_results_that_hold_leave_the_spec_file_as_it_is(batch: Batch) -> None:
    items = batch.items(ABC)
    batch.run(items)
    assert not again(batch, items)
    batch.write("first", 1.0)
    assert not again(batch, items), "the same bytes, whenever they were written"
    # What is not there will be made before the job runs, if at all.
    (batch.root / "in" / "first.parquet").unlink()
    assert not again(batch, items)


def test_a_record_of_another_spec_is_told(batch: Batch) -> None:
    """Where it was copied over the results: Snakemake sees neither its content nor that it is of another spec."""
    batch.run(batch.items({**ABC, "b": 20}))
    record = batch.record.read_bytes()
    batch.run(batch.items(ABC))
    batch.record.write_bytes(record)
    assert again(batch, batch.items(ABC))


@pytest.mark.parametrize("which", [0, 1])
def test_a_missing_result_is_told(batch: Batch, which: int) -> None:
    """Snakemake knows of a folder only whether it is there."""
    items = batch.items(ABC)
    batch.run(items)
    batch.files("b")[which].unlink()
    assert again(batch, items)
    assert batch.run(items) == dict.fromkeys(ABC, "kept")
    assert not again(batch, items)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"spec": {}}'])
def test_results_without_a_record_that_can_be_read_are_told(batch: Batch, content: bytes | None) -> None:
    batch.run(batch.items(ABC))
    batch.record.write_bytes(content) if content is not None else batch.record.unlink()
    assert again(batch, batch.items(ABC))


def test_results_of_other_bytes_than_lie_there_are_told(batch: Batch) -> None:
    """As where results were copied over others."""
    batch.run(batch.items(ABC))
    batch.write("first", 3.0)
    assert again(batch, batch.items(ABC))


def test_without_results_there_is_nothing_to_tell(batch: Batch) -> None:
    """The first time, and while the job runs: Snakemake has deleted them then."""
    write_spec(batch.root, batch.key, batch.items(ABC), "batch")
    assert not again(batch, batch.items(ABC))
    batch.run(batch.items(ABC))
    batch.delete()
    assert not again(batch, batch.items(ABC))


def test_how_often_a_job_was_told_to_run_again_decides_nothing(batch: Batch) -> None:
    items = batch.items(ABC)
    batch.run(items)
    for _ in range(3):
        batch.record.write_bytes(b"")
        assert again(batch, items)
    assert batch.run(items) == dict.fromkeys(ABC, "kept")


@pytest.mark.parametrize("key", ["tables/summary", "figures/figure1a", "paper/table1", "provenance", "tuning/choice"])
def test_what_no_job_reads_is_compared_with_what_was_written(
    tmp_path: Path, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files are checked by those who read them, and there may be very much of them."""
    made = Batch(tmp_path / "results" / "small", key)
    monkeypatch.setattr(run, "load_implementation", lambda path: lambda job: job.outputs["csv"].write_text("written"))
    for name, told in ((f"{key}.csv", True), ("between/a.csv", False)):
        item = Item(NumberSpec(value=1), {}, {"csv": name})
        run_item(made, item)
        assert not again(made, {"": item})
        path = made.root / name
        path.unlink()
        path.write_text("WRITTEN")
        assert again(made, {"": item}) == told


def run_item(batch: Batch, item: Item) -> None:
    run_job(write_spec(batch.root, batch.key, {"": item}, "batch"), batch.record)


def test_code_that_was_changed_after_planning_is_not_run(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_spec(batch.root, batch.key, batch.items(ABC))
    assert read_spec(path)["items"].keys() == ABC.keys()
    monkeypatch.setattr(spec_file, "fingerprint", lambda *names: "other")
    with pytest.raises(RuntimeError, match=f"the code behind {path} was changed after this job was planned"):
        run_job(path, batch.record)
    assert (batch.ran, batch.record.exists()) == ([], False)


def test_a_spec_file_that_is_missing_is_no_job(batch: Batch) -> None:
    path = batch.root / "specs" / "nothing.json"
    assert load_spec(path)["items"] == {}
    with pytest.raises(FileNotFoundError):
        run_job(path, batch.root / "jobs" / "nothing.json")
    assert not (batch.root / "jobs").exists()


def test_a_file_of_the_users_own_is_read_where_it_lies_and_goes_by_its_content(batch: Batch, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("1")
    item = Item(NumberSpec(value=1), {"numbers": str(own)}, batch.items({"a": 1})["a"].outputs)
    assert batch.run({"a": item}) == {"a": "computed"}
    assert batch.ran[0].inputs == {"numbers": [own]}
    assert batch.run({"a": item}) == {"a": "kept"}
    own.write_text("2")
    assert batch.run({"a": item}) == {"a": "computed"}


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
        monkeypatch.setattr(store.os, "link", no_links)
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
