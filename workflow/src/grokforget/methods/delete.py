"""DELETE (Zhou et al. 2025, arXiv 2503.23751): the original distilled without the class to forget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.descent import Descent
from grokforget.training.distillation import distillation
from grokforget.training.evaluate import logits_of


class Delete(Descent):
    """SGD on KL(softmax(z_o with -∞ for the example's own class) ‖ softmax(z)) over D_f alone, z_o of the original in eval
    mode; sum over the classes, mean over the batch. Of classification."""

    examples = "forget"

    def run(self, problem: Problem) -> Iterator[None]:
        x, own = problem.forget.x, problem.forget.y
        others = logits_of(problem.model, x).scatter(1, own[:, None], -math.inf)
        yield from super().run(replace(problem, forget=Examples(x, others)))

    def loss(self, problem: Problem, batch: Examples, epoch: int) -> Tensor:
        return distillation(problem.model(batch.x), batch.y, temperature=1.0)
