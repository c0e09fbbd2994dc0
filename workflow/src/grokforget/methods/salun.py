"""SalUn (Fan et al. 2024, arXiv 2310.12508): random labels, learned by the salient weights alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.random_labels import RandomLabels
from grokforget.training.evaluate import BATCH, logits_of
from grokforget.training.modes import in_eval_mode
from grokforget.training.objective import Objective


class SalUn(RandomLabels):
    """``RandomLabels`` in which only the ``salient_share`` of all weights moves that has the largest |∂ CE(D_f)|.

    All others keep every bit: neither gradient nor momentum nor weight decay moves them. (An earlier version of the authors'
    code masked the gradient alone, so that weight decay moved them all.) Buffers are not weights: moving batch norms move.
    """

    def __init__(self, *, salient_share: float, **descent: Any) -> None:
        super().__init__(**descent)
        self.salient_share = salient_share

    def run(self, problem: Problem) -> Iterator[None]:
        parameters = list(problem.model.parameters())
        original = [p.detach().clone() for p in parameters]
        salient = largest(forget_gradient(problem.model, problem.forget, problem.objective), self.salient_share)
        for _ in super().run(problem):
            # SGD moves every weight by itself, so that one that is put back has had no part in the others' way.
            with torch.no_grad():
                for p, before, moves in zip(parameters, original, salient, strict=True):
                    p.copy_(torch.where(moves, p, before))
            yield


def forget_gradient(model: nn.Module, forget: Examples, objective: Objective) -> list[Tensor]:
    """The gradient of log CE(D_f) by every parameter, in float64, in eval mode: the order of its components is that of the
    gradient of CE, and it does not vanish with the loss."""
    parameters = list(model.parameters())
    total = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
    loss = objective.unlearning_loss(logits_of(model, forget.x).double(), forget.y)
    scale = 1 / loss if loss else torch.ones_like(loss)
    with in_eval_mode(model):
        for index in torch.arange(len(forget)).split(BATCH):
            batch = forget[index]
            part = objective.unlearning_loss(model(batch.x).double(), batch.y) * scale * (len(batch) / len(forget))
            for sum_, g in zip(
                total, torch.autograd.grad(part, parameters, allow_unused=True, materialize_grads=True), strict=True
            ):
                sum_ += g
    return total


def largest(values: list[Tensor], share: float) -> list[Tensor]:
    """Whether each value is among the int(``share`` · n) of all n that are largest in size; of equal ones the first."""
    sizes = torch.cat([value.flatten() for value in values]).abs()
    chosen = torch.zeros_like(sizes, dtype=torch.bool)
    chosen[sizes.argsort(descending=True, stable=True)[: int(share * len(sizes))]] = True
    parts = chosen.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]
