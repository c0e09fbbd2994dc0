"""Plain SGD on the unlearning loss of one set: gradient ascent on the forget set, and fine-tuning on the retain set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.optimizers import sgd


class Descent(Method):
    """Minimise ``sign`` · the unlearning loss over ``epochs`` passes of the named set, in train mode, without a stopping
    rule. Other methods give it other batches, or another loss."""

    examples: ClassVar[Literal["forget", "retain"]]
    sign: ClassVar[int]

    def __init__(
        self,
        *,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.sgd: dict[str, Any] = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        self.epochs, self.batch_size, self.batch_statistics = epochs, batch_size, batch_statistics

    def run(self, problem: Problem) -> Iterator[None]:
        optimizer = sgd(problem.model.parameters(), **self.sgd)
        for epoch in range(self.epochs):
            for batch in self.batches(problem, epoch):
                set_modes(problem.model, self.batch_statistics, training=True)
                optimizer.zero_grad()
                self.loss(problem, batch, epoch).backward()
                optimizer.step()
                yield

    def batches(self, problem: Problem, epoch: int) -> Iterable[Examples]:
        """The batches of an epoch, counted from 0."""
        return problem.batches(self.examples, self.batch_size, epoch, self.batch_statistics)

    def loss(self, problem: Problem, batch: Examples, epoch: int) -> Tensor:
        """What an update of the epoch, counted from 0, minimises on the batch, a scalar."""
        return self.sign * problem.objective.unlearning_loss(problem.objective.outputs(problem.model, batch), batch.y)


class GradientAscent(Descent):
    """SGD on -CE over D_f: maximise the cross-entropy of the forget set."""

    examples = "forget"
    sign = -1


class FineTune(Descent):
    """SGD on CE over D_r: go on training on the retain set alone, and let the rest be forgotten."""

    examples = "retain"
    sign = 1
