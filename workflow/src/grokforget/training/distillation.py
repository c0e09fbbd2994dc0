"""The distance of a student's distributions over classes from a teacher's, as methods move along its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class _Distillation(torch.autograd.Function):
    """Autograd of the KL divergence would leave round-off where student and teacher agree; this backward leaves exactly
    0."""

    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        # In float64: a table of N x K, and differences of nearly equal probabilities.
        log_p, log_q = (functional.log_softmax(z.double() / temperature, 1) for z in (teacher, student))
        ctx.save_for_backward(log_p, log_q)
        ctx.scale, ctx.dtype = temperature / len(student), student.dtype
        # Of a class that the teacher rules out the term is 0, not 0 · ∞.
        terms = torch.where(log_p == -torch.inf, 0.0, log_p.exp() * (log_p - log_q))
        return (temperature**2 / len(student) * terms.sum()).to(student.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        log_p, log_q = ctx.saved_tensors
        difference = log_q.exp() - log_p.exp()
        # That of the class of which both are sure has no digits left: it is minus the sum of all others.
        sure = (log_p + log_q).argmax(1, keepdim=True)
        others = difference.scatter(1, sure, 0)
        exact = others.scatter(1, sure, -others.sum(1, keepdim=True))
        return (grad[0] * ctx.scale * exact).to(ctx.dtype), None, None


def distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """d = T²/|B| · Σ KL(softmax(teacher/T) ‖ softmax(student/T)); logits (N, K), no gradient to the teacher, whose logit
    may be -∞ for classes that it rules out.

    The gradient ∂d/∂z = T/|B| · (softmax(z/T) - softmax(z_o/T)) is computed in that form, where it is 0 to the last
    bit while the student is the teacher. Any other form leaves round-off, which Adam divides by its own size: the first
    update would be a step of full length in a direction that depends on the machine.
    """
    value: Tensor = _Distillation.apply(student, teacher.detach(), temperature)
    return value
