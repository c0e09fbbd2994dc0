"""The linear layer is that of torch, whichever library multiplies its matrices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models import linear
from grokforget.models.linear import LEAST, LEAST_INPUTS, Linear, twice_differentiable
from grokforget.models.mlp import MLP
from grokforget.training.penalties.jacobian import Jacobian


@pytest.fixture(autouse=True)
def as_on_amd(monkeypatch: pytest.MonkeyPatch) -> None:
    """oneDNN computes on every processor for which PyTorch has it."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(linear, "onednn_is_faster", lambda: True)


def uses(action: Callable[[], object]) -> bool:
    """Whether oneDNN multiplies in it."""
    with torch.profiler.profile() as profile:
        action()
    return any("mkldnn_linear" in event.key for event in profile.key_averages())


def layer_and_input(*shape: int, dtype: torch.dtype = torch.float32) -> tuple[Linear, Tensor]:
    torch.manual_seed(0)
    return Linear(shape[-1], 200).to(dtype), torch.randn(shape, dtype=dtype)


@pytest.mark.parametrize("shape", [(300, 200), (100, 3, 128)])
def test_outputs_and_gradients_are_those_of_torch(shape: tuple[int, ...]) -> None:
    layer, x = layer_and_input(*shape)
    theirs = nn.Linear(shape[-1], 200)
    theirs.load_state_dict(layer.state_dict())
    given = [x.clone().requires_grad_() for _ in range(2)]
    assert uses(lambda: layer(x))
    outputs = [layer(given[0]), theirs(given[1])]
    for output in outputs:
        output.square().sum().backward()
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(given[0].grad, given[1].grad, rtol=1e-4, atol=1e-4)
    for ours, its in zip(layer.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, its.grad, rtol=1e-4, atol=1e-3)
    assert torch.equal(layer(x), layer(x))


def test_autocast_computes_in_its_own_type() -> None:
    layer, x = layer_and_input(300, 200)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
        assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_what_is_small_or_of_another_type_is_left_to_torch() -> None:
    layer, x = layer_and_input(300, 200)
    few = x[: LEAST // 200 // 200 - 1]
    double, y = layer_and_input(300, 200, dtype=torch.float64)
    narrow, z = layer_and_input(LEAST // 200 // (LEAST_INPUTS - 1) + 1, LEAST_INPUTS - 1)
    for action in (lambda: layer(few), lambda: double(y), lambda: layer(x[:1].expand(20, -1)), lambda: narrow(z)):
        assert not uses(action)


@pytest.mark.parametrize(
    ("maker", "family", "wide"),
    [
        ("AuthenticAMD", 26, True),
        ("AuthenticAMD", 25, False),
        ("GenuineIntel", 26, False),
        ("AuthenticAMD", "?", False),
    ],
)
def test_processors_that_compute_512_bits_at_once_are_known_by_their_family(
    maker: str, family: object, wide: bool
) -> None:
    told = f"processor\t: 0\nvendor_id\t: {maker}\ncpu family\t: {family}\nmodel\t\t: 17\n"
    assert linear.is_wide_amd(told * 2) == wide


def test_functions_of_one_example_can_be_mapped() -> None:
    layer, x = layer_and_input(300, 200)
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))


def test_gradients_of_gradients_where_they_are_asked_for() -> None:
    layer, x = layer_and_input(300, 200)
    points = x.clone().requires_grad_()
    with twice_differentiable():
        assert not uses(lambda: layer(x))
        (gradient,) = torch.autograd.grad(layer(points).relu().square().sum(), points, create_graph=True)
        gradient.square().sum().backward()
    assert points.grad is not None
    assert points.grad.any()
    assert uses(lambda: layer(x)), "afterwards as before"


def test_the_jacobian_penalty_is_the_same_either_way() -> None:
    torch.manual_seed(0)
    model = MLP(DataShape((64,), 10), hidden=[200, 200], activation="relu", bias=True, initialisation="default")
    batch = Examples(torch.randn(300, 64), torch.zeros(300, dtype=torch.int64))

    def gradients() -> list[Tensor]:
        model.zero_grad()
        Jacobian(strength=1.0)(model, batch, seed=0, step=0).backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    ours = gradients()
    with twice_differentiable():
        theirs = gradients()
    assert any(gradient.any() for gradient in ours)
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.equal(mine, its)
