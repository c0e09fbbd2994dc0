"""Every job of a machine gets a GPU, on which no more run than may. No GPU is needed: only their names are dealt with."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

import pytest
import torch

from grokforget.runtime import gpu as devices
from grokforget.runtime.errors import explain, meets_all
from grokforget.runtime.run import compute

SOURCE = Path(devices.__file__).parents[2]
HOLD = "from grokforget.runtime import gpu as devices; print(devices.claim({}), flush=True); input()"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of their own, for this process and those that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(devices, "FOLDER", tmp_path / "locks")
    monkeypatch.setattr(devices, "_held", [])
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    for name in (devices.SHARED, devices.WORKSPACE):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def holder(count: int = 1) -> tuple[subprocess.Popen[str], str]:
    """A process that has claimed so many GPUs, and which."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def test_two_jobs_get_two_gpus_and_one_is_free_again_when_its_job_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "3,5")
    (first, one), (second, two) = holder(), holder()
    try:
        assert {one, two} == {"3", "5"}
        first.kill()
        first.wait()
        third, three = holder()
        third.kill()
        assert three == one
    finally:
        for process in (first, second):
            process.kill()


def test_a_job_sees_its_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "GPU-a,GPU-b")
    assert devices.claim() == "GPU-a"
    assert devices.visible() == ["GPU-a"]


def test_a_job_of_several_items_takes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time it would wait for itself."""
    monkeypatch.setenv(devices.VISIBLE, "GPU-a,GPU-b")
    assert [devices.claim(patience=0.1) for _ in range(3)] == ["GPU-a"] * 3
    assert len(devices._held) == 1


def test_where_all_are_taken_it_says_so_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0")
    process, _ = holder()
    try:
        monkeypatch.setattr(devices, "FOLDER", next(Path(devices.FOLDER.parent).glob("grokforget-gpus-*")))
        with pytest.raises(devices.NoDevice, match="have been taken by other jobs"):
            devices.claim(patience=0.1)
    finally:
        process.kill()


@pytest.mark.parametrize("seen", ["", "-1", "NoDevFiles"])
def test_none_is_an_error_that_says_what_to_do(seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, seen)
    with pytest.raises(devices.NoDevice, match="give `device: cpu`, or a profile with GPUs"):
        devices.claim()


def test_without_the_variable_the_machine_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "GPU 0: A (UUID: x)"\necho "GPU 1: A (UUID: y)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert devices.visible() == ["0", "1"]
    program.unlink()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices.visible() == []


@contextmanager
def holders(monkeypatch: pytest.MonkeyPatch, *shared: int, counts: Sequence[int] = ()) -> Iterator[list[str]]:
    """Processes that have claimed GPUs one after the other, each told how many jobs a GPU may have, and how many GPUs it is
    to claim, 1 where that is not given."""
    processes, names = [], []
    try:
        for jobs, count in zip_longest(shared, counts, fillvalue=1):
            monkeypatch.setenv(devices.SHARED, str(jobs))
            process, name = holder(count)
            processes.append(process)
            names.append(name)
        monkeypatch.setattr(devices, "FOLDER", next(Path(devices.FOLDER.parent).glob("grokforget-gpus-*")))
        yield names
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_jobs_that_share_gpus_fill_them_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    with holders(monkeypatch, 2, 2, 2) as names:
        assert names == ["0", "1", "0"]
        assert devices.claim(patience=0.1) == "1"
        monkeypatch.setattr(devices, "_held", [])
        monkeypatch.setenv(devices.VISIBLE, "0")
        with pytest.raises(devices.NoDevice, match="have been taken by other jobs"):
            devices.claim(patience=0.1)


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1), (1, 1)])
def test_a_job_that_wants_a_gpu_alone_shares_it_with_no_other_study(
    first: int, second: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0")
    with holders(monkeypatch, first):
        devices.share(second)
        with pytest.raises(devices.NoDevice, match="have been taken by other jobs"):
            devices.claim(patience=0.1)


def test_a_job_of_several_processes_takes_as_many_gpus_and_sees_these_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,GPU-b,2")
    with holders(monkeypatch, 1) as names:
        assert names == ["0"]
        assert devices.claim(2, patience=0.1) == "GPU-b,2"
        assert devices.visible() == ["GPU-b", "2"]
        assert devices.claim(2, patience=0.1) == "GPU-b,2", "a further item of it takes no others"


def test_it_holds_none_while_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that waited for each other's would wait for ever."""
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    with holders(monkeypatch, 1):
        with pytest.raises(devices.NoDevice, match=r"all GPUs \(0, 1\) have been taken by other jobs"):
            devices.claim(2, patience=0.1)
        assert devices.claim(patience=0.1) == "1"


def test_its_gpus_are_free_again_when_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    with holders(monkeypatch, 1, counts=[2]) as names:
        assert names == ["0,1"]
        with pytest.raises(devices.NoDevice):
            devices.claim(patience=0.1)
    assert devices.claim(2, patience=5) == "0,1"


def test_of_shared_gpus_it_takes_a_place_on_different_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,1,2")
    with holders(monkeypatch, 2, 2, counts=[1, 2]) as names:
        # The first places of two GPUs are left when it comes.
        assert names == ["0", "1,2"]
        assert devices.claim(3, patience=0.1) == "0,1,2"
        monkeypatch.setattr(devices, "_held", [])
        monkeypatch.setenv(devices.VISIBLE, "0,1,2")
        with pytest.raises(devices.NoDevice, match="have been taken by other jobs"):
            devices.claim(patience=0.1)


def test_it_takes_one_place_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "1,0")
    with holders(monkeypatch, 2) as names:
        assert names == ["1"]
        # The second place of GPU 1 is left, and both of GPU 0.
        monkeypatch.setenv(devices.VISIBLE, "0,1")
        assert devices.claim(2, patience=0.1) == "0,1"
        monkeypatch.setattr(devices, "_held", [])
        monkeypatch.setenv(devices.VISIBLE, "0,1")
        assert devices.claim(patience=0.1) == "0"


@pytest.mark.parametrize(("processes", "count"), [({}, 1), ({"processes": 3}, 3)])
def test_a_job_claims_as_many_as_its_spec_says(
    processes: dict[str, int], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def claim(asked: int) -> None:
        raise devices.NoDevice(str(asked))

    monkeypatch.setattr(devices, "claim", claim)
    with pytest.raises(devices.NoDevice, match=f"^{count}$"):
        compute({"key": ({"spec": {"device": "cuda", **processes}}, {})}, Path(), None, "", {}, False)


def test_more_processes_than_gpus_are_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0,1")
    with pytest.raises(devices.NoDevice, match=r"`processes: 4` .* this job sees 2 \(0, 1\); give at most 2"):
        devices.claim(4)


def test_a_job_on_a_gpu_adds_up_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(devices.VISIBLE, "0")
    devices.claim()
    assert os.environ[devices.WORKSPACE] == ":4096:8"


OUT_OF_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.00 GiB is free."
)


def test_too_little_memory_says_how_much_is_needed_and_what_lowers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1 * 2**30, 79 * 2**30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 48 * 2**30)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 45 * 2**30)
    error = torch.OutOfMemoryError(OUT_OF_MEMORY)
    error.add_note("checkpoint grokked")
    told = explain(error)
    assert "needed at least 47.5 GiB, the GPU has 79.0 GiB, of which other jobs and CUDA itself hold 30.0 GiB" in told
    assert "`batch_size`" in told
    assert "`jobs_per_gpu`" in told
    assert "(checkpoint grokked)" in told
    assert not meets_all(error), "another method may take less"


def test_other_errors_are_none_of_memory() -> None:
    assert not devices.is_out_of_memory(RuntimeError("out of memory"))
    assert not devices.is_out_of_memory(type("OutOfMemoryError", (Exception,), {"__module__": "mine"})())
