"""Norms and ranks of weights, against NumPy and against matrices whose ranks are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from grokforget.analyses.base import Probe
from grokforget.analyses.weights import effective_rank, singular_values, stable_rank, weights
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.training.classification import Classification


def probe() -> Probe:
    torch.manual_seed(0)
    model = CNN(DataShape((1, 8, 8), 3), channels=[2, 3], kernel_size=3, hidden=5).eval()
    examples = {name: Examples(torch.rand(4, 1, 8, 8), torch.arange(4) % 3) for name in ("retain", "test")}
    return Probe(model, examples, Classification(loss="mse"), 0, None)  # type: ignore[arg-type]


def test_norms_and_ranks_are_those_of_the_singular_values() -> None:
    given = probe()
    found = {(value.measure, value.part): value.value for value in weights(given)}
    state = {name: value.double().numpy() for name, value in given.model.state_dict().items()}
    everything = np.concatenate([value.ravel() for value in state.values()])
    assert found.pop(("weight_norm", "")) == pytest.approx(np.linalg.norm(everything))
    last = [state["output.weight"].ravel(), state["output.bias"].ravel()]
    assert found.pop(("last_layer_norm", "")) == pytest.approx(np.linalg.norm(np.concatenate(last)))
    names = [name for name, value in state.items() if value.ndim > 1]
    assert {part for _, part in found} == set(names)
    for name in names:
        matrix = state[name].reshape(len(state[name]), -1)
        singular = np.linalg.svd(matrix, compute_uv=False)
        p = singular / singular.sum()
        assert found["matrix_norm", name] == pytest.approx(np.sqrt((matrix**2).sum()))
        assert found["effective_rank", name] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
        assert found["stable_rank", name] == pytest.approx((matrix**2).sum() / np.linalg.norm(matrix, 2) ** 2)


@pytest.mark.parametrize(
    ("matrix", "effective", "stable"),
    [
        (torch.eye(4), 4, 4),
        (torch.ones(3, 5), 1, 1),
        (torch.zeros(3, 5), 0, 0),
        # Singular values 3 and 1: p is 3/4 and 1/4.
        (torch.tensor([[3.0, 0], [0, -1.0]]), (4 / 3) ** 0.75 * 4**0.25, 10 / 9),
        (torch.tensor([[math.nan, 0], [0, 1.0]]), math.nan, math.nan),
    ],
)
def test_ranks_of_matrices_that_are_known(matrix: torch.Tensor, effective: float, stable: float) -> None:
    singular = singular_values(matrix.double())
    assert effective_rank(singular) == pytest.approx(effective, nan_ok=True)
    assert stable_rank(singular) == pytest.approx(stable, nan_ok=True)
