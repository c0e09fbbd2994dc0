"""Plain SGD on the cross-entropy of one set: what gradient ascent and fine-tuning both are, but for the set and the
sign."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from torch.nn import functional

from grokforget.training.optimizers import sgd
from grokforget.unlearning.problem import Method, Problem


class Descent(Method):
    """Minimise ``sign`` · CE over ``epochs`` passes of the named set, in train mode, without a stopping rule."""

    examples: ClassVar[Literal["forget", "retain"]]
    sign: ClassVar[int]

    def __init__(
        self, *, learning_rate: float, momentum: float, weight_decay: float, epochs: int, batch_size: int
    ) -> None:
        self.sgd: dict[str, Any] = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        self.epochs, self.batch_size = epochs, batch_size

    def run(self, problem: Problem) -> Iterator[None]:
        optimizer = sgd(problem.model.parameters(), **self.sgd)
        for epoch in range(self.epochs):
            for batch in problem.batches(self.examples, self.batch_size, epoch):
                problem.model.train()
                optimizer.zero_grad()
                (self.sign * functional.cross_entropy(problem.model(batch.x), batch.y)).backward()
                optimizer.step()
                yield
