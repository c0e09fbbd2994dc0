"""SCRUB and SCRUB+R (Kurmanji et al. 2023, arXiv 2302.09880)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem, set_learning_rate
from grokforget.training.evaluate import logits_of
from grokforget.training.objective import Objective
from grokforget.training.optimizers import adam, sgd


class _Distillation(torch.autograd.Function):
    """Autograd of the KL divergence would leave round-off where student and teacher agree; this backward leaves exactly
    0."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        log_p, log_q = (functional.log_softmax(z / temperature, 1) for z in (teacher, student))
        ctx.save_for_backward(log_p, log_q)
        ctx.scale = temperature / len(student)
        return temperature**2 / len(student) * (log_p.exp() * (log_p - log_q)).sum()

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        log_p, log_q = ctx.saved_tensors
        return grad[0] * ctx.scale * (log_q.exp() - log_p.exp()), None, None


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """d = T²/|B| · Σ KL(softmax(teacher/T) ‖ softmax(student/T)); logits (N, K), no gradient to the teacher.

    At the first max step the student is the teacher, so in a net without batch norm or dropout d and its gradient are
    0. The gradient ∂d/∂z = T/|B| · (softmax(z/T) - softmax(z_o/T)) is computed in that form, where it is 0 to the last
    bit. Any other form leaves round-off, which Adam divides by its own size: the first max epoch would be a step of
    full length in a direction that depends on the machine. As it is, weight decay alone makes the first max step, and
    without weight decay all of the first max epoch leaves every bit as it was; the min epoch that follows parts student
    and teacher. (So with one max epoch and neither weight decay nor batch norm SCRUB never uses the forget set.)
    """
    value: Tensor = _Distillation.apply(student, teacher.detach(), temperature)
    return value


class Scrub(Method):
    """Max epochs drive the student away from the teacher on D_f, min epochs keep it near on D_r; ``rewind`` gives
    SCRUB+R. Of classification: the distance is between distributions over classes, the reference error one of classes."""

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
    ) -> None:
        self.optimizer, self.learning_rate, self.weight_decay = optimizer, learning_rate, weight_decay
        self.epochs, self.max_epochs, self.decay_after = epochs, max_epochs, decay_after
        self.gamma, self.alpha, self.temperature = gamma, alpha, temperature
        self.retain_batch_size, self.forget_batch_size = retain_batch_size, forget_batch_size
        self.rewind = rewind

    def rate(self, epoch: int) -> float:
        """lr0 · 0.1^#{m in ``decay_after``: epoch > m}; epochs count from 1."""
        return self.learning_rate * 0.1 ** sum(epoch > after for after in self.decay_after)

    def run(self, problem: Problem) -> Iterator[None]:
        student = problem.model
        teacher = copy.deepcopy(student).eval().requires_grad_(False)
        make = adam if self.optimizer == "adam" else partial(sgd, momentum=0.9)
        optimizer = make(student.parameters(), self.learning_rate, weight_decay=self.weight_decay)

        def step(batch: Examples, descend: bool) -> None:
            student.train()
            optimizer.zero_grad()
            logits = student(batch.x)
            with torch.no_grad():
                target = teacher(batch.x)
            distance = distillation(logits, target, self.temperature)
            learned = self.gamma * problem.objective.unlearning_loss(logits, batch.y) + self.alpha * distance
            (learned if descend else -distance).backward()
            optimizer.step()

        kept: list[tuple[float, dict[str, Tensor]]] = []
        for epoch in range(1, self.epochs + 1):
            set_learning_rate(optimizer, self.rate(epoch))
            if epoch <= self.max_epochs:
                for batch in problem.batches("forget", self.forget_batch_size, epoch):
                    step(batch, descend=False)
                    yield
            for batch in problem.batches("retain", self.retain_batch_size, epoch):
                step(batch, descend=True)
                yield
            if self.rewind:
                state = {name: value.clone() for name, value in student.state_dict().items()}
                kept.append((error_rate(student, problem.forget, problem.objective), state))
        if self.rewind:
            chosen = rewind_epoch([error for error, _ in kept], reference_error(problem))
            student.load_state_dict(kept[chosen][1])
            self.diagnostics = {"scrub_epoch": chosen + 1}


def error_rate(model: torch.nn.Module, examples: Examples, objective: Objective) -> float:
    """1 - accuracy; NaN of no examples."""
    return (~objective.correct(logits_of(model, examples.x), examples.y)).double().mean().item()


def reference_error(problem: Problem) -> float:
    """Error of the model on the validation examples of the forget set's classes; NaN where there is none."""
    same = torch.isin(problem.validation.y, problem.forget.y.unique())
    return error_rate(problem.model, problem.validation[same], problem.objective)


def rewind_epoch(forget_errors: Sequence[float], reference: float) -> int:
    """Position of the epoch whose forget error is closest to the reference; of equals the last, which has been repaired
    the longest.

    Without a reference (NaN) the last epoch.
    """
    if reference != reference:
        return len(forget_errors) - 1
    # Rounded: 0.2 and 0.4 are as far from 0.3, and only round-off tells them apart.
    return min(range(len(forget_errors)), key=lambda i: (round(abs(forget_errors[i] - reference), 9), -i))
