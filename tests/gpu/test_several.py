"""Two GPUs give what one gives, within what float32 loses by adding up in another order; and go on to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from gpu.parts import ADAMW, DEVICE, SGD, Run, crops, distance, needs_gpu, recipe, weights
from grokforget.runtime.together import run_together
from grokforget.training.data_parallel import joined
from grokforget.training.state import load_training, save_training

pytestmark = [
    needs_gpu,
    pytest.mark.skipif(DEVICE == "cuda" and torch.cuda.device_count() < 2, reason="needs two GPUs"),
]
STEPS = 20
GENTLE = {**SGD, "learning_rate": 0.01}
TOLERANCE = 1e-3
"""Of the way that the weights have gone; for bfloat16 and AdamW see test_agreement.py."""
CASES: dict[str, tuple[str, Any, float]] = {
    "cnn": ("cnn", recipe(GENTLE), TOLERANCE),
    "cnn-unevenly": ("cnn", recipe(GENTLE, batch_size=63), TOLERANCE),
    "cnn-adamw": ("cnn", recipe(ADAMW), 10 * TOLERANCE),
    "normed-crops": ("normed", recipe(GENTLE, augmentation=crops(2, True)), TOLERANCE),
    "normed-bfloat16": ("normed", recipe(GENTLE, precision="bfloat16"), 0.2),
    "normed-sam": ("normed", recipe({**GENTLE, "sam_rho": 0.05}), TOLERANCE),
}


def work(rank: int, folder: Path) -> None:
    """Every case whole, and in two segments."""
    with joined(rank, 2, folder / "meeting", DEVICE) as group:
        found = {}
        for case, (model, given, _) in CASES.items():
            run = Run(model, given, DEVICE)
            whole = run.begin()
            run.go(whole, STEPS, group=group)
            state = run.begin()
            run.go(state, STEPS // 2, group=group)
            if group.is_first:
                save_training(folder / case, state)
            group.agreed(0)
            state = load_training(folder / case, run.build(5), run.recipe.optimizer)
            run.go(state, STEPS, group=group)
            found[case] = weights(whole.model), weights(state.model)
    torch.save(found, folder / f"found{rank}")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("several")
    run_together(work, 2, folder)
    return [torch.load(folder / f"found{rank}") for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_give_what_one_gives_and_have_the_same_bits(case: str, found: list[Any]) -> None:
    model, given, tolerance = CASES[case]
    run = Run(model, given, DEVICE)
    state = run.begin()
    origin = weights(state.model)
    run.go(state, STEPS)
    (first, _), (second, _) = (each[case] for each in found)
    assert distance(weights(state.model), first, origin) < tolerance
    assert all(torch.equal(second[name], value) for name, value in first.items())


@pytest.mark.parametrize("case", CASES)
def test_a_run_cut_into_segments_is_the_uninterrupted_run(case: str, found: list[Any]) -> None:
    whole, cut = found[0][case]
    assert all(torch.equal(cut[name], value) for name, value in whole.items())
