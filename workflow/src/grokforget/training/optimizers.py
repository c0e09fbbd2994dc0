"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn


def make_optimizer(parameters: Iterable[nn.Parameter], settings: Mapping[str, Any]) -> torch.optim.Optimizer:
    """Build the optimizer that ``settings`` (an ``OptimizerSettings`` as a dict) names, with fused updates where torch has them.

    Raises ValueError on a name that is not ``sgd``, ``adam`` or ``adamw``.
    """
    name, lr, weight_decay = settings["name"], settings["learning_rate"], settings["weight_decay"]
    if name == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=lr,
            momentum=settings["momentum"],
            nesterov=settings["nesterov"],
            weight_decay=weight_decay,
            fused=True,
        )
    kinds: dict[str, type[torch.optim.Adam] | type[torch.optim.AdamW]] = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    if name not in kinds:
        raise ValueError(f"unknown optimizer {name!r}; known: adam, adamw, sgd")
    betas = (settings["betas"][0], settings["betas"][1])
    return kinds[name](parameters, lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def learning_rate(settings: Mapping[str, Any], step: int) -> float:
    """The learning rate of update number ``step`` (from 0).

    ``constant``; or ``cosine``: half a cosine from the full rate down to 0 over ``decay_steps``, 0 after them. The length of the decay
    is a setting of its own, so that asking for more steps changes no step that was made.
    """
    rate = float(settings["learning_rate"])
    if settings["schedule"] == "constant":
        return rate
    progress = min(step / settings["decay_steps"], 1.0)
    return rate * 0.5 * (1 + math.cos(math.pi * progress))
