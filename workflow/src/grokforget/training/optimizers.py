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
    always = {"fused": True} if "fused" in inspect.signature(kind).parameters else {}

    def make(parameters: Parameters, **settings: Any) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = light(parameters, **always, **settings)
        return optimizer

    return make


_SGD, _ADAM, _ADAMW, _MUON = map(_light, (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Muon))


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


class Muon(torch.optim.Optimizer):
    """PyTorch's ``Muon`` for some matrices and ``AdamW`` for the other parameters, as one optimizer of two groups, in this order.

    The matrices' rate is ``matrix_learning_rate`` times √max(1, rows / columns), or without one the others' times .2
    √max(rows, columns). A group's ``factor`` is its rate over the others', for who sets rates.
    """

    def __init__(
        self,
        matrices: Parameters,
        others: Parameters,
        learning_rate: float,
        weight_decay: float,
        momentum: float,
        nesterov: bool,
        betas: Sequence[float],
        matrix_learning_rate: float | None,
    ) -> None:
        rate, adjusted = (
            (learning_rate, "match_rms_adamw") if matrix_learning_rate is None else (matrix_learning_rate, "original")
        )
        self.parts = [
            _MUON(
                matrices,
                lr=rate,
                weight_decay=weight_decay,
                momentum=momentum,
                nesterov=nesterov,
                adjust_lr_fn=adjusted,
            ),
            adamw(others, learning_rate, weight_decay, betas),
        ]
        groups = [group for part in self.parts for group in part.param_groups]
        groups[0]["factor"] = rate / learning_rate
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        # Each time: what is loaded comes in place of groups and state.
        for part, group in zip(self.parts, self.param_groups, strict=True):
            part.param_groups, part.state = [group], self.state
            part.step()


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights of all linear layers but the output layer, in the model's order."""
    output = model.get_submodule(str(model.output_layer))
    layers = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not output]
    found = {id(layer.weight) for layer in layers}
    return [parameter for parameter in model.parameters() if id(parameter) in found]


def muon(model: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    """``Muon`` for the hidden matrices of a model. Raises ValueError for one without any."""
    matrices = hidden_matrices(model)
    if not matrices:
        raise ValueError(f"{type(model).__name__} has no linear layer beside its output layer, so nothing is Muon's")
    chosen = set(map(id, matrices))
    return Muon(matrices, [one for one in model.parameters() if id(one) not in chosen], **settings)


OPTIMIZERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], tuple[str, ...]]] = {
    "sgd": (lambda model, **settings: sgd(model.parameters(), **settings), ("momentum", "nesterov")),
    "adam": (lambda model, **settings: adam(model.parameters(), **settings), ("betas",)),
    "adamw": (lambda model, **settings: adamw(model.parameters(), **settings), ("betas",)),
    "muon": (muon, ("momentum", "nesterov", "betas", "matrix_learning_rate")),
}
"""The optimizers of a model by name, each with the settings that it takes beside learning rate and weight decay."""


def make_optimizer(model: nn.Module, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Build the optimizer that ``spec`` names. Raises KeyError for a name that is not in ``OPTIMIZERS``."""
    make, own = OPTIMIZERS[spec.name]
    return make(model, **{name: getattr(spec, name) for name in ("learning_rate", "weight_decay", *own)})


def set_rates(optimizer: torch.optim.Optimizer, spec: OptimizerSpec, step: int) -> None:
    """Learning rate and weight decay of update number ``step`` (from 0), for every group of parameters."""
    for group in optimizer.param_groups:
        # Numbers: fused updates pass them to their kernel, where a tensor's value would be waited for.
        group["lr"] = learning_rate(spec, step) * group.get("factor", 1.0)
        group["weight_decay"] = weight_decay(spec, step)


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
