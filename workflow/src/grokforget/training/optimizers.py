"""Optimizers, with fused updates, and learning-rate schedules by name."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from grokforget.config.training import OptimizerSpec

Parameters = Iterable[nn.Parameter]


def _light(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """The same optimizer with fused updates, and without torch's compiler behind it.

    Making an optimizer and its first step import ``torch._dynamo``, only to exempt themselves from being compiled: in
    every job as long again as ``import torch`` itself. Nothing is compiled here, so four methods are marked as exempted
    already, and the step is the undecorated one, without gradients. The numbers are those of the original class (a test
    holds them equal); a torch that is built otherwise goes on importing, no more.
    """
    for name in ("add_param_group", "load_state_dict", "state_dict", "zero_grad"):
        method = getattr(torch.optim.Optimizer, name)
        while (method := getattr(method, "__wrapped__", None)) and not hasattr(method, "__dynamo_disable"):
            setattr(method, "__dynamo_disable", method)
    step = inspect.unwrap(kind.step)

    def light_step(self: torch.optim.Optimizer, closure: None = None) -> None:
        with torch.no_grad():
            step(self, closure)

    light = type(kind.__name__, (kind,), {"step": light_step})

    def make(parameters: Parameters, **settings: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = light(parameters, fused=True, **settings)
        return optimizer

    return make


_SGD, _ADAM, _ADAMW = map(_light, (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW))


def sgd(
    parameters: Parameters, learning_rate: float, weight_decay: float, momentum: float = 0.0, nesterov: bool = False
) -> torch.optim.Optimizer:
    """Stochastic gradient descent; weight decay is an L2 term of the gradient."""
    return _SGD(parameters, lr=learning_rate, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov)


def adam(
    parameters: Parameters, learning_rate: float, weight_decay: float, betas: Sequence[float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """Adam; weight decay is an L2 term of the gradient."""
    return _ADAM(parameters, lr=learning_rate, betas=(betas[0], betas[1]), weight_decay=weight_decay)


def adamw(
    parameters: Parameters, learning_rate: float, weight_decay: float, betas: Sequence[float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """AdamW; weight decay shrinks the weights directly, by learning rate times weight decay an update."""
    return _ADAMW(parameters, lr=learning_rate, betas=(betas[0], betas[1]), weight_decay=weight_decay)


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], tuple[str, ...]]] = {
    "sgd": (sgd, ("momentum", "nesterov")),
    "adam": (adam, ("betas",)),
    "adamw": (adamw, ("betas",)),
}
"""The optimizers by name, each with the settings that it takes beside learning rate and weight decay."""


def make_optimizer(parameters: Parameters, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Build the optimizer that ``spec`` names. Raises KeyError for a name that is not in ``OPTIMIZERS``."""
    make, own = OPTIMIZERS[spec.name]
    return make(parameters, **{name: getattr(spec, name) for name in ("learning_rate", "weight_decay", *own)})


def learning_rate(spec: OptimizerSpec, step: int) -> float:
    """The learning rate of update number ``step`` (from 0), a share of the full rate that the switches leave.

    First a linear warm-up, where there is one: the updates 0 to ``warmup_steps - 1`` have 1, 2, ... ``warmup_steps`` parts
    of ``warmup_steps`` of the full rate; none of them is lost on a rate of 0. The schedule begins behind it: ``constant``;
    or ``cosine``: half a cosine from the full rate down to 0 over ``decay_steps``, 0 after them. The lengths are settings
    of their own, so that asking for more steps changes no step that was made.
    """
    full = switched(spec, "learning_rate", step)
    if step + 1 < spec.warmup_steps:
        return full * (step + 1) / spec.warmup_steps
    if spec.schedule == "constant":
        return full
    assert spec.decay_steps is not None, "the config gives every decay its length"
    progress = min(max(step - spec.warmup_steps, 0) / spec.decay_steps, 1.0)
    return full * 0.5 * (1 + math.cos(math.pi * progress))


def weight_decay(spec: OptimizerSpec, step: int) -> float:
    """The weight decay of update number ``step`` (from 0)."""
    return switched(spec, "weight_decay", step)


def switched(spec: OptimizerSpec, what: Literal["learning_rate", "weight_decay"], step: int) -> float:
    """What the last switch that lies at ``step`` or before says of it, and without one what the recipe begins with."""
    said = [getattr(switch, what) for switch in spec.switches if switch.step <= step]
    found: float = next((value for value in reversed(said) if value is not None), getattr(spec, what))
    return found
