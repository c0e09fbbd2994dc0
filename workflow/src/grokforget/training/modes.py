"""Modes of a model: those that a method learns in, and those that are put back as they were, module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchStatistics = Literal["moving", "frozen"]
"""What batch norms do during updates. ``moving``: they normalise by the batch and move their running statistics, as in
training. ``frozen``: they normalise by their running statistics, which stay."""


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """All batch norms of the model, of any dimension."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def set_modes(model: nn.Module, batch_statistics: BatchStatistics, *, training: bool) -> None:
    """The model in train or eval mode (which is for dropout and its like), but its batch norms by ``batch_statistics``."""
    model.train(training)
    for norm in batch_norms(model):
        norm.train(batch_statistics == "moving")


def fewest_examples(model: nn.Module, batch_statistics: BatchStatistics) -> int:
    """In a batch: 2 where batch norms normalise by it, else 1. (torch takes a single example of several positions a channel,
    as of images, and raises ValueError otherwise.)"""
    return 2 if batch_statistics == "moving" and batch_norms(model) else 1


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """The whole model in eval mode; afterwards every module is in the mode that it was in, also where it differs from
    the model's own."""
    # The attribute alone, not ``eval()``, which walks over all modules at every one of thousands of evaluations.
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Whatever modes its modules are put into, afterwards every one is in the mode that it was in."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch norms go on normalising as their mode says, but update neither running statistics nor their counter."""
    tracking = [norm for norm in batch_norms(model) if norm.track_running_stats]
    for norm in tracking:
        # In train mode the statistics are not read, and in eval mode those there are go on being read.
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
