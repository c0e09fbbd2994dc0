"""Boundary shrink (Chen et al. 2023, arXiv 2303.11570): the forget set is given to the classes across its boundary."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.descent import Descent
from grokforget.models.points import continuous
from grokforget.training.adversarial import data_box, gradient
from grokforget.training.evaluate import BATCH
from grokforget.training.modes import in_eval_mode


class BoundaryShrink(Descent):
    """SGD on CE over D_f, each example labelled with the class, other than its own, that the original predicts of its FGSM
    neighbour. Of classification.

    ``boundary_crossed_share`` says of how many examples the neighbour is predicted as another class anyway. (The authors'
    code takes the prediction whatever it is, so that it goes on training on all others with their true labels.)
    """

    examples = "forget"
    sign = 1

    def __init__(self, *, bound: float, **descent: Any) -> None:
        super().__init__(**descent)
        self.bound = bound

    def run(self, problem: Problem) -> Iterator[None]:
        logits, own = neighbour_logits(problem, self.bound), problem.forget.y
        self.diagnostics = {"boundary_crossed_share": (logits.argmax(1) != own).double().mean().item()}
        nearest = logits.scatter(1, own[:, None], -math.inf).argmax(1)
        yield from super().run(replace(problem, forget=Examples(problem.forget.x, nearest)))


def neighbour_logits(problem: Problem, bound: float) -> Tensor:
    """What the model says, in eval mode, of every forget example's FGSM neighbour, (N, K): x + ``bound`` · range ·
    sign(∂ CE/∂x), put back into the range of the data.

    The sign is that of -∂φ/∂x, the same at any margin, where the gradient of CE itself vanishes. Tokens have no neighbour
    among tokens: they are moved as the model's embeddings (``continuous``); raises TypeError for a model that does not give
    them. The authors' code rounds the neighbour to 8 bits, which here the data need not have.
    """
    model, objective = problem.model, problem.objective

    def less_sure(logits: Tensor, labels: Tensor) -> Tensor:
        return -objective.confidences(logits, labels)

    rows = []
    with in_eval_mode(model):
        parts = (problem.forget, problem.retain, problem.validation)
        box = data_box(continuous(model, part.x)[0] for part in parts)
        for index in torch.arange(len(problem.forget)).split(BATCH):
            batch = problem.forget[index]
            points, forward = continuous(model, batch.x)
            if not points.is_floating_point():
                raise TypeError(
                    f"boundary-shrink: no neighbours of {points.dtype} inputs; "
                    f"{type(model).__name__} needs embed and from_embedding, as models of tokens have"
                )
            step = bound * (box.high - box.low)
            moved = points + step * gradient(forward, less_sure, points, batch.y).sign()
            with torch.no_grad():
                rows.append(forward(moved.clamp(*box)))
    return torch.cat(rows)
