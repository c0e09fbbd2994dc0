"""NegGrad+ (Kurmanji et al. 2023, arXiv 2302.09880): descend on the retain set and ascend on the forget set at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from grokforget.methods.base import Method, Problem
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.optimizers import sgd


class NegGradPlus(Method):
    """SGD on a · CE(B_r) - (1 - a) · CE(B_f), a = ``retain_weight``, in train mode.

    An epoch is one pass over D_r; the forget batches of the epoch begin anew where they end before the retain batches, and
    where there are more of them the last are left out of it. Moving batch norms meet the retain batch first. The authors'
    notebooks add a pull to the original weights, a · wd/2 · ‖θ - θo‖², which the paper does not have, and neither does this.
    """

    def __init__(
        self,
        *,
        retain_weight: float,
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        epochs: int,
        retain_batch_size: int,
        forget_batch_size: int,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.retain_weight, self.epochs = retain_weight, epochs
        self.sgd: dict[str, Any] = {"learning_rate": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
        self.retain_batch_size, self.forget_batch_size = retain_batch_size, forget_batch_size
        self.batch_statistics = batch_statistics

    def run(self, problem: Problem) -> Iterator[None]:
        model, loss_of = problem.model, problem.objective.unlearning_loss
        optimizer = sgd(model.parameters(), **self.sgd)
        for epoch in range(self.epochs):
            retain_batches = problem.batches("retain", self.retain_batch_size, epoch, self.batch_statistics)
            forget_batches = problem.batches("forget", self.forget_batch_size, epoch, self.batch_statistics)
            for retain, forget in zip(retain_batches, cycle(forget_batches), strict=False):
                set_modes(model, self.batch_statistics, training=True)
                optimizer.zero_grad()
                retained, forgotten = loss_of(model(retain.x), retain.y), loss_of(model(forget.x), forget.y)
                (self.retain_weight * retained - (1 - self.retain_weight) * forgotten).backward()
                optimizer.step()
                yield
