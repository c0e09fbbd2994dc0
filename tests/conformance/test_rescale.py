"""Rescaled weights: another norm, the same predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.config.models import MODELS
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.rescale import degrees, rescaled, rescaled_state
from grokforget.models.transformer import Transformer

IMAGE, FLAT = DataShape((2, 8, 8), 5), DataShape((6,), 5)


def mlp(hidden: list[int], activation: str, bias: bool) -> nn.Module:
    return MLP(FLAT, hidden=hidden, activation=activation, bias=bias, initialisation="default")


MODELS_BUILT: dict[str, Any] = {
    "relu": (lambda: mlp([7, 9], "relu", True), FLAT.example),
    "relu without bias": (lambda: mlp([7, 9, 4], "relu", False), FLAT.example),
    "quadratic": (lambda: mlp([7], "quadratic", False), FLAT.example),
    "quadratic, deep, with bias": (lambda: mlp([7, 6], "quadratic", True), FLAT.example),
    "cnn": (lambda: CNN(IMAGE, channels=[4, 6], kernel_size=3, hidden=8), IMAGE.example),
}


def built(name: str, seed: int = 0) -> tuple[nn.Module, Tensor]:
    make, shape = MODELS_BUILT[name]
    torch.manual_seed(seed)
    model = make()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape))  # large biases: what is wrong with them shows
    return model, torch.randn(200, *shape)


def norm(state: Any) -> float:
    return math.sqrt(sum(float((np.asarray(value, dtype=np.float64) ** 2).sum()) for value in state.values()))


@pytest.mark.parametrize("share", [0.1, 0.7, 1.0, 3.0])
@pytest.mark.parametrize("name", MODELS_BUILT)
def test_the_norm_is_as_asked_and_every_prediction_stays(name: str, share: float) -> None:
    model, x = built(name)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    other = {key: value * share for key, value in state.items()}
    before = model(x).detach().double()
    result = rescaled_state(model, state, other)
    assert norm(result) == pytest.approx(share * norm(state), rel=1e-6)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items()), "the model is left alone"
    model.load_state_dict(result)
    after = model(x).detach().double()
    assert torch.equal(after.argmax(1), before.argmax(1))
    # The logits are multiplied by one positive factor.
    factor = float((after * before).sum() / (before * before).sum())
    assert factor > 0
    torch.testing.assert_close(after, factor * before, rtol=1e-3, atol=1e-4 * factor * before.abs().max().item())
    if share != 1.0:
        assert factor != pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("name", MODELS_BUILT)
def test_each_parameter_is_multiplied_by_its_power_of_one_factor(name: str) -> None:
    model, _ = built(name)
    model.double()
    state = dict(model.state_dict())
    result = rescaled(state, degrees(model), 0.4 * norm(state))
    assert norm(result) == pytest.approx(0.4 * norm(state), rel=1e-13)
    factors = {key: (result[key] / state[key]).mean().item() for key in state}
    c = factors["output.weight"]
    layers = sorted({key.rpartition(".")[0] for key in state}, key=list(dict(model.named_modules())).index)
    degree = 2 if "quadratic" in name else 1
    power = 0
    for layer in layers:
        power = degree * power + 1
        assert factors[f"{layer}.weight"] == pytest.approx(c, rel=1e-12)
        if f"{layer}.bias" in factors:
            assert factors[f"{layer}.bias"] == pytest.approx(c**power, rel=1e-12)


def test_degrees_by_hand() -> None:
    powers = degrees(mlp([3, 3], "relu", True))
    assert {key: value for key, value in powers.items() if key.endswith("bias")} == {
        "features.0.bias": 1,
        "features.2.bias": 2,
        "output.bias": 3,
    }
    assert degrees(mlp([3, 3], "quadratic", True))["output.bias"] == 2 * (2 * 1 + 1) + 1
    assert {value for key, value in powers.items() if key.endswith("weight")} == {1}


def test_a_factor_by_hand() -> None:
    """9 c² + 16 c⁴ = 25 · 16 at c² = (√(81 + 4·16·400) - 9) / 32."""
    state = {"weight": np.array([3.0]), "bias": np.array([4.0])}
    c = math.sqrt((math.sqrt(81 + 4 * 16 * 400) - 9) / 32)
    result = rescaled(state, {"weight": 1, "bias": 2}, 20.0)
    assert (result["weight"].item(), result["bias"].item()) == pytest.approx((3 * c, 4 * c * c), rel=1e-13)


@pytest.mark.parametrize("wanted", [1e-12, 1e-3, 1.0, 1e6, 1e30])
def test_any_norm_is_reached(wanted: float) -> None:
    model, _ = built("quadratic, deep, with bias")
    state = {key: value.double() for key, value in model.state_dict().items()}
    assert norm(rescaled(state, degrees(model), wanted)) == pytest.approx(wanted, rel=1e-10)


def test_arrays_give_arrays_and_tensors_tensors_of_the_same_kind() -> None:
    model, _ = built("cnn")
    state = dict(model.state_dict())
    as_tensors = rescaled_state(model, state, {key: 0.5 * value for key, value in state.items()})
    arrays = {key: value.numpy() for key, value in state.items()}
    as_arrays = rescaled_state(model, arrays, {key: 0.5 * value for key, value in arrays.items()})
    assert list(as_tensors) == list(as_arrays) == list(state)
    for key, value in as_tensors.items():
        assert isinstance(as_arrays[key], np.ndarray)
        assert (value.dtype, as_arrays[key].dtype) == (torch.float32, np.float32)
        assert value.numpy().tobytes() == np.ascontiguousarray(as_arrays[key]).tobytes()


@pytest.mark.parametrize("culprit", ["memorised", "grokked"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_diverged_stays_diverged(culprit: str, value: float) -> None:
    model, _ = built("relu")
    states = {name: {key: v.clone() for key, v in model.state_dict().items()} for name in ("memorised", "grokked")}
    states[culprit]["output.bias"][0] = value
    result = rescaled_state(model, **states)
    assert all(bool(v.isnan().all()) for v in result.values())


def test_nothing_but_zeros_has_the_norm_zero() -> None:
    model, _ = built("relu")
    state = dict(model.state_dict())
    zeros = {key: 0 * value for key, value in state.items()}
    assert all(bool((value == 0).all()) for value in rescaled_state(model, state, zeros).values())
    assert all(bool(value.isnan().all()) for value in rescaled_state(model, zeros, state).values())


class Tanh(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.output = nn.Linear(3, 2)

    def chain(self) -> list[nn.Module]:
        return [nn.Tanh(), self.output]


class Outside(Tanh):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def chain(self) -> list[nn.Module]:
        return [self.output]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Transformer(DataShape((2,), 5, 7), layers=1, width=8, heads=2, mlp_width=8), "Transformer is not homogeneous"),
        (Tanh(), "Tanh"),
        (Outside(), "scale"),
    ],
)
def test_a_model_that_is_not_homogeneous_is_refused(model: nn.Module, says: str) -> None:
    state = dict(model.state_dict())
    with pytest.raises(TypeError, match=says):
        rescaled_state(model, state, state)


def test_the_registry_says_which_models_are_homogeneous() -> None:
    assert {kind for kind, model in MODELS.items() if model.homogeneous} == {"mlp", "cnn"}
