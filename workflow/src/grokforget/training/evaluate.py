"""Accuracy, loss and per-example outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.modes import in_eval_mode
from grokforget.training.objective import Objective

BATCH = 4096
"""Examples per forward pass: whole laptop data sets at once, and larger ones within a few GB."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets of all examples → their mean loss, a scalar: one of an ``Objective``'s."""


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """Outputs (N, ...), logits in classification, in eval mode; every module's mode is put back."""
    with in_eval_mode(model):
        return torch.cat([model(part) for part in x.split(BATCH)])


def accuracy_of(model: nn.Module, examples: Examples, objective: Objective) -> float:
    """Share of right predictions in [0, 1]."""
    return _share(objective.correct(logits_of(model, examples.x), examples.y))


def accuracy_and_loss(model: nn.Module, examples: Examples, objective: Objective, loss: Loss) -> tuple[float, float]:
    """Share of right predictions in [0, 1] and mean loss; ``loss`` is the objective's training or unlearning loss."""
    outputs = logits_of(model, examples.x)
    return _share(objective.correct(outputs, examples.y)), loss(outputs, examples.y).item()


def evaluate(model: nn.Module, splits: Mapping[str, Examples], objective: Objective, loss: Loss) -> dict[str, float]:
    """``{split}_accuracy`` and ``{split}_loss`` for every split."""
    row: dict[str, float] = {}
    for name, examples in splits.items():
        row[f"{name}_accuracy"], row[f"{name}_loss"] = accuracy_and_loss(model, examples, objective, loss)
    return row


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return torch.sqrt(sum((p.detach().double() ** 2).sum() for p in model.parameters())).item()  # type: ignore[arg-type]


def _share(correct: Tensor) -> float:
    return correct.double().mean().item()
