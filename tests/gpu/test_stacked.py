"""Runs that take their steps together on a GPU are, but for rounding, those that they are by themselves."""

from __future__ import annotations

import pytest

from gpu.parts import ADAMW, DEVICE, distance, needs_gpu, recipe, side_by_side, weights
from grokforget.training.loop import train_run
from grokforget.training.stack import train_stacked

pytestmark = needs_gpu
RUNS, STEPS = 6, 40
TOLERANCE = 1e-2
"""Of the way that the weights have gone, as of AdamW in test_several.py."""


@pytest.mark.parametrize("model", ["mlp", "cnn", "transformer"])
@pytest.mark.parametrize("changes", [{}, {"cuda_graph": False}, {"batch_size": None}], ids=str)
def test_stacked_runs_are_the_runs_apart(model: str, changes: dict[str, object]) -> None:
    given = recipe(ADAMW, **changes)
    stacked, apart = (side_by_side(model, given, DEVICE, RUNS, STEPS) for _ in range(2))
    before = [weights(run.state.model) for run in apart]
    train_stacked(stacked)
    for ours, theirs, origin in zip(stacked, apart, before, strict=True):
        train_run(theirs)
        assert distance(weights(theirs.state.model), weights(ours.state.model), origin) < TOLERANCE
