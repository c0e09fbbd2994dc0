"""Plain SGD on the unlearning loss of one set: gradient ascent on the forget set, and fine-tuning on the retain set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from grokforget.methods.base import Method, Problem
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.optimizers import sgd


class Descent(Method):
    """Minimise ``sign`` · the unlearning loss over ``epochs`` passes of the named set, in train mode, without a stopping
    rule."""

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
            for batch in problem.batches(self.examples, self.batch_size, epoch, self.batch_statistics):
                set_modes(problem.model, self.batch_statistics, training=True)
                optimizer.zero_grad()
                (self.sign * problem.objective.unlearning_loss(problem.model(batch.x), batch.y)).backward()
                optimizer.step()
                yield


class GradientAscent(Descent):
    """SGD on -CE over D_f: maximise the cross-entropy of the forget set."""

    examples = "forget"
    sign = -1


class FineTune(Descent):
    """SGD on CE over D_r: go on training on the retain set alone, and let the rest be forgotten."""

    examples = "retain"
    sign = 1
