"""A GPU trains and unlearns as a CPU does, within what float32 loses by adding up in another order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gpu.parts import ADAMW, DEVICE, MODELS, OBJECTIVE, SGD, Run, crops, distance, needs_gpu, recipe, weights
from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.runner import Record, unlearn

pytestmark = needs_gpu
STEPS = 20
TOLERANCE = {"sgd": 1e-3, "adamw": 1e-2}
"""Of the way that the weights have gone. AdamW divides every gradient by its own size, the smallest with their errors."""
BFLOAT16_TOLERANCE = 0.2
"""Eight bits of mantissa, and sums whose order differs."""
GENTLE = {**SGD, "learning_rate": 0.01}
"""Large steps magnify a difference in the last bit, by a ReLU that is on here and off there, a hundredfold in a dozen updates."""
CASES = [(model, optimizer, {}) for model in MODELS if model != "dropping" for optimizer in (GENTLE, ADAMW)]
CASES += [("cnn", GENTLE, {"augmentation": crops()}), ("normed", GENTLE, {"augmentation": crops(2, True)})]
CASES += [("cnn", GENTLE, {"precision": "bfloat16"}), ("normed", GENTLE, {"precision": "bfloat16"})]
CASES += [("mlp", {**GENTLE, "sam_rho": 0.05}, {})]


@pytest.mark.parametrize(("model", "optimizer", "changes"), CASES)
def test_training(model: str, optimizer: dict[str, Any], changes: dict[str, Any]) -> None:
    reached = {}
    for device in ("cpu", DEVICE):
        run = Run(model, recipe(optimizer, **changes), device)
        state = run.begin()
        origin = weights(state.model)
        curve = run.go(state, STEPS).curve
        reached[device] = weights(state.model), curve[-1]["train_loss"]
    (ours, loss), (theirs, other) = reached["cpu"], reached[DEVICE]
    bound = BFLOAT16_TOLERANCE if "precision" in changes else TOLERANCE[optimizer["name"]]
    assert distance(ours, theirs, origin) < bound
    assert other == pytest.approx(loss, rel=bound)


def kinds() -> list[str]:
    """The methods of the registry that unlearn classes, where pydantic is there to read it."""
    try:
        from grokforget.config.methods import METHODS, REFERENCES
    except ImportError:
        return []
    return sorted(
        kind for kind, method in METHODS.items() if "classification" in method.objectives and kind not in REFERENCES
    )


def unlearned(kind: str, device: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Record]:
    """A trained model's weights, before and after at most 10 updates, and the record."""
    from grokforget.config.methods import METHODS

    run = Run("cnn", recipe(), "cpu")
    state = run.begin()
    run.go(state, 60)
    run = Run("cnn", recipe(), device)
    model = run.build(0)
    model.load_state_dict(state.model.state_dict())
    splits = run.splits(model)
    chosen = splits["train"].y < 2
    forget, retain = (Examples(splits["train"].x[one], splits["train"].y[one]) for one in (chosen, ~chosen))
    problem = Problem(model, forget, retain, splits["validation"], OBJECTIVE, 0, weights(model))
    before = weights(model)
    torch.manual_seed(0)
    settings = METHODS[kind]
    method: Any = settings().spec().build()
    record = unlearn(Few(method), problem, splits["test"], stride=1)
    return before, weights(model), record


class Few:
    """A method's first 10 updates."""

    def __init__(self, method: Any) -> None:
        self.method = method

    @property
    def diagnostics(self) -> Any:
        return self.method.diagnostics

    def run(self, problem: Problem) -> Iterator[None]:
        for update, _ in enumerate(self.method.run(problem), start=1):
            yield
            if update == 10:
                return


@pytest.mark.parametrize("kind", kinds() or [pytest.param("", marks=pytest.mark.skip("pydantic is not installed"))])
def test_unlearning(kind: str) -> None:
    before, ours, record = unlearned(kind, "cpu")
    _, theirs, other = unlearned(kind, DEVICE)
    moved = any(not torch.equal(ours[name], before[name]) for name in ours)
    if moved:
        assert distance(ours, theirs, before) < 0.02
    else:
        assert all(torch.equal(theirs[name], before[name]) for name in before)
    assert len(other.trajectory) == len(record.trajectory)
    for row, same in zip(record.trajectory, other.trajectory, strict=True):
        for part in ("forget", "retain", "test"):
            assert same[f"{part}_accuracy"] == pytest.approx(row[f"{part}_accuracy"], abs=0.02)
