"""Attacks on models whose most harmful input is known, and against a plain loop over examples."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.robustness import LOSSES, ascend, ball_in_box, margin, robustness
from grokforget.data.loader import Examples
from grokforget.training.adversarial import data_box
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

ATTACKS = [f"{attack}/{loss}" for attack in ("fgsm", "pgd") for loss in LOSSES]
N, D, K = 60, 5, 3


class Linear(nn.Module):
    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(weight.shape[1], len(weight))
        with torch.no_grad():
            self.layer.weight.copy_(weight)
            self.layer.bias.copy_(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def random_net(seed: int, scale: float = 1.0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Linear(D, 8), nn.Tanh(), nn.Linear(8, K))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return net.eval()


def points(n: int = N, seed: int = 0, classes: int = K) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, D, generator=generator)
    # The box is [0, 1], whatever was drawn.
    x[0], x[1] = 0, 1
    return Examples(x, torch.randint(classes, (n,), generator=generator))


def look(model: nn.Module, test: Examples, radii: list[float], **other: object) -> dict[tuple[str, str], float]:
    probe = Probe(model, {"test": test}, OBJECTIVE, seed=0, recipe=None)
    settings = {"radii": radii, "steps": 20, "step_share": 0.25, "examples": len(test)} | other
    return {(value.measure, value.part): value.value for value in robustness(probe, **settings)}


def labelled(model: nn.Module, x: Tensor) -> Examples:
    with torch.no_grad():
        return Examples(x, model(x).argmax(1))


@pytest.mark.parametrize("radius", [0.02, 0.1, 0.2])
def test_all_attacks_find_the_worst_point_of_a_linear_model_of_two_classes(radius: float) -> None:
    weight, bias = torch.tensor([[0.9, -1.2, 0.4, 0.0, 2.0], [-0.3, 0.5, 0.4, 0.7, -1.0]]), torch.tensor([-0.6, 0.4])
    model = Linear(weight, bias)
    test = labelled(model, points(300).x)
    found = look(model, test, [radius])
    # By coordinates: whichever end of [x - ε, x + ε] in [0, 1] helps the wrong class more.
    expected = []
    for x, y in zip(test.x.double().tolist(), test.y.tolist(), strict=True):
        gap = (weight[1 - y] - weight[y]).tolist()
        loss = float(bias[1 - y] - bias[y])
        for value, slope in zip(x, gap, strict=True):
            loss += max(slope * max(value - radius, 0.0), slope * min(value + radius, 1.0))
        expected.append(loss < 0)
    share = sum(expected) / len(expected)
    assert 0.05 < share < found["clean_accuracy", ""] - 0.05, "the case shows something"
    for attack in ATTACKS:
        assert found["attacked_accuracy", f"{attack}/{radius:.4g}"] == pytest.approx(share)
    assert found["worst_accuracy", f"{radius:.4g}"] == pytest.approx(share)


def by_hand(
    model: nn.Module, name: str, x: Tensor, y: int, start: Tensor, radius: float, step: float, n: int
) -> Tensor:
    """One example, one coordinate at a time, slopes by central differences."""

    def loss(point: Tensor) -> float:
        z = model(point[None])[0].tolist()
        if name == "margin":
            return max(value for other, value in enumerate(z) if other != y) - z[y]
        return math.log(sum(math.exp(value) for value in z)) - z[y]

    def inside(values: list[float]) -> Tensor:
        ends = [min(max(m, v - radius, 0.0), v + radius, 1.0) for m, v in zip(values, x.tolist(), strict=True)]
        return torch.tensor(ends, dtype=torch.float64)

    point = inside(start.tolist())
    for _ in range(n):
        slopes = []
        for i in range(D):
            shift = torch.zeros(D, dtype=torch.float64)
            shift[i] = 1e-6
            slopes.append(loss(point + shift) - loss(point - shift))
        moved = [float(p) + step * np.sign(s) for p, s in zip(point, slopes, strict=True)]
        point = inside(moved)
    return point


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("radius", [0.05, 0.3])
def test_ascent_is_the_plain_loop(name: str, radius: float) -> None:
    model, test = random_net(3).double(), points(12)
    x = test.x.double()
    start = x + radius * (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 1)
    ball = ball_in_box(x, radius, data_box([test.x]))
    found = ascend(model, LOSSES[name], start, test.y, ball, 0.3 * radius, 5)
    for i in range(len(test)):
        expected = by_hand(model, name, x[i], int(test.y[i]), start[i], radius, 0.3 * radius, 5)
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-12)
    assert ((found - x).abs() <= radius + 1e-12).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_margin_is_the_largest_other_logit_minus_the_true_one() -> None:
    logits = torch.tensor([[1.0, 5.0, 2.0], [1.0, 5.0, 2.0], [3.0, -1.0, 3.0]])
    assert margin(logits, torch.tensor([1, 2, 0])).tolist() == [-3, 3, 0]


def test_attacks_are_weaker_than_their_worst_case_and_stronger_with_the_radius() -> None:
    model = random_net(5, scale=2.0)
    test = labelled(model, points(200).x)
    radii = [0.02, 0.1, 0.3]
    found = look(model, test, radii)
    assert found["clean_accuracy", ""] == 1
    worst = [found["worst_accuracy", f"{radius:.4g}"] for radius in radii]
    assert 1 > worst[0] > worst[1] > worst[2]
    for radius, low in zip(radii, worst, strict=True):
        assert low <= min(found["attacked_accuracy", f"{attack}/{radius:.4g}"] for attack in ATTACKS)


def test_the_worst_case_counts_an_example_against_the_model_if_any_attack_breaks_it() -> None:
    # Each loss alone misleads on a curved model, on other examples: together they break more than the best of them.
    broke = False
    for seed in range(6):
        model = random_net(seed, scale=3.0)
        found = look(model, labelled(model, points(200, seed).x), [0.15], steps=3)
        best = min(found["attacked_accuracy", f"{attack}/0.15"] for attack in ATTACKS)
        broke |= found["worst_accuracy", "0.15"] < best
    assert broke


def test_what_is_wrong_without_an_attack_is_no_worst_case_survived() -> None:
    class Narrow(nn.Module):
        """Wrong in a narrow band alone, which long steps leap over."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([(x[:, 0] - 0.5).abs() - 0.01, 0 * x[:, 0]], 1)

    test = Examples(torch.full((50, 1), 0.499), torch.zeros(50, dtype=torch.long))
    probe = Probe(
        Narrow(), {"test": test, "train": Examples(torch.tensor([[0.0], [1.0]]), test.y[:2])}, OBJECTIVE, 0, None
    )
    found = {
        (value.measure, value.part): value.value
        for value in robustness(probe, radii=[0.2], steps=1, step_share=1.0, examples=50)
    }
    assert all(found["attacked_accuracy", f"{attack}/0.2"] > 0.8 for attack in ATTACKS)
    assert found["clean_accuracy", ""] == found["worst_accuracy", "0.2"] == 0


def test_more_steps_find_more_than_one_on_a_curved_model() -> None:
    gains = []
    for seed in range(4):
        model = random_net(seed, scale=3.0)
        found = look(model, labelled(model, points(200, seed).x), [0.2])
        gains.append(found["attacked_accuracy", "fgsm/margin/0.2"] - found["attacked_accuracy", "pgd/margin/0.2"])
    assert np.mean(gains) > 0.02


def test_a_masked_gradient_shows_and_the_margin_sees_through_it() -> None:
    weight, bias = torch.tensor([[1.0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0]]), torch.tensor([-0.5, 0.5])
    x = points(80).x
    x[:, 0] = torch.where(x[:, 0] < 0.5, x[:, 0] - 0.05, x[:, 0] + 0.05).clamp(0, 1)
    sure = Linear(1e5 * weight, 1e5 * bias)
    test = labelled(sure, x)
    found, soft = look(sure, test, [0.4]), look(Linear(weight, bias), test, [0.4])
    # exp(-10^4) is 0 in float64 too: the softmax is exactly one-hot, and its loss exactly flat.
    assert found["zero_gradients", "cross-entropy"] == 1
    assert found["zero_gradients", "margin"] == 0
    assert found["attacked_accuracy", "fgsm/cross-entropy/0.4"] == found["clean_accuracy", ""] == 1
    assert found["attacked_accuracy", "pgd/margin/0.4"] < 0.5
    assert (
        found["worst_accuracy", "0.4"] == soft["worst_accuracy", "0.4"] == found["attacked_accuracy", "pgd/margin/0.4"]
    )
    assert soft["zero_gradients", "cross-entropy"] == soft["zero_gradients", "margin"] == 0


def test_zero_gradients_is_a_share_of_examples_and_one_component_is_enough() -> None:
    class Half(nn.Module):
        """Constant below x₀ = ½; above it a function of x₁ alone."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([torch.relu(x[:, 0] - 0.5).sign() * x[:, 1], 0 * x[:, 0]], 1)

    test = points(100, classes=2)
    found = look(Half(), test, [0.1])
    expected = (test.x[:, 0] <= 0.5).double().mean().item()
    assert 0.2 < expected < 0.8
    assert found["zero_gradients", "margin"] == pytest.approx(expected)
    assert found["zero_gradients", "cross-entropy"] == pytest.approx(expected)


def test_gradients_are_told_from_zero_in_float64() -> None:
    # The other class's probability, e^-200 or so, is 0 in float32, and with it the whole gradient.
    sure = Linear(torch.tensor([[10.0, 0, 0, 0, 0], [-10.0, 0, 0, 0, 0]]), torch.tensor([100.0, -100.0]))
    test = labelled(sure, points(20).x)
    assert look(sure, test, [0.1])["zero_gradients", "cross-entropy"] == 0


def test_the_box_is_the_data_s_range_by_channel_for_images() -> None:
    images = torch.stack([torch.full((4, 2, 2), 0.5), torch.linspace(-3, 2, 16).reshape(4, 2, 2)], 1)
    box = data_box([images, images[:1] * 0 - 1, images[:0]])
    assert box.low.flatten().tolist() == [-1, -3]
    assert box.high.flatten().tolist() == [0.5, 2]
    assert box.low.shape == (1, 2, 1, 1)
    flat = data_box([images.flatten(1)])
    assert (flat.low.item(), flat.high.item()) == (-3, 2)


def test_a_model_is_left_as_it_was_and_the_same_draw_gives_the_same_numbers() -> None:
    model, test = random_net(1, scale=3.0), points(150)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = look(model, test, [0.1], examples=140, steps=2)
    assert first == look(model, test, [0.1], examples=140, steps=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert next(model.parameters()).dtype == torch.float32


def test_batches_of_examples_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_net(5, scale=3.0)
    test = labelled(model, points(120).x)
    # One tiny step: where an attack ends is where it starts.
    whole = look(model, test, [0.3], steps=1, step_share=0.01)
    monkeypatch.setattr("grokforget.analyses.robustness.BATCH", 7)
    assert look(model, test, [0.3], steps=1, step_share=0.01) == pytest.approx(whole)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_model_has_no_numbers_and_the_same_rows(value: float) -> None:
    model = random_net(0)
    sound = look(model, points(), [0.1])
    with torch.no_grad():
        model[0].weight[0, 0] = value
    # Without an input of 0, tanh makes finite logits of an infinite weight.
    test = points()
    found = look(model, Examples(test.x.clamp(min=0.1), test.y), [0.1])
    assert list(found) == list(sound)
    assert all(math.isnan(number) for number in found.values())
