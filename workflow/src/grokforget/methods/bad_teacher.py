"""Bad teacher (Chundawat et al. 2023, arXiv 2205.08096): forgetting learned from a network that knows nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import torch

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.models.fresh import fresh_copy
from grokforget.training.distillation import distillation
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.optimizers import adam


class BadTeacher(Method):
    """Adam on KL(l · p_bad + (1 - l) · p_good ‖ p), l = 1 on D_f and 0 on a random ``retain_share`` of D_r; sum over the
    classes, mean over the batch. Of classification.

    The good teacher is the original; the bad one has the model's architecture and new weights (``fresh_copy``: without the
    factor α of the recipe's initialisation). Both are in eval mode, the student is in train mode. The authors' code takes
    the mean over the classes too, which makes the gradient K times smaller and, but for its ε, leaves Adam's steps alone.
    """

    def __init__(
        self,
        *,
        learning_rate: float,
        epochs: int,
        retain_share: float,
        batch_size: int,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.learning_rate, self.epochs, self.retain_share = learning_rate, epochs, retain_share
        self.batch_size, self.batch_statistics = batch_size, batch_statistics

    def run(self, problem: Problem) -> Iterator[None]:
        student = problem.model
        good = copy.deepcopy(student).eval().requires_grad_(False)
        bad = fresh_copy(student, problem.generator("bad teacher").initial_seed()).eval().requires_grad_(False)
        optimizer = adam(student.parameters(), self.learning_rate, weight_decay=0.0)
        mixed = replace(problem, forget=self.mixed(problem))
        for epoch in range(self.epochs):
            for batch in mixed.batches("forget", self.batch_size, epoch, self.batch_statistics):
                set_modes(student, self.batch_statistics, training=True)
                optimizer.zero_grad()
                with torch.no_grad():
                    target = torch.where(batch.y[:, None] == 1, bad(batch.x), good(batch.x))
                distillation(student(batch.x), target, temperature=1.0).backward()
                optimizer.step()
                yield

    def mixed(self, problem: Problem) -> Examples:
        """D_f and the part of D_r, with l for labels."""
        forget, retain = problem.forget, problem.retain
        order = torch.randperm(len(retain), generator=problem.generator("bad teacher", "retain"))
        part = retain[order[: int(self.retain_share * len(retain))]]
        return Examples(torch.cat([forget.x, part.x]), torch.cat([torch.ones_like(forget.y), torch.zeros_like(part.y)]))
