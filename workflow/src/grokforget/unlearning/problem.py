"""What every unlearning method is given, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from grokforget.seeds import derive_seed
from grokforget.training.evaluate import Examples


@dataclass
class Problem:
    """One unlearning request.

    ``model`` is the student: the method changes it in place. It has logits (N, n_classes) and the attribute
    ``output_layer``, the name of its last layer. ``validation`` is held-out data that neither training nor the final
    measures use. ``retrained`` is the state of the retrained reference, for the method of that name alone. All
    randomness derives from ``seed``.
    """

    model: nn.Module
    forget: Examples
    retain: Examples
    validation: Examples
    n_classes: int
    seed: int
    retrained: Mapping[str, Tensor] = field(default_factory=dict)

    def batches(self, name: str, size: int, epoch: int) -> list[Examples]:
        """``forget`` or ``retain`` in batches, in an order that depends only on (seed, name, epoch); the last one may
        be shorter."""
        examples: Examples = getattr(self, name)
        return [examples[index] for index in self._order(name, len(examples), epoch).split(size)]

    def _order(self, name: str, n: int, epoch: int) -> Tensor:
        return torch.randperm(n, generator=self.generator(name, epoch))

    def generator(self, *purpose: object) -> torch.Generator:
        """A CPU generator for one purpose, so that a GPU run draws the same numbers."""
        return torch.Generator().manual_seed(derive_seed(self.seed, "unlearning", *purpose))


class Method(ABC):
    """An unlearning algorithm. Its constructor takes the settings of its registry entry as keyword arguments."""

    diagnostics: Mapping[str, float] = {}
    """What the method has to say of a run beside its model, e.g. which epoch a rewind chose; set by ``run``."""

    @abstractmethod
    def run(self, problem: Problem) -> Iterator[None]:
        """Change ``problem.model`` in place, yielding after every update (an optimizer step, or a one-shot change).

        What the model is when the iterator ends is the method's result: it may differ from that after the last update,
        as with a rewind.
        """


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate
