"""Catastrophic forgetting-k and exact unlearning-k (Goel et al. 2022, arXiv 2201.06640): learning in the last k layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from grokforget.methods.base import Method, Problem
from grokforget.models.fresh import fresh_copy
from grokforget.training.modes import BatchStatistics, batch_norms, set_modes
from grokforget.training.optimizers import sgd

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Normalisations, which belong to the layer that they follow."""


def layers(model: nn.Module) -> list[list[nn.Module]]:
    """The layers of the model, first to last, each with the normalisations behind it.

    A layer is a module with parameters of its own. The order is that of the model's ``chain()``, in which an example passes
    them, else that in which they were registered. The authors' code counts convolutions and linear layers in this way.
    """
    chain = getattr(model, "chain", lambda: [model])
    found: list[list[nn.Module]] = []
    for module in dict.fromkeys(module for part in chain() for module in part.modules()):
        if any(True for _ in module.parameters(recurse=False)):
            if found and isinstance(module, NORMS):
                found[-1].append(module)
            else:
                found.append([module])
    return found


def reinitialise(model: nn.Module, modules: list[nn.Module], seed: int) -> None:
    """Give the modules, which lie in the model, the weights and running statistics of a ``fresh_copy`` of it, which raises
    TypeError where it can have none."""
    names = {module: name for name, module in model.named_modules()}
    fresh = fresh_copy(model, seed)
    for module in modules:
        module.load_state_dict(fresh.get_submodule(names[module]).state_dict())


class CatastrophicForgetting(Method):
    """CF-k: SGD on CE over D_r that moves the last ``k`` layers alone, in train mode.

    The other layers stay to the last bit, whatever the weight decay, with the running statistics of their batch norms; a
    weight that a layer among the last shares with one before them moves. Raises ValueError where the model has fewer than k.
    """

    fresh: ClassVar[bool] = False
    """Whether these layers begin from a new initialisation."""

    def __init__(
        self,
        *,
        k: int,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.k, self.epochs, self.batch_size, self.batch_statistics = k, epochs, batch_size, batch_statistics
        self.sgd: dict[str, Any] = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}

    def run(self, problem: Problem) -> Iterator[None]:
        model, found = problem.model, layers(problem.model)
        if self.k > len(found):
            raise ValueError(f"k is {self.k}, but {type(model).__name__} has {len(found)} layers with parameters")
        last = [module for layer in found[-self.k :] for module in layer]
        if self.fresh:
            reinitialise(model, last, problem.generator("reinitialise").initial_seed())
            yield
        own = dict.fromkeys(p for module in last for p in module.parameters(recurse=False) if p.requires_grad)
        frozen = [norm for norm in batch_norms(model) if norm not in last]
        optimizer = sgd(own, **self.sgd)
        for epoch in range(self.epochs):
            for batch in problem.batches("retain", self.batch_size, epoch, self.batch_statistics):
                set_modes(model, self.batch_statistics, training=True)
                for norm in frozen:
                    norm.eval()
                optimizer.zero_grad()
                # Not by requires_grad: there is nothing to put back then, wherever a run stops.
                problem.objective.unlearning_loss(model(batch.x), batch.y).backward(inputs=list(own))
                optimizer.step()
                yield


class ExactUnlearning(CatastrophicForgetting):
    """EU-k: CF-k from a new initialisation of the last ``k`` layers, an update of its own, so that what they were is gone.

    The initialisation is the model's own (``fresh_copy``), without the factor of a setting that has an
    ``initialisation_scale``: where that is large, the new layers are small beside those that training began with.
    """

    fresh = True
