"""ℓ1-sparse unlearning (Jia et al. 2023, arXiv 2304.04934): fine-tuning that presses weights to zero at first."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.descent import FineTune


class L1Sparse(FineTune):
    """SGD on CE over D_r + ``alpha`` · (1 - e/E) · ‖θ‖₁, in epoch e = 0 .. E - 1; of all parameters, as the authors' code.

    Where a weight is 0 its term has the gradient 0, so one that is there stays until the loss moves it.
    """

    def __init__(self, *, alpha: float, **descent: Any) -> None:
        super().__init__(**descent)
        self.alpha = alpha

    def loss(self, problem: Problem, batch: Examples, epoch: int) -> Tensor:
        norm = sum(parameter.abs().sum() for parameter in problem.model.parameters())
        return super().loss(problem, batch, epoch) + self.alpha * (1 - epoch / self.epochs) * norm
