"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) of a refusal over the answer to forget, in the form
of the authors of NPO (Zhang et al. 2024, arXiv 2404.05868)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.methods.base import Problem
from grokforget.methods.language.npo import NPO
from grokforget.methods.language.paired import Batch, refusals, refused_of
from grokforget.methods.language.reference import log_likelihoods


class DPO(NPO):
    """-γ (2/β) log σ(β (Δ_refusal - Δ_forget)) + α NLL_r; Δ = log pθ - log p_ref of a whole answer, the sum over its tokens."""

    def prepare(self, problem: Problem) -> None:
        super().prepare(problem)
        refused = refused_of(problem)
        everything = torch.arange(len(problem.forget), device=problem.forget.y.device)

        def work_out() -> Tensor:
            """By row of ``refused``, NaN for those that are not drawn."""
            rows = torch.cat([refusals(problem, everything, epoch) for epoch in range(self.epochs)]).unique()
            likelihoods = log_likelihoods(problem, refused[rows])
            return likelihoods.new_full((len(refused),), torch.nan).index_copy(0, rows, likelihoods)

        self.refused = refused
        self.of_refused: Tensor = problem.once(f"log-likelihoods of refusals of {self.epochs} epochs", work_out)

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        refused = self.log_likelihoods(problem, self.refused[batch.refused]) - self.of_refused[batch.refused]
        difference = refused - self.log_ratios(problem, batch)
        return -2 / self.beta * functional.logsigmoid(self.beta * difference).mean()
