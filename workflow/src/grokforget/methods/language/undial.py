"""UNDIAL (Dong et al. 2024, arXiv 2402.10052): self-distillation with the answers' tokens made less likely."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grokforget.data.language.encode import IGNORED
from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired, mean
from grokforget.methods.language.reference import OutputStates
from grokforget.training.answer_logits import answer_logits


class Undial(Paired):
    """γ CE(softmax(z_ref - β e_y), pθ) + α NLL_r, the first at the forget examples' answer tokens y, z_ref the original's
    logits. Published without the second term."""

    def __init__(self, *, beta: float, **common: Any) -> None:
        super().__init__(**common)
        self.beta = beta

    def prepare(self, problem: Problem) -> None:
        everything = torch.arange(len(problem.forget), device=problem.forget.y.device)
        self.reference: OutputStates = problem.once(
            "forget logits", lambda: OutputStates(problem.model, problem.forget, everything)
        )

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        part = problem.forget[batch.forget]
        answer = part.y != IGNORED
        before = self.reference.logits(batch.forget)
        own = part.y[answer][:, None]
        lowered = before.scatter(1, own, before.gather(1, own) - self.beta).softmax(1)
        crossed = -(lowered * answer_logits(problem.model, part.x, answer).log_softmax(1)).sum(1)
        return mean(crossed, part.y, self.mean_over)
