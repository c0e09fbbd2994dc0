"""Training images a second on this GPU, and what share that is of what it multiplies matrices at."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from gpu.parts import ADAMW, DEVICE, MODELS, OBJECTIVE, SGD, crops, recipe, resnet18, side_by_side, switched
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.jobs.setup import use_device
from grokforget.training.loop import start, train, train_run
from grokforget.training.stack import train_stacked

CIFAR = DataShape((3, 32, 32), 10, mean=(0.4914, 0.4822, 0.4465), std=(0.247, 0.2435, 0.2616))
TARGET = 60_000
"""Training images a second of ResNet-18 (width 64, 3x3 stem) in bfloat16 at batch 128 to 512, on an H100 or H200."""
BACKWARD = 3
"""Forward and backward passes multiply three times as much as the forward pass alone."""


@dataclass(frozen=True)
class Size:
    """How much is measured: images, updates before and behind which the clock is read, and rows of the square matrices."""

    images: int = 12_800
    first: int = 120
    last: int = 900
    rows: int = 8192


REHEARSAL = Size(images=600, first=2, last=4, rows=64)


@dataclass(frozen=True)
class Variant:
    """One way to compute a step."""

    name: str
    precision: str = "bfloat16"
    cuda_graph: bool = True
    deterministic: bool = True
    part: float = 1.0
    """Of the updates, where they take long."""


VARIANTS = (
    Variant("as a study runs it: bfloat16, CUDA graph, deterministic algorithms"),
    Variant("kernel by kernel", cuda_graph=False),
    Variant("cuDNN's fastest algorithms, timed, not deterministic", deterministic=False),
    Variant("float32 without TF32", precision="float32", part=0.3),
)


def synchronise() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def matmul_rate(rows: int) -> float:
    """Floating-point operations a second of a product of two square bfloat16 matrices of random numbers: the median of 20."""
    a, b = (torch.randn((rows, rows), device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(25):
        synchronise()
        began = time.perf_counter()
        a @ b
        synchronise()
        seconds.append(time.perf_counter() - began)
    return 2 * rows**3 / statistics.median(seconds[5:])


def operations(model: nn.Module, x: Tensor) -> int:
    """Multiplications and additions of one example's forward pass in convolutions and linear layers."""
    counted = 0

    def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        weight: Any = module.weight
        positions = output[0, 0].numel() if isinstance(module, nn.Conv2d) else 1
        counted += 2 * weight.numel() * positions

    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        model.eval()(x[:1])
    for hook in hooks:
        hook.remove()
    return counted


@contextmanager
def algorithms(deterministic: bool) -> Iterator[None]:
    with switched(torch.backends.cudnn, deterministic=deterministic, benchmark=not deterministic):
        yield


def images_a_second(build: Callable[[DataShape], nn.Module], variant: Variant, batch: int, size: Size) -> float:
    """Of the training loop itself, with crops and flips, between two of its evaluations."""
    device = use_device(SimpleNamespace(threads=1, device=DEVICE))  # type: ignore[arg-type]
    drawn = torch.Generator().manual_seed(0)
    model: Any = build(CIFAR).to(device)
    x = model.encode(torch.randint(256, (size.images, *CIFAR.example), generator=drawn, dtype=torch.uint8)).to(device)
    y = torch.randint(10, (size.images,), generator=drawn).to(device)
    splits = {"train": Examples(x, y), "validation": Examples(x[:512], y[:512]), "test": Examples(x[:512], y[:512])}
    grids = {"evaluate_every": 10**6, "evaluations_per_decade": 1, "snapshots_per_decade": 1}
    spec = recipe(
        SGD,
        batch_size=batch,
        precision=variant.precision,
        cuda_graph=variant.cuda_graph,
        augmentation=crops(4, True),
        **grids,
    )
    state = start(model, spec.optimizer)
    last = size.first + max(1, round(variant.part * (size.last - size.first)))
    read: list[float] = []

    def on_step(segment: object) -> None:
        if state.step in (size.first, last):
            synchronise()
            read.append(time.perf_counter())

    with algorithms(variant.deterministic):
        train(state, splits, spec, OBJECTIVE, seed=0, stop=last + 1, on_step=on_step)
    return batch * (last - size.first) / (read[1] - read[0])


def report(size: Size = Size(), build: Callable[[DataShape], nn.Module] = resnet18) -> str:
    """A table in Markdown: each variant at batch 128 and 512."""
    rate = matmul_rate(size.rows)
    model: Any = build(CIFAR)
    per_image = BACKWARD * operations(model, torch.zeros((1, *CIFAR.example), dtype=torch.uint8))
    lines = [
        f"{size.rows}x{size.rows} bfloat16 product: {rate / 1e12:.0f} TFLOP/s. A training image of the model is "
        f"{per_image / 1e9:.2f} GFLOP in convolutions and linear layers. Target: {TARGET:,} images/s.\n",
        "| | batch | images/s | TFLOP/s | share of the product's |\n|---|--:|--:|--:|--:|",
    ]
    for variant in VARIANTS:
        for batch in (128, 512):
            # The end lies between two evaluations, which are at powers of ten.
            images = images_a_second(build, variant, batch, size)
            lines.append(
                f"| {variant.name} | {batch} | {images:,.0f} | {images * per_image / 1e12:.1f} | "
                f"{images * per_image / rate:.0%} |"
            )
    if DEVICE == "cuda":
        lines.append(f"\nMost memory at once: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB.")
    return "\n".join(lines)


def of_stacks(runs: int, steps: int) -> str:
    """Small runs that take their steps together, and one after another, in microseconds of wall time a step and run."""
    grids = {"evaluate_every": 10**6, "evaluations_per_decade": 1, "snapshots_per_decade": 1}
    given = recipe(ADAMW, batch_size=None, **grids)
    took = []
    for train_all in (train_stacked, lambda together: [train_run(run) for run in together]):
        together = side_by_side("mlp", given, DEVICE, runs, steps)
        synchronise()
        began = time.perf_counter()
        train_all(together)
        synchronise()
        took.append((time.perf_counter() - began) / steps / runs)
    return (
        f"\n{runs} MLPs on digits: {1e6 * took[0]:.0f} µs a step and run stacked, {1e6 * took[1]:.0f} µs one after another, "
        f"ratio {took[0] / took[1]:.2f}."
    )


if __name__ == "__main__":
    rehearsed = "--rehearse" in sys.argv
    print(report(REHEARSAL, MODELS["cnn"]) if rehearsed else report())
    print(of_stacks(4, 5) if rehearsed else of_stacks(32, 1000))
