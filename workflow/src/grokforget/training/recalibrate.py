"""The running statistics of batch norms, computed anew on given inputs.

Training mode moves them with every batch, whatever the weights do: gradient ascent "forgets" so at a learning rate of 0, since
the statistics go over to those of the forget set. With statistics of retained data a model says what its weights have forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grokforget.data.loader import Examples
from grokforget.data.subset import subset
from grokforget.training.modes import batch_norms, modes_kept

BATCH = 500
"""Most examples of a batch, on every device, for the batches are part of what the statistics are."""


def norms_with_statistics(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms that have running statistics."""
    return [norm for norm in batch_norms(model) if norm.running_mean is not None]


def recalibration_inputs(model: nn.Module, examples: Examples, n: int | None, seed: int) -> Tensor | None:
    """The inputs (≤ n, ...) that the model is recalibrated on, drawn by ``seed``; None for a model without running statistics.

    Raises ValueError where the model has some and ``n`` is None: then its settings said that it has none.
    """
    if not norms_with_statistics(model):
        return None
    if n is None:
        raise ValueError(
            f"{type(model).__name__} has batch norms with running statistics, but no number of examples to recalibrate them "
            "on: `has_batch_norm` of its settings (config/models.py) must be true"
        )
    return subset(examples, n, seed).x


@torch.no_grad()
def recalibrate(model: nn.Module, x: Tensor) -> None:
    """Give every batch norm the average statistics of the inputs (N, ...); nothing else changes, modes and momenta included.

    As torch does with a momentum of None: the running mean is the mean over batches of the batch's mean, and the running
    variance the mean over batches of the batch's *unbiased* variance (its divisor is one less than the number of values of the
    channel), which leaves out how the batches' means differ. All batch norms meanwhile normalise by the batch, so that each
    sees what the recalibrated ones before it let through; dropout and its like are in eval mode. The inputs are taken in their
    order, in the fewest batches of at most ``BATCH``, whose sizes differ by one at most.
    """
    norms = norms_with_statistics(model)
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    with modes_kept(model):
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum, norm.training = None, True
        try:
            for batch in x.tensor_split(-(-len(x) // BATCH)):
                model(batch)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


@contextmanager
def recalibrated(model: nn.Module, x: Tensor | None) -> Iterator[None]:
    """The model with statistics of the inputs, as ``recalibrate`` computes them, and afterwards with its own again; of no
    inputs as it is."""
    if x is None:
        yield
        return
    own = [(buffer, buffer.clone()) for norm in norms_with_statistics(model) for buffer in norm.buffers(recurse=False)]
    recalibrate(model, x)
    try:
        yield
    finally:
        for buffer, value in own:
            buffer.copy_(value)
