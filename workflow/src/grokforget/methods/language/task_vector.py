"""Task vectors (Ilharco et al. 2023, arXiv 2212.04089): unlearning by negating what fine-tuning on the forget set adds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from grokforget.methods.base import Problem
from grokforget.methods.language.paired import Batch, Paired


class TaskVector(Paired):
    """θ ← θ - α (θ_f - θ) in ``steps`` equal parts, an update each; θ_f are the weights of a copy that was fine-tuned on the
    forget set, by the objective's training loss. All weights that learn, layer by layer: of low-rank adapters θ are their own
    numbers, and what they add to a layer is not taken away in proportion."""

    def __init__(self, *, scale: float, steps: int, **common: Any) -> None:
        super().__init__(**common)
        self.recipe = sorted(common.items())
        """All that fine-tuning depends on beside the request."""
        self.scale, self.steps = scale, steps

    def run(self, problem: Problem) -> Iterator[None]:
        parameters = learned(problem.model)
        vector: dict[str, Tensor] = problem.once(f"task vector by {self.recipe}", lambda: self.vector(problem))
        before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        for step in range(1, self.steps + 1):
            with torch.no_grad():
                for name, parameter in parameters.items():
                    # From the start each time: parts that are added up would not end at the same bits.
                    parameter.copy_(before[name] - self.scale * step / self.steps * vector[name])
            yield

    def vector(self, problem: Problem) -> dict[str, Tensor]:
        """What fine-tuning adds to every parameter."""
        tuned = replace(problem, model=copy.deepcopy(problem.model))
        for _ in super().run(tuned):
            pass
        before = learned(problem.model)
        return {name: (after - before[name]).detach() for name, after in learned(tuned.model).items()}

    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        part = problem.forget[batch.forget]
        return problem.objective.training_loss(problem.objective.outputs(problem.model, part), part.y)


def learned(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
