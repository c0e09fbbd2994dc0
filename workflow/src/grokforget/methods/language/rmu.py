"""Representation misdirection (RMU; Li et al. 2024, arXiv 2403.03218)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, on_device
from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired, mean, partners
from grokforget.methods.language.reference import States, gathered, states, watched


class RMU(Paired):
    """γ ‖h - c u/‖u‖‖²/d on the forget and α ‖h - h_ref‖²/d on the retain examples; h (d,) is what the ``module`` of that name
    gives at an answer token, c the ``coefficient``, u one vector for all, with numbers drawn evenly from [0, 1).

    Squares are averaged over the width, then over an example's answer tokens, then over the examples. All weights up to the
    module learn, as in the comparisons on TOFU; the authors move three layers' MLPs. Those behind it have no gradient, and so
    no weight decay either.
    """

    def __init__(self, *, module: str, coefficient: float, **common: Any) -> None:
        super().__init__(**common)
        self.module, self.coefficient = module, coefficient

    def prepare(self, problem: Problem) -> None:
        def work_out() -> States:
            rows = torch.cat([partners(problem, epoch) for epoch in range(self.epochs)])
            return states(problem.model, problem.retain, rows, self.module, "output")

        self.reference: States = problem.once(f"{self.module} on retain of {self.epochs} epochs", work_out)
        width = next(iter(self.reference.values()))
        drawn = torch.rand(width.shape[1], generator=problem.generator("control vector"), dtype=torch.float64)
        self.control = on_device((self.coefficient * drawn / drawn.norm()).to(width.dtype), width.device)

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        return self.distance(problem, problem.forget[batch.forget], self.control)

    def retain_loss(self, problem: Problem, batch: Batch) -> Tensor:
        return self.distance(problem, problem.retain[batch.retain], gathered(self.reference, batch.retain))

    def distance(self, problem: Problem, examples: Examples, target: Tensor) -> Tensor:
        """Mean square of what the module gives less the ``target``, (d,) or (tokens, d)."""
        with watched(problem.model, self.module, "output") as seen:
            problem.model(examples.x)
        squares = (seen[0][examples.y != IGNORED] - target).square().mean(1)
        return mean(squares, examples.y, over="examples")
