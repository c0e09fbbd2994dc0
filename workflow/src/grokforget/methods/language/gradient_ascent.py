"""Gradient ascent on the answers to forget, as in TOFU (Maini et al. 2024, arXiv 2401.06121)."""

from __future__ import annotations

from torch import Tensor

from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired


class GradientAscent(Paired):
    """-NLL_f, without a stopping rule."""

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        return -self.nll(problem, problem.forget[batch.forget])
