"""Template orthogonality (Balestriero & Baraniuk 2018, arXiv 1805.06576): a class's template is its row of the output
layer, as carried back to the input by the layers below."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.penalties.base import Penalty


class TemplateOrthogonality(Penalty):
    """λ Σ_{i≠j} ⟨w_i, w_j⟩², w_i the rows of the output layer's weight; every pair counts twice, its bias not at all."""

    def __init__(self, *, strength: float) -> None:
        self.strength = strength

    def __call__(self, model: nn.Module, batch: Examples, *, seed: int, step: int) -> Tensor:
        layer = model.get_submodule(str(model.output_layer))
        rows: Tensor = layer.weight  # type: ignore[assignment]
        products = rows @ rows.T
        return self.strength * (products - torch.diag(products.diagonal())).square().sum()
