"""How a job computes on its processor: without subnormal numbers, and with memory that it keeps."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from grokforget.jobs.setup import use_device
from grokforget.training.optimizers import adamw

SOURCE = Path(__file__).parents[2] / "workflow" / "src"
SPEC: Any = SimpleNamespace(threads=1, device="cpu")
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


def fading_gradient() -> tuple[torch.Tensor, torch.Tensor]:
    """A weight after 900 updates of AdamW, of which the first alone had a gradient, and its first moment."""
    weight = torch.nn.Parameter(torch.linspace(-2, 2, 50))
    optimizer = adamw([weight], 1e-3, 0.1)
    for update in range(900):
        weight.grad = torch.full_like(weight, float(update == 0))
        optimizer.step()
    return weight.detach(), optimizer.state[weight]["exp_avg"]


def subnormal(moment: torch.Tensor) -> bool:
    torch.set_flush_denormal(False)  # else comparing would take them for 0
    return bool(((moment != 0) & (moment.abs() < SMALLEST_NORMAL)).any())


def test_a_job_computes_without_subnormal_numbers_and_its_weights_are_the_same_bits() -> None:
    torch.set_flush_denormal(False)
    weight, moment = fading_gradient()
    assert subnormal(moment), "or this shows nothing"
    use_device(SPEC)
    flushed_weight, flushed_moment = fading_gradient()
    assert not subnormal(flushed_moment)
    assert torch.equal(weight, flushed_weight)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_computes_in_float32_where_that_is_asked_for_and_the_same_every_time(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as it can be told without one: torch's switches are there all the same."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    for name, value in (("allow_tf32", True), ("benchmark", True), ("deterministic", False)):
        monkeypatch.setattr(cudnn, name, value)
    assert not matmul.allow_tf32, "as torch has it by itself"
    assert use_device(SimpleNamespace(threads=1, device=device)).type == device
    on_gpu = device == "cuda"
    assert (cudnn.allow_tf32, cudnn.benchmark) == (not on_gpu,) * 2
    assert not matmul.allow_tf32
    assert cudnn.deterministic == on_gpu


GLIBC = {"MALLOC_MMAP_THRESHOLD_": str(2**17), "MALLOC_TRIM_THRESHOLD_": str(2**17)}
"""What glibc begins with. Given so, it keeps to it: by itself it raises both as it goes, and what it gives back is chance."""

FAULTS = """
import resource, sys, torch
from types import SimpleNamespace
from grokforget.jobs.setup import use_device
if sys.argv[1] == "job":
    use_device(SimpleNamespace(threads=1, device="cpu"))
def step():
    a = torch.ones(2**21); b = a + 1; c = b + 1; return c + 1
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
for _ in range(20):
    before = faults()
    step()
    print(faults() - before)
"""


def page_faults(where: str) -> list[int]:
    """Of each of 20 steps that make and drop tensors of 8 MB (2,048 pages), in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, where],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(SOURCE)} | GLIBC,
    )
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep memory by rules of their own")
def test_a_job_keeps_the_memory_of_its_tensors() -> None:
    # The middle one of the steps: a process may grow late, in one of them, and is cleared its new memory then.
    job, plain = (median(page_faults(where)) for where in ("job", "plain"))
    assert job < 10 < 2048 <= plain
