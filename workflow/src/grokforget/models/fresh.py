"""A model with new weights: as if it had not been trained."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn


def fresh_copy(model: nn.Module, seed: int) -> nn.Module:
    """The same architecture on the same device, with weights (and batch-norm statistics) that depend on ``seed`` alone.

    Every module draws its own, by ``reset_parameters`` (in torch's attention ``_reset_parameters``), inner modules first, so
    that what a model draws for itself has the last word. A factor that was put on the weights afterwards, as
    ``build_model``'s α, is not in it. Drawn on the CPU; the caller's random state is left as it was. Raises TypeError for
    parameters of a module that has no such method, and lies in none that has.
    """
    fresh = copy.deepcopy(model).cpu()
    resets = {name: reset for name, module in fresh.named_modules() if (reset := reset_of(module))}
    kept = [name for name, _ in fresh.named_parameters() if not any(_within(name, owner) for owner in resets)]
    if kept:
        raise TypeError(
            f"no new weights for {', '.join(kept)}: neither their module nor one around it has reset_parameters"
        )
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would seed GPUs too.
        torch.default_generator.manual_seed(seed)
        for reset in reversed(resets.values()):
            reset()
    return fresh.to(next(model.parameters()).device)


def reset_of(module: nn.Module) -> Callable[[], None] | None:
    """What draws the module's weights anew, or None."""
    return getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)


def _within(parameter: str, module: str) -> bool:
    return not module or parameter.startswith(f"{module}.")
