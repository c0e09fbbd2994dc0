"""What every unlearning method is given, and what it gives back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grokforget.data.loader import DeviceLoader, Examples
from grokforget.runtime.seeds import derive_seed
from grokforget.training.modes import BatchStatistics, fewest_examples
from grokforget.training.objective import Objective

UNLEARNING = "unlearning"
"""First label of every random stream of unlearning."""


@dataclass
class Problem:
    """One unlearning request.

    ``model`` is the student: the method changes it in place. It has the attribute ``output_layer``, the name
    of its last layer. ``validation`` is held-out data that neither training nor the final measures use. ``objective`` says
    what its outputs mean. ``retrained`` is the state of the retrained reference, for the method of that name alone. All
    randomness derives from ``seed``.
    """

    model: nn.Module
    forget: Examples
    retain: Examples
    validation: Examples
    objective: Objective
    seed: int
    retrained: Mapping[str, Tensor] = field(default_factory=dict)
    extras: Mapping[str, Examples] = field(default_factory=dict)
    """Further examples of the request, by name. ``refused``, of language: the question of forget example f with refusal r for
    an answer is row f · R + r, of R refusals."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What was worked out of the model before any update, the forget and the retain set: another candidate on the very same
    takes it over (``once``)."""

    def once(self, name: str, work_out: Callable[[], Any]) -> Any:
        """What ``work_out`` gives, done once for all problems that share it under this name."""
        if name not in self.shared:
            self.shared[name] = work_out()
        return self.shared[name]

    def batches(
        self, name: Literal["forget", "retain"], size: int, epoch: int, batch_statistics: BatchStatistics = "moving"
    ) -> list[Examples]:
        """The named set in batches, in an order that depends only on (seed, name, epoch); the last one may be shorter.

        A last batch of one example joins the one before, where the model has batch norms with ``moving`` statistics: one
        example has none.
        """
        examples = self.forget if name == "forget" else self.retain
        return [examples[positions] for positions in self.positions(name, size, epoch, batch_statistics)]

    def positions(
        self, name: Literal["forget", "retain"], size: int, epoch: int, batch_statistics: BatchStatistics = "moving"
    ) -> tuple[Tensor, ...]:
        """Where the examples of ``batches`` stand in their set: int64 on its device, one tensor a batch."""
        examples = self.forget if name == "forget" else self.retain
        fewest = fewest_examples(self.model, batch_statistics)
        return DeviceLoader(examples, size, self.seed, UNLEARNING, name, fewest=fewest).order(epoch)

    def generator(self, *purpose: object) -> torch.Generator:
        """A CPU generator for one purpose, so that a GPU run draws the same numbers."""
        return torch.Generator().manual_seed(derive_seed(self.seed, UNLEARNING, *purpose))


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
