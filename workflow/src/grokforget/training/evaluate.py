"""Accuracy, loss and per-example outputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grokforget.training.losses import Loss
from grokforget.training.modes import in_eval_mode

BATCH = 4096
"""Examples per forward pass: whole laptop data sets at once, and larger ones within a few GB."""


@dataclass(frozen=True)
class Examples:
    """Encoded inputs (N, ...) and int64 labels (N,), on the model's device."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor) -> Examples:
        return Examples(self.x[index], self.y[index])


@torch.no_grad()
def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (N, K) in eval mode; every module's mode is put back."""
    with in_eval_mode(model):
        return torch.cat([model(part) for part in x.split(BATCH)])


def accuracy_and_loss(model: nn.Module, examples: Examples, loss: Loss) -> tuple[float, float]:
    """Share of right predictions in [0, 1] and mean loss."""
    logits = logits_of(model, examples.x)
    accuracy = (logits.argmax(1) == examples.y).double().mean()
    return accuracy.item(), loss(logits, examples.y).item()


def evaluate(model: nn.Module, splits: Mapping[str, Examples], loss: Loss) -> dict[str, float]:
    """``{split}_accuracy`` and ``{split}_loss`` for every split."""
    row: dict[str, float] = {}
    for name, examples in splits.items():
        row[f"{name}_accuracy"], row[f"{name}_loss"] = accuracy_and_loss(model, examples, loss)
    return row


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return torch.sqrt(sum((p.detach().double() ** 2).sum() for p in model.parameters())).item()  # type: ignore[arg-type]
