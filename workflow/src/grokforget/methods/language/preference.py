"""Preference optimisation of TOFU (Maini et al. 2024, arXiv 2401.06121): learn to refuse the questions to forget."""

from __future__ import annotations

from torch import Tensor

from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired, refused_of, together


class Preference(Paired):
    """NLL of the forget questions with refusals drawn at random and of the retain pairs, together: as one batch of both."""

    def prepare(self, problem: Problem) -> None:
        self.refused = refused_of(problem)

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        refused, retain = self.refused[batch.refused], problem.retain[batch.retain]
        return self.nll(problem, together(refused, retain))
