"""Distances between models against scipy and numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.distance import distance, jensen_shannon
from grokforget.data.loader import Examples
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")


class Net(nn.Module):
    """Linear, with a buffer that is no weight."""

    steps: Tensor

    def __init__(self, weight: list[list[float]], bias: list[float], steps: float = 0) -> None:
        super().__init__()
        self.layer = nn.Linear(len(weight[0]), len(weight))
        self.register_buffer("steps", torch.tensor(float(steps)))
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor(weight))
            self.layer.bias.copy_(torch.tensor(bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def net(seed: int) -> Net:
    generator = np.random.default_rng(seed)
    return Net(generator.normal(size=(3, 4)).tolist(), generator.normal(size=3).tolist(), steps=seed)


def examples(n: int, seed: int) -> Examples:
    return Examples(torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)), torch.zeros(n, dtype=torch.long))


def measured(model: nn.Module, retrained: nn.Module, original: nn.Module) -> dict[tuple[str, str], float]:
    sets = {"forget": examples(7, 1), "retain": examples(20, 2), "test": examples(11, 3), "validation": examples(5, 4)}
    probe = Probe(model, sets, OBJECTIVE, 0, None, original.state_dict(), retrained.state_dict())
    return {(value.measure, value.part): value.value for value in distance(probe)}


def test_divergence_of_outputs_is_the_square_of_scipys_distance() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(0, 4, (2, 200, 7))
    found = jensen_shannon(torch.tensor(first), torch.tensor(second)).numpy()
    expected = jensenshannon(softmax(first, 1), softmax(second, 1), axis=1) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_divergence_by_hand_and_at_its_ends() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4), m = (3/8, 5/8).
    p, q = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.25, 0.75]]).log() + 3
    expected = (math.log(4 / 3) / 2 + math.log(4 / 5) / 2 + math.log(2 / 3) / 4 + 3 * math.log(6 / 5) / 4) / 2
    assert jensen_shannon(p, q).item() == pytest.approx(expected, rel=1e-6)
    assert jensen_shannon(q, p).item() == pytest.approx(expected, rel=1e-6)
    assert jensen_shannon(p, p + 10).item() == pytest.approx(0, abs=1e-15)
    apart = torch.tensor([[1e4, 0.0, 0.0]]), torch.tensor([[0.0, 1e4, 0.0]])
    assert jensen_shannon(*apart).item() == pytest.approx(math.log(2))


def test_outputs_are_compared_set_by_set() -> None:
    model, retrained = net(0), net(1)
    found = measured(model, retrained, net(2))
    for split, part in {"forget": examples(7, 1), "retain": examples(20, 2), "test": examples(11, 3)}.items():
        with torch.no_grad():
            p, q = (softmax(each(part.x).double().numpy(), 1) for each in (model, retrained))
        assert found["js_divergence", split] == pytest.approx((jensenshannon(p, q, axis=1) ** 2).mean(), rel=1e-6)


def test_distances_in_weights_are_those_of_all_parameters_as_one_vector() -> None:
    # θ = (1, 2, 2), θ_r = (1, 2, 0): a gap of 2, norms 3 and √5, a product of 5. θ_o = (0, 0, 2).
    found = measured_small([[1.0, 2.0]], [2.0], [[1.0, 2.0]], [0.0], [[0.0, 0.0]], [2.0])
    assert found["weight_distance", ""] == pytest.approx(2)
    assert found["relative_weight_distance", ""] == pytest.approx(2 / math.sqrt(5))
    assert found["weight_cosine", ""] == pytest.approx(5 / (3 * math.sqrt(5)))
    assert found["weight_change", ""] == pytest.approx(math.sqrt(5) / 2)


def measured_small(*states: list) -> dict[tuple[str, str], float]:
    model, retrained, original = (Net(states[i], states[i + 1], steps=9 * i) for i in (0, 2, 4))
    empty = Examples(torch.ones(2, 2), torch.zeros(2, dtype=torch.long))
    probe = Probe(
        model,
        dict.fromkeys(("forget", "retain", "test"), empty),
        OBJECTIVE,
        0,
        None,
        original.state_dict(),
        retrained.state_dict(),
    )
    return {(value.measure, value.part): value.value for value in distance(probe)}


def test_weights_are_subtracted_in_float64() -> None:
    model, retrained = net(0), net(0)
    with torch.no_grad():
        retrained.layer.weight += 1e-7
    expected = sum(
        ((a.double() - b.double()) ** 2).sum().item()
        for a, b in zip(model.parameters(), retrained.parameters(), strict=True)
    )
    found = measured(model, retrained, model)
    assert found["weight_distance", ""] == pytest.approx(math.sqrt(expected), rel=1e-9)
    assert found["weight_cosine", ""] < 1


def test_the_retrained_model_is_at_no_distance_from_itself_and_is_left_as_it_was() -> None:
    model = net(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = measured(model, net(4), net(5))
    assert all(0 <= found["js_divergence", split] < 1e-15 for split in ("forget", "retain", "test"))
    assert found["weight_distance", ""] == found["relative_weight_distance", ""] == 0
    assert found["weight_cosine", ""] == pytest.approx(1)
    assert found["weight_change", ""] > 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("which", ["model", "retrained", "original"])
def test_what_has_diverged_is_at_no_distance_that_can_be_told(which: str, value: float) -> None:
    nets = {"model": net(0), "retrained": net(1), "original": net(2)}
    with torch.no_grad():
        nets[which].layer.weight[0, 0] = value
    found = measured(*nets.values())
    unknown = {key for key, number in found.items() if math.isnan(number)}
    to_original = {("weight_change", "")}
    expected = {"model": set(found), "retrained": set(found) - to_original, "original": to_original}[which]
    assert unknown == expected
