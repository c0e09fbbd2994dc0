"""Telling classes apart: the objective of a model whose outputs are logits (N, K) and whose targets are labels (N,)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.training.objective import Objective


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (logit - one-hot target)², as Omnigrok does (arXiv 2210.01117)."""
    return functional.mse_loss(logits, functional.one_hot(labels, logits.shape[1]).to(logits.dtype))


def cross_entropies(logits: Tensor, labels: Tensor) -> Tensor:
    """-log p(y|x) in nats, (N,), in the logits' dtype, as log(1 + Σ_{k≠y} exp(z_k - z_y)).

    Written as usual it loses its digits where p(y|x) is near 1: in float32 the value and, through the term p - 1, the
    gradient are 0 from a margin of 17 on, and a method that ascends has no direction on an example that was learned by
    heart. In this form both keep their digits until exp(-margin) is below the smallest normal number, at 87 in float32:
    float64 would cost half as much again and add nothing below that.
    """
    others = logits.scatter(1, labels[:, None], -math.inf)
    return surprise(logits.gather(1, labels[:, None])[:, 0], others)


def surprise(own: Tensor, others: Tensor) -> Tensor:
    """``cross_entropies`` of the labels' own logits (N,) and all logits (N, K), in which these are -∞."""
    return functional.softplus(others.logsumexp(1) - own, threshold=40)


def other_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """For each of the labels (N,) another one of so many ``classes``, drawn evenly, on the labels' device; the
    ``generator`` is the CPU's."""
    shift = torch.randint(1, classes, labels.shape, generator=generator)
    return (labels + shift.to(labels.device)) % classes


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
        return cross_entropies(outputs, targets).mean()

    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropies(outputs, targets)

    def confidences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The logit of the label less the logarithm of the sum of the others' exponentials."""
        logits, label = outputs.double(), targets[:, None]
        others = logits.scatter(1, label, -math.inf).logsumexp(1)
        return logits.gather(1, label)[:, 0] - others

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.argmax(1) == targets
