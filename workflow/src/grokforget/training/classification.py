"""Telling classes apart: the objective of a model whose outputs are logits (N, K) and whose targets are labels (N,)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from grokforget.training.objective import Objective


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (logit - one-hot target)², as Omnigrok does (arXiv 2210.01117)."""
    return functional.mse_loss(logits, functional.one_hot(labels, logits.shape[1]).to(logits.dtype))


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mean_squared_error,
    "cross-entropy": functional.cross_entropy,
}


class Classification(Objective):
    """Trained by ``loss``, ``mse`` or ``cross-entropy``; unlearned by the cross-entropy; right where the largest logit is
    that of the label. Raises KeyError for another loss."""

    def __init__(self, *, loss: str) -> None:
        self.loss = LOSSES[loss]

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(outputs, targets)

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets)

    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none")

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.argmax(1) == targets
