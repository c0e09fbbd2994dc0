"""Gradient filters against plain arithmetic, and where they stand in an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from conformance.problems import mlp
from grokforget.config.gradient_filters import GRADIENT_FILTERS
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.training.gradient_filters.grokfast import GrokfastEMA, GrokfastMA
from grokforget.training.gradient_filters.perpendicular import Perpendicular
from grokforget.training.loop import start, train
from grokforget.training.snapshots import InMemory

STEPS = 9
GENERATOR = torch.Generator().manual_seed(1)
EXAMPLES = Examples(torch.randn(12, 5, generator=GENERATOR, dtype=torch.float64), torch.arange(12) % 3)
TOLERANCE = 1e-9
History = list[plain.Weights]
"""The gradients of all updates so far, the present one last."""


def ema(history: History, weights: plain.Weights, alpha: float, amplification: float) -> plain.Weights:
    """g_t + λ μ_t, μ_t written out as a sum: of the first gradient α^t, of each other one (1 - α) α^(t - i)."""
    filtered, last = {}, len(history) - 1
    for name, g in history[-1].items():
        average = alpha**last * history[0][name]
        for i in range(1, last + 1):
            average = average + (1 - alpha) * alpha ** (last - i) * history[i][name]
        filtered[name] = g + amplification * average
    return filtered


def ma(history: History, weights: plain.Weights, window: int, amplification: float) -> plain.Weights:
    """g_t + λ (g_t + ... + g_{t-w+1}) / w once there are w of them."""
    if len(history) < window:
        return history[-1]
    return {
        name: g + amplification * sum(one[name] for one in history[-window:]) / window
        for name, g in history[-1].items()
    }


def perpendicular(history: History, weights: plain.Weights, keeps_length: bool) -> plain.Weights:
    """g - (wᵀg / wᵀw) w for every tensor as a vector, and with its length kept times ‖g‖ over what that has."""
    filtered = {}
    for name, g in history[-1].items():
        w, flat = weights[name].flatten().tolist(), g.flatten().tolist()
        share = sum(a * b for a, b in zip(w, flat, strict=True)) / sum(a * a for a in w)
        left = [b - share * a for a, b in zip(w, flat, strict=True)]
        factor = (sum(b * b for b in flat) / sum(b * b for b in left)) ** 0.5 if keeps_length else 1.0
        filtered[name] = factor * torch.tensor(left, dtype=torch.float64).view_as(g)
    return filtered


CASES: list[tuple[dict[str, Any], Callable[..., plain.Weights]]] = [
    ({"kind": "grokfast-ema", "alpha": 0.7, "amplification": 3.0}, ema),
    ({"kind": "grokfast-ema", "alpha": 0.0, "amplification": 0.5}, ema),
    ({"kind": "grokfast-ema"}, ema),
    ({"kind": "grokfast-ma", "window": 4, "amplification": 3.0}, ma),
    ({"kind": "grokfast-ma", "window": 1, "amplification": 1.0}, ma),
    ({"kind": "grokfast-ma"}, ma),
    ({"kind": "perpendicular"}, perpendicular),
    ({"kind": "perpendicular", "keeps_length": False}, perpendicular),
]
IDS = ["ema", "ema of one", "ema default", "ma", "ma of one", "ma default", "perpendicular", "perpendicular shorter"]


def settings(**optimizer: Any) -> TrainingSettings:
    rest = {"loss": "cross-entropy", "steps": STEPS, "segment_steps": STEPS, "evaluate_every": 1}
    return TrainingSettings.model_validate({**rest, "snapshots_per_decade": 100, "optimizer": optimizer})


def trained(given: TrainingSettings) -> list[plain.Weights]:
    """The weights before the first and after every update."""
    recipe, snapshots = given.recipe(), InMemory()
    splits = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
    objective = given.objective().build()
    train(start(mlp(), recipe.optimizer), splits, recipe, objective, seed=0, stop=STEPS, on_snapshot=snapshots.keep)
    return [snapshots.states[step] for step in range(STEPS + 1)]


def test_defaults_are_those_that_were_published() -> None:
    found = {kind: one.model_validate({"kind": kind}).spec().settings for kind, one in GRADIENT_FILTERS.items()}
    assert found == {
        "grokfast-ema": {"alpha": 0.98, "amplification": 2.0},
        "grokfast-ma": {"window": 100, "amplification": 5.0},
        "perpendicular": {"keeps_length": True},
    }


@pytest.mark.parametrize(("given", "formula"), CASES, ids=IDS)
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_update_is_the_optimizers_with_the_filtered_gradient(
    given: dict[str, Any], formula: Callable[..., plain.Weights], name: str
) -> None:
    """L2 decay of SGD and Adam comes behind the filter: it is not amplified."""
    decay, rate = 0.1, 0.05
    own = {"momentum": 0.9} if name == "sgd" else {}
    reference: Any = plain.Sgd(0.9, decay) if name == "sgd" else plain.Adam(decay, decoupled=name == "adamw")
    recipe = settings(name=name, learning_rate=rate, weight_decay=decay, gradient_filter=given, **own)
    values = recipe.optimizer.gradient_filter.spec().settings
    got = trained(recipe)
    weights, history = got[0], []
    for after in got[1:]:
        history.append(plain.gradient(lambda w: plain.cross_entropy(plain.mlp(w, EXAMPLES.x), EXAMPLES.y), weights))
        weights = reference.update(weights, formula(history, weights, **values), rate)
        for key, value in weights.items():
            torch.testing.assert_close(after[key], value, rtol=0, atol=TOLERANCE)
            # What is compared next begins at the same weights, lest a difference grow.
        weights = after


def gradients(*values: list[float]) -> list[nn.Parameter]:
    """Parameters, all 1, 2, ..., with these gradients."""
    found = []
    for value in values:
        parameter = nn.Parameter(torch.arange(1.0, 1.0 + len(value)))
        parameter.grad = torch.tensor(value)
        found.append(parameter)
    return found


def grads(parameters: list[nn.Parameter]) -> list[list[float]]:
    return [parameter.grad.tolist() for parameter in parameters if parameter.grad is not None]


def run(kind: Any, sequence: list[list[float]], **values: Any) -> list[list[float]]:
    """What becomes of the gradients of one parameter, update by update."""
    built, found = kind(**values), []
    for value in sequence:
        (parameter,) = gradients(value)
        built([parameter])
        found += grads([parameter])
    return found


def test_the_moving_average_by_hand() -> None:
    assert run(GrokfastEMA, [[4.0], [8.0], [0.0]], alpha=0.5, amplification=2.0) == [[12.0], [20.0], [6.0]]


def test_the_mean_of_a_window_by_hand() -> None:
    assert run(GrokfastMA, [[2.0], [4.0], [6.0], [0.0]], window=3, amplification=3.0) == [[2.0], [4.0], [18.0], [10.0]]


def test_perpendicular_by_hand() -> None:
    # w = (1, 2), g = (5, 0): ⟨w, g⟩ / ‖w‖² = 1, so (4, -2) is left.
    assert run(Perpendicular, [[5.0, 0.0]], keeps_length=False) == [[4.0, -2.0]]
    ((a, b),) = run(Perpendicular, [[5.0, 0.0]], keeps_length=True)
    assert (a, b) == pytest.approx((5 * 2 / 5**0.5, -5 / 5**0.5), rel=1e-6)


@pytest.mark.parametrize("keeps_length", [True, False])
def test_the_gradient_of_weights_of_zero_stays_and_one_along_them_ends(keeps_length: bool) -> None:
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([3.0, 0.0, 4.0])
    Perpendicular(keeps_length=keeps_length)([parameter])
    assert parameter.grad.tolist() == pytest.approx([3.0, 0.0, 4.0], rel=1e-6)
    assert run(Perpendicular, [[2.0, 4.0]], keeps_length=keeps_length) == [[0.0, 0.0]]


@pytest.mark.parametrize("given", [case[0] for case in CASES], ids=IDS)
def test_filters_work_in_place_and_pass_over_what_has_no_gradient(given: dict[str, Any]) -> None:
    built = GRADIENT_FILTERS[given["kind"]].model_validate(given).spec().build()
    parameters = [*gradients([1.0, -1.0]), nn.Parameter(torch.ones(2)), *gradients([3.0])]
    addresses = [p.grad.data_ptr() for p in parameters if p.grad is not None]
    weights = [p.detach().clone() for p in parameters]
    for _ in range(3):
        built(parameters)
    assert [p.grad.data_ptr() for p in parameters if p.grad is not None] == addresses
    assert parameters[1].grad is None
    assert all(torch.equal(p.detach(), value) for p, value in zip(parameters, weights, strict=True))
    assert all(value.is_contiguous() and not value.requires_grad for value in built.memory.values())


def test_a_filter_comes_behind_sam_and_penalty() -> None:
    """Of a linear average of one gradient alone, α = 0: twice the gradient, wherever that comes from."""
    twice = {"kind": "grokfast-ema", "alpha": 0.0, "amplification": 1.0}
    for more in ({"optimizer": {"sam_rho": 0.2}}, {"penalty": {"kind": "template-orthogonality", "strength": 0.3}}):
        ends: list[Tensor] = []
        for rate, gradient_filter in ((0.1, None), (0.05, twice)):
            base = settings(name="sgd", learning_rate=rate).model_dump(mode="json", exclude_unset=True)
            optimizer = {**base["optimizer"], **more.get("optimizer", {}), "gradient_filter": gradient_filter}
            recipe = TrainingSettings.model_validate({**base, **more, "optimizer": optimizer})
            ends.append(torch.cat([value.flatten() for value in trained(recipe)[-1].values()]))
        torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
