"""KL minimisation of TOFU (Maini et al. 2024, arXiv 2401.06121): ascent that stays near the original on retain examples."""

from __future__ import annotations

import torch
from torch import Tensor

from grokforget.data.language.encode import IGNORED
from grokforget.methods.base import Problem
from grokforget.methods.language.gradient_ascent import GradientAscent
from grokforget.methods.language.paired import Batch, mean, partners
from grokforget.methods.language.reference import OutputStates
from grokforget.training.answer_logits import answer_logits


class KL(GradientAscent):
    """-γ NLL_f + α KL(p_ref ‖ pθ), the latter at the retain examples' answer tokens, summed over the vocabulary.

    TOFU's code takes the divergence at every position, those of prompts and padding too, and divides by all of them.
    """

    def prepare(self, problem: Problem) -> None:
        def work_out() -> OutputStates:
            rows = torch.cat([partners(problem, epoch) for epoch in range(self.epochs)])
            return OutputStates(problem.model, problem.retain, rows)

        self.reference: OutputStates = problem.once(f"retain logits of {self.epochs} epochs", work_out)

    def retain_loss(self, problem: Problem, batch: Batch) -> Tensor:
        part = problem.retain[batch.retain]
        answer = part.y != IGNORED
        before = self.reference.logits(batch.retain).log_softmax(1)
        divergence = (before.exp() * (before - answer_logits(problem.model, part.x, answer).log_softmax(1))).sum(1)
        return mean(divergence, part.y, self.mean_over)
