"""Shares of active units, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grokforget.analyses.active_units import active_units
from grokforget.analyses.base import Probe
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification


def probe(activation: str, scale: float = 1.0) -> Probe:
    torch.manual_seed(0)
    shape = DataShape((6,), 3)
    model = MLP(
        shape, hidden=[40, 7], activation=activation, bias=activation == "relu", initialisation="default"
    ).eval()
    with torch.no_grad():
        model.features[0].weight.mul_(scale)
        if activation == "relu":
            model.features[0].bias.mul_(scale)[:5] = -100 * scale
    drawn = torch.Generator().manual_seed(1)
    examples = {
        name: Examples(torch.rand(n, 6, generator=drawn), torch.arange(n) % 3)
        for name, n in (("retain", 30), ("test", 11))
    }
    return Probe(model, examples, Classification(loss="mse"), 0, None)  # type: ignore[arg-type]


def outputs(given: Probe, split: str, activation: str) -> list[np.ndarray]:
    """Of both layers, in NumPy."""
    state = {name: value.numpy() for name, value in given.model.state_dict().items()}
    x, found = given.examples[split].x.numpy(), []
    for layer in (0, 2):
        z = x @ state[f"features.{layer}.weight"].T + state.get(f"features.{layer}.bias", 0)
        x = np.maximum(z, 0) if activation == "relu" else z**2
        found.append(x)
    return found


@pytest.mark.parametrize("activation", ["relu", "quadratic"])
@pytest.mark.parametrize("threshold", [0, 0.3])
def test_units_are_counted_that_are_above_a_share_of_their_layer_s_largest(activation: str, threshold: float) -> None:
    given = probe(activation)
    found = {
        (value.measure, value.part): value.value for value in active_units(given, examples=512, threshold=threshold)
    }
    for name, split in (("train", "retain"), ("test", "test")):
        active = [out > threshold * out.max(1, keepdims=True) for out in outputs(given, split, activation)]
        for layer, of_layer in zip(("features.1", "features.3"), active, strict=True):
            assert found.pop(("active_share_layer", f"{name}/{layer}")) == pytest.approx(of_layer.mean())
        together = np.concatenate(active, axis=1)
        assert found.pop(("active_share", name)) == pytest.approx(together.mean())
        idle = found.pop(("idle_share", name))
        assert idle == pytest.approx((~together.any(0)).mean())
        assert idle >= 5 / 47 or activation == "quadratic"
    assert not found
    assert not any(module._forward_hooks for module in given.model.modules())


def test_a_factor_on_a_homogeneous_model_s_weights_changes_nothing() -> None:
    one, other = (active_units(probe("quadratic", scale), examples=512, threshold=0.1) for scale in (1.0, 4.0))
    assert one == other


def test_a_model_without_activations_has_no_rows() -> None:
    given = probe("relu")
    linear = Probe(torch.nn.Linear(6, 3), given.examples, given.objective, 0, None)  # type: ignore[arg-type]
    assert active_units(linear, examples=5, threshold=0.01) == []
