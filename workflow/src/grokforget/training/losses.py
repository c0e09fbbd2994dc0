"""Training losses by name: functions (logits (N, K), labels (N,)) → scalar."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over examples and classes of (logit - one-hot target)², as Omnigrok does (arXiv 2210.01117)."""
    return functional.mse_loss(logits, functional.one_hot(labels, logits.shape[1]).to(logits.dtype))


LOSSES: dict[str, Loss] = {"mse": mean_squared_error, "cross-entropy": functional.cross_entropy}
