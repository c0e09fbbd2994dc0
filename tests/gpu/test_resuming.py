"""On a GPU too a run that is cut into segments is bit for bit the uninterrupted one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gpu.parts import ADAMW, DEVICE, SGD, Run, crops, needs_gpu, recipe, weights
from grokforget.training.gradient_filters.grokfast import GrokfastMA
from grokforget.training.state import load_training, save_training

pytestmark = needs_gpu
STEPS = 30
GROKFAST = SimpleNamespace(build=lambda: GrokfastMA(window=7, amplification=2.0))
CASES: dict[str, tuple[str, Any]] = {
    "mlp-sgd": ("mlp", recipe(SGD)),
    "cnn-adamw": ("cnn", recipe(ADAMW)),
    "cnn-kernel-by-kernel": ("cnn", recipe(SGD, cuda_graph=False)),
    "cnn-full-batch": ("cnn", recipe(SGD, batch_size=None)),
    "normed-bfloat16-crops": ("normed", recipe(SGD, precision="bfloat16", augmentation=crops(2, True))),
    "cnn-grokfast": ("cnn", recipe({**ADAMW, "gradient_filter": GROKFAST})),
    "mlp-muon": ("mlp", recipe({**ADAMW, "name": "muon", "momentum": 0.95, "nesterov": True})),
    "normed-sam": ("normed", recipe({**SGD, "sam_rho": 0.05})),
    "dropping": ("dropping", recipe(SGD)),
    "dropping-kernel-by-kernel": ("dropping", recipe(ADAMW, cuda_graph=False)),
    "transformer": ("transformer", recipe(ADAMW)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_cut_into_segments_is_the_uninterrupted_run(case: str, tmp_path: Path) -> None:
    run = Run(*CASES[case], DEVICE)
    whole = run.begin()
    rows = {row["step"]: row for row in run.go(whole, STEPS).curve}
    state, cut = run.begin(), {}
    for stop in (1, 8, 19, STEPS):
        cut |= {row["step"]: row for row in run.go(state, stop).curve}
        save_training(tmp_path / "state.safetensors", state)
        torch.manual_seed(99)
        state = load_training(tmp_path / "state.safetensors", run.build(stop), run.recipe.optimizer)
    ours, theirs = weights(whole.model), weights(state.model)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert all(cut[step] == row for step, row in rows.items())


@pytest.mark.parametrize("case", CASES)
def test_the_same_run_twice_is_the_same_bits(case: str) -> None:
    results = []
    for _ in range(2):
        run = Run(*CASES[case], DEVICE)
        state = run.begin()
        run.go(state, STEPS)
        results.append(weights(state.model))
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())
