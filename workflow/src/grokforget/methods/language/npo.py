"""Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868)."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired
from grokforget.methods.language.reference import log_likelihoods


class NPO(Paired):
    """-γ (2/β) log σ(-β (log pθ - log p_ref)) + α NLL_r, of whole answers: log-likelihoods are sums over their tokens.

    At the first update pθ = p_ref, where the gradient of the first term is that of log pθ whatever β: gradient ascent's on
    sums over tokens. It fades as an answer becomes less likely, the sooner the larger β.
    """

    def __init__(self, *, beta: float, **common: Any) -> None:
        super().__init__(**common)
        self.beta = beta

    def prepare(self, problem: Problem) -> None:
        self.before: Tensor = problem.once(
            "log-likelihoods of the forget set", lambda: log_likelihoods(problem, problem.forget)
        )

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        return -2 / self.beta * functional.logsigmoid(-self.beta * self.log_ratios(problem, batch)).mean()

    def log_ratios(self, problem: Problem, batch: Batch) -> Tensor:
        """log pθ - log p_ref of each forget answer, (B,)."""
        return self.log_likelihoods(problem, problem.forget[batch.forget]) - self.before[batch.forget]
