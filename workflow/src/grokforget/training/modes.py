"""Modes of a model that are put back as they were, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """The whole model in eval mode; afterwards every module is in the mode that it was in, also where it differs from
    the model's own."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms go on normalising as their mode says, but update neither running statistics nor their counter."""
    tracking = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for module in tracking:
        # In train mode the statistics are not read, and in eval mode those there are go on being read.
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
