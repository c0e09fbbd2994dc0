"""The training loop on a GPU: the batches of a CPU, no waiting, and CUDA graphs that change nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from gpu.parts import ADAMW, DEVICE, SGD, Run, crops, distance, needs_gpu, needs_real_gpu, recipe, weights
from grokforget.data.loader import Examples, training_loader
from grokforget.runtime.errors import explain
from grokforget.training.augmentations.crop_flip import CropFlip
from grokforget.training.gradient import Gradient

pytestmark = needs_gpu


def test_order_and_augmentation_of_the_batches_are_those_of_a_cpu() -> None:
    drawn = torch.Generator().manual_seed(0)
    x, y = torch.randint(256, (50, 3, 12, 12), generator=drawn, dtype=torch.uint8), torch.arange(50)
    loaders = [training_loader(Examples(x.to(device), y.to(device)), 8, 3) for device in ("cpu", DEVICE)]
    augmentation = CropFlip(padding=4, flip=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        for step in range(20):
            ours, theirs = (loader.batch(step) for loader in loaders)
            assert torch.equal(ours.y, theirs.y.cpu())
            one, two = (
                augmentation(batch.x.contiguous(memory_format=layout), seed=1, step=step) for batch in (ours, theirs)
            )
            assert torch.equal(one, two.cpu())
            assert one.stride() == two.stride()


@needs_real_gpu
@pytest.mark.parametrize("optimizer", [SGD, ADAMW])
@pytest.mark.parametrize("changes", [{}, {"cuda_graph": False}, {"precision": "bfloat16", "augmentation": crops(2)}])
def test_no_step_waits_for_the_gpu(optimizer: dict[str, Any], changes: dict[str, Any]) -> None:
    """Between two evaluations: torch raises where the CPU would wait. Several epochs pass."""
    grids = {"evaluate_every": 1000, "evaluations_per_decade": 1, "snapshots_per_decade": 1}
    run = Run("normed", recipe(optimizer, **changes, **grids), DEVICE)
    state, looks = run.begin(), {1, 10, 60}

    def on_step(segment: object) -> None:
        torch.cuda.set_sync_debug_mode("default" if state.step + 1 in looks else "error")

    try:
        run.go(state, 60, on_step=on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert state.step == 60


@needs_real_gpu
@pytest.mark.parametrize("model", ["mlp", "cnn", "normed", "transformer"])
@pytest.mark.parametrize("changes", [{}, {"precision": "bfloat16"}])
def test_a_recorded_step_is_the_step(model: str, changes: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    reached = []
    with caplog.at_level(logging.WARNING, "grokforget"):
        for graph in (True, False):
            run = Run(model, recipe(SGD, cuda_graph=graph, **changes), DEVICE)
            state = run.begin()
            origin = weights(state.model)
            run.go(state, 25)
            reached.append(weights(state.model))
    assert not caplog.messages, "it was recorded"
    assert distance(*reached, origin) < 1e-5
    for name, value in reached[0].items():
        if name.endswith("num_batches_tracked"):
            assert value == 25


@needs_real_gpu
def test_a_graph_is_recorded_and_replayed_for_all_full_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("cnn", recipe(SGD), DEVICE)
    sizes, plain = [], Gradient.passes

    def passes(self: Gradient, batch: Examples, step: int) -> None:
        sizes.append(len(batch))
        plain(self, batch, step)

    monkeypatch.setattr(Gradient, "passes", passes)
    run.go(run.begin(), 20)
    # 300 examples: four batches of 64 an epoch, and one of 44.
    assert sizes == [44] * 4


@needs_real_gpu
def test_too_little_memory_is_told_with_what_is_needed() -> None:
    with pytest.raises(torch.OutOfMemoryError) as raised:
        torch.empty(2**42, dtype=torch.uint8, device=DEVICE)
    told = explain(raised.value)
    assert "needed at least 4096." in told
    assert "`jobs_per_gpu`" in told
