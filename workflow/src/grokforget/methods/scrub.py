"""SCRUB and SCRUB+R (Kurmanji et al. 2023, arXiv 2302.09880)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem, set_learning_rate
from grokforget.models.states import state_of
from grokforget.training.distillation import distillation
from grokforget.training.evaluate import logits_of
from grokforget.training.finite import all_finite, finite_outputs
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.objective import Objective
from grokforget.training.optimizers import adam, sgd

Ties = Literal["first", "last"]
"""Of epochs equally near, the one that SCRUB+R takes: ``first`` as the authors' code, ``last``, repaired the longest."""


class Scrub(Method):
    """Max epochs drive the student away from the teacher on D_f, min epochs keep it near on D_r; ``rewind`` gives
    SCRUB+R. Of classification: the distance is between distributions over classes, the reference error one of classes.

    The student is in train mode, with batch norms by ``batch_statistics``, the teacher in eval mode. A rewind takes buffers
    back too. It chooses among the epochs whose weights and outputs (on forget and validation set) are finite, ends a run
    whose weights are no longer, and says how many there were (``scrub_finite_epochs``) and which it took (``scrub_epoch``,
    counted from 1; NaN of none).

    At the first max step the student is the teacher, so in a net without dropout or moving batch norms the distance and its
    gradient are 0, to the last bit. Weight decay alone makes the first max step, and without weight decay all of the first
    max epoch leaves every bit as it was; the min epoch that follows parts student and teacher. (So with one max epoch and
    neither weight decay nor moving batch norms SCRUB never uses the forget set.)
    """

    def __init__(
        self,
        *,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        epochs: int,
        max_epochs: int,
        gamma: float,
        alpha: float,
        temperature: float,
        decay_after: Sequence[int],
        retain_batch_size: int,
        forget_batch_size: int,
        rewind: bool,
        ties: Ties,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.optimizer, self.learning_rate, self.weight_decay = optimizer, learning_rate, weight_decay
        self.epochs, self.max_epochs, self.decay_after = epochs, max_epochs, decay_after
        self.gamma, self.alpha, self.temperature = gamma, alpha, temperature
        self.retain_batch_size, self.forget_batch_size = retain_batch_size, forget_batch_size
        self.rewind, self.ties, self.batch_statistics = rewind, ties, batch_statistics

    def rate(self, epoch: int) -> float:
        """lr0 · 0.1^#{m in ``decay_after``: epoch > m}; epochs count from 1."""
        return self.learning_rate * 0.1 ** sum(epoch > after for after in self.decay_after)

    def run(self, problem: Problem) -> Iterator[None]:
        student = problem.model
        teacher = copy.deepcopy(student).eval().requires_grad_(False)
        make = adam if self.optimizer == "adam" else partial(sgd, momentum=0.9)
        optimizer = make(student.parameters(), self.learning_rate, weight_decay=self.weight_decay)

        def step(batch: Examples, descend: bool) -> None:
            set_modes(student, self.batch_statistics, training=True)
            optimizer.zero_grad()
            logits = student(batch.x)
            with torch.no_grad():
                target = teacher(batch.x)
            distance = distillation(logits, target, self.temperature)
            learned = self.gamma * problem.objective.unlearning_loss(logits, batch.y) + self.alpha * distance
            (learned if descend else -distance).backward()
            optimizer.step()

        kept: list[_Epoch] = []
        for epoch in range(1, self.epochs + 1):
            set_learning_rate(optimizer, self.rate(epoch))
            for batch, descend in self.batches(problem, epoch):
                step(batch, descend)
                if self.rewind and not all_finite(student):
                    # Before the update is reported: a run ends with the first model that is not finite.
                    self.go_back(problem, kept)
                    yield
                    return
                yield
            if self.rewind:
                kept += _kept(problem, epoch)
        if self.rewind:
            self.go_back(problem, kept)

    def batches(self, problem: Problem, epoch: int) -> Iterator[tuple[Examples, bool]]:
        """The batches of an epoch, and whether each is one of a min epoch."""
        if epoch <= self.max_epochs:
            for batch in problem.batches("forget", self.forget_batch_size, epoch, self.batch_statistics):
                yield batch, False
        for batch in problem.batches("retain", self.retain_batch_size, epoch, self.batch_statistics):
            yield batch, True

    def go_back(self, problem: Problem, kept: Sequence[_Epoch]) -> None:
        """Make the model that of the chosen one of the epochs kept, the last of which gives the reference; of none, leave
        it as it is."""
        number = math.nan
        if kept:
            problem.model.load_state_dict(kept[-1].state)
            chosen = kept[rewind_epoch([each.error for each in kept], reference_error(problem), self.ties)]
            problem.model.load_state_dict(chosen.state)
            number = float(chosen.number)
        self.diagnostics = {"scrub_epoch": number, "scrub_finite_epochs": float(len(kept))}


class _Epoch(NamedTuple):
    """What a rewind may go back to: an epoch, counted from 1, its weights and buffers, and its error on the forget set."""

    number: int
    error: float
    state: dict[str, Tensor]


def _kept(problem: Problem, number: int) -> list[_Epoch]:
    """The model as it is, unless an output on the forget or the validation set, by which epochs are chosen, is not finite."""
    outputs = logits_of(problem.model, problem.forget.x)
    if not (outputs.isfinite().all() and finite_outputs(problem.model, problem.validation.x)):
        return []
    state = state_of(problem.model)
    return [_Epoch(number, error_rate(outputs, problem.forget, problem.objective), state)]


def error_rate(outputs: Tensor, examples: Examples, objective: Objective) -> float:
    """1 - accuracy; NaN of no examples."""
    return (~objective.correct(outputs, examples.y)).double().mean().item()


def reference_error(problem: Problem) -> float:
    """Error of the model on the validation examples of the forget set's classes; NaN where there is none."""
    same = problem.validation[torch.isin(problem.validation.y, problem.forget.y.unique())]
    return error_rate(logits_of(problem.model, same.x), same, problem.objective)


def rewind_epoch(forget_errors: Sequence[float], reference: float, ties: Ties) -> int:
    """Position of the epoch whose forget error is closest to the reference; of equals the first or the last.

    Without a reference (NaN) the last epoch.
    """
    if reference != reference:
        return len(forget_errors) - 1
    # Rounded: 0.2 and 0.4 are as far from 0.3, and only round-off tells them apart.
    distances = [round(abs(error - reference), 9) for error in forget_errors]
    closest = [position for position, distance in enumerate(distances) if distance == min(distances)]
    return closest[0 if ties == "first" else -1]
