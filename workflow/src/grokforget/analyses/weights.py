"""How large the weights are, and how many directions their matrices have."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, nan_where_diverged
from grokforget.training.evaluate import weight_norm


@nan_where_diverged
def weights(probe: Probe) -> list[Value]:
    """Norms and ranks, in float64.

    ``weight_norm``: Euclidean norm of all parameters together; ``last_layer_norm``: of the output layer's. Of every parameter
    with two axes or more, whose name is the part, as a matrix with a row an output (a convolution's kernels are rows):
    ``matrix_norm``, its Frobenius norm; ``effective_rank``, exp of the entropy of its singular values over their sum (Roy &
    Vetterli 2007); ``stable_rank``, the sum of their squares over the largest square (Rudelson & Vershynin 2007). Both ranks are
    at most the number of singular values, which they are where all are equal; of a matrix of zeros they are 0.
    """
    model = probe.model
    values = [
        Value("weight_norm", "", weight_norm(model)),
        Value("last_layer_norm", "", weight_norm(model.get_submodule(str(model.output_layer)))),
    ]
    for name, matrix in matrices(model).items():
        singular = singular_values(matrix)
        values.append(Value("matrix_norm", name, singular.norm().item()))
        values.append(Value("effective_rank", name, effective_rank(singular)))
        values.append(Value("stable_rank", name, stable_rank(singular)))
    return values


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """The parameters with two axes or more by name, float64 (outputs, rest)."""
    return {
        name: parameter.detach().double().flatten(1)
        for name, parameter in model.named_parameters()
        if parameter.dim() > 1
    }


def singular_values(matrix: Tensor) -> Tensor:
    """Of a matrix (n, m), (min(n, m),) from the largest; NaN where a number of it is not finite, on which the algorithm
    fails."""
    if matrix.isfinite().all():
        return torch.linalg.svdvals(matrix)
    return matrix.new_full((min(matrix.shape),), math.nan)


def effective_rank(singular: Tensor) -> float:
    """exp(-Σ p ln p) of p = σ / Σσ."""
    total = singular.sum()
    return torch.special.entr(singular / total).sum().exp().item() if total else 0.0


def stable_rank(singular: Tensor) -> float:
    """Σσ² / σ_max²."""
    return (singular / singular[0]).square().sum().item() if singular[0] else 0.0
