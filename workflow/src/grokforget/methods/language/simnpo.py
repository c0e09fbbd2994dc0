"""SimNPO (Fan et al. 2024, arXiv 2410.07163): NPO without a reference model, on the mean over an answer's tokens."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired, language_of


class SimNPO(Paired):
    """-γ (2/β) log σ(β (NLL_f / length - δ)) + α NLL_r, length being the answer's tokens."""

    def __init__(self, *, beta: float, delta: float, **common: Any) -> None:
        super().__init__(**common)
        self.beta, self.delta = beta, delta

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        part = problem.forget[batch.forget]
        objective = language_of(problem)
        losses = objective.example_losses(objective.outputs(problem.model, part), part.y)
        return -2 / self.beta * functional.logsigmoid(self.beta * (losses - self.delta)).mean()
