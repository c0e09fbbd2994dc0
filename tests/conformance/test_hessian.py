"""The top eigenvalue of the Hessian, against the whole Hessian of a tiny net."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.analyses.base import Probe
from grokforget.analyses.hessian import hessian, top_eigenvalue
from grokforget.data.loader import Examples
from grokforget.training.classification import Classification

LOSSES = {
    "mse": lambda z, y: functional.mse_loss(z, functional.one_hot(y, 3).double()),
    "cross-entropy": functional.cross_entropy,
}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Dropout(0.5), nn.Linear(5, 3)).eval()


def examples(n: int) -> Examples:
    return Examples(torch.randn(n, 4, generator=torch.Generator().manual_seed(1)), torch.arange(n) % 3)


def probe(loss: str, n: int = 20) -> Probe:
    return Probe(net(), {"retain": examples(n)}, Classification(loss=loss), 0, None)  # type: ignore[arg-type]


def eigenvalues(loss: str, given: Examples) -> Tensor:
    """Of the Hessian that PyTorch forms whole, ascending."""
    model = net().double()
    names, sizes = zip(*((name, p.shape) for name, p in model.named_parameters()), strict=True)

    def value(flat: Tensor) -> Tensor:
        parts = flat.split([size.numel() for size in sizes])
        state = {name: part.view(size) for name, part, size in zip(names, parts, sizes, strict=True)}
        return LOSSES[loss](torch.func.functional_call(model, state, given.x.double()), given.y)

    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    return torch.linalg.eigvalsh(torch.autograd.functional.hessian(value, flat))


@pytest.mark.parametrize("loss", LOSSES)
def test_it_is_the_largest_eigenvalue_of_the_hessian(loss: str) -> None:
    given = probe(loss)
    before = {name: tensor.clone() for name, tensor in given.model.state_dict().items()}
    found = {value.measure: value.value for value in hessian(given, examples=512, iterations=2000, tolerance=1e-6)}
    known = eigenvalues(loss, examples(20))
    largest = known[-1].item()
    assert found["top_eigenvalue"] == pytest.approx(largest, rel=1e-6)
    assert 0 <= found["top_eigenvalue_error"] <= 1e-6 * largest
    assert all(torch.equal(tensor, before[name]) for name, tensor in given.model.state_dict().items())
    assert all(parameter.grad is None for parameter in given.model.parameters())


def test_it_is_of_so_many_examples_as_are_asked_for() -> None:
    given = probe("mse")
    chosen = given.some("retain", 7)
    found = hessian(given, examples=7, iterations=2000, tolerance=1e-6)[0].value
    assert found == pytest.approx(eigenvalues("mse", chosen)[-1].item(), rel=1e-6)
    assert found != pytest.approx(eigenvalues("mse", examples(20))[-1].item(), rel=1e-3)


def test_an_eigenvalue_lies_within_the_error_wherever_it_ends() -> None:
    known = eigenvalues("mse", examples(20))
    for iterations in (1, 2, 5):
        values = {
            v.measure: v.value for v in hessian(probe("mse"), examples=512, iterations=iterations, tolerance=1e-6)
        }
        assert (known - values["top_eigenvalue"]).abs().min() <= values["top_eigenvalue_error"]
        assert values["top_eigenvalue_error"] > 1e-6, "it has not ended by itself"


@pytest.mark.parametrize("others", [[-3.0, 1.0], [-2.0, 1.0], [-2.0, -1.999], [1.0, 0.5], [-9.0, 1.9]])
def test_a_negative_curvature_as_large_or_larger_is_not_taken_for_it(others: list[float]) -> None:
    diagonal = torch.tensor([*others, 2.0], dtype=torch.float64)
    value, error = top_eigenvalue(lambda v: diagonal * v, torch.ones(3, dtype=torch.float64), 2000, 1e-8)
    assert value == pytest.approx(2)
    assert error <= 3e-8
    # Ended early it is too small, and never too large.
    assert top_eigenvalue(lambda v: diagonal * v, torch.ones(3, dtype=torch.float64), 2, 1e-8)[0] < 2


def test_without_curvature_it_is_0() -> None:
    assert top_eigenvalue(torch.zeros_like, torch.ones(3), 10, 0.01) == (0.0, 0.0)
