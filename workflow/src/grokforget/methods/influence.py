"""Influence unlearning with WoodFisher's inverse (Jia et al. 2023, arXiv 2304.04934; Singh & Alistarh 2020, 2004.14340)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.methods.fisher_diagonal import refuse_mixed_examples
from grokforget.models.linear import twice_differentiable
from grokforget.training.modes import in_eval_mode

CHUNK = 256
"""Examples of a forward pass, whose activations are kept for two passes back."""
TOLERANCE = 1e-6
"""Of the linear system's residual, relative to its right-hand side."""


class Influence(Method):
    """One shot: θ ← θ + ``alpha`` · F⁻¹v, what the removal of D_f does to a minimum, to first order; eval mode.

    v = 1/|D| Σ_f ∇ℓ - |D_f| / (|D| |D_r|) Σ_r ∇ℓ, uphill on D_f and downhill on D_r. F = ``damping`` · 1 + 1/N Σ_n g_n g_nᵀ
    from the gradients g_n of N = ``examples`` single retain examples drawn without repeats, or of all if there are fewer.

    WoodFisher's N rank-one updates of the inverse, each by the Sherman-Morrison formula, give exactly the inverse of this F.
    Here the N of them are solved for at once (Woodbury): with the rows of G the g_n, (N · damping · 1 + GGᵀ) c = Gv and
    F⁻¹v = (v - Gᵀc) / damping, by conjugate gradients in N dimensions. Neither F nor G is ever formed: Gu and Gᵀc are
    derivatives of Σ c_n ℓ_n, so that a few vectors as long as the model are all the memory. (The authors' code is shorter: it
    uses the first example's gradient as the update's direction for every example, so that its result differs from v by a
    multiple of that one gradient. That is no inverse of F.)

    The diagnostic ``influence_residual`` is the residual that the solver ended with, relative to Gv.
    """

    def __init__(self, *, alpha: float, examples: int, damping: float) -> None:
        self.alpha, self.examples, self.damping = alpha, examples, damping

    def run(self, problem: Problem) -> Iterator[None]:
        refuse_mixed_examples(problem.model)
        with in_eval_mode(problem.model), torch.enable_grad(), twice_differentiable():
            step = self.step(problem)
        with torch.no_grad():
            for parameter, part in zip(problem.model.parameters(), step, strict=True):
                parameter.add_(part, alpha=self.alpha)
        yield

    def step(self, problem: Problem) -> list[Tensor]:
        """F⁻¹v, a tensor a parameter."""
        forget, retain = problem.forget, problem.retain
        share = len(forget) / (len(forget) + len(retain))
        uphill, downhill = (
            gradient(problem, part, torch.full((len(part),), weight, dtype=torch.float64, device=part.y.device))
            for part, weight in ((forget, share / len(forget)), (retain, share / len(retain)))
        )
        v = [f - r for f, r in zip(uphill, downhill, strict=True)]
        chosen = torch.randperm(len(retain), generator=problem.generator("influence"))[: self.examples]
        sample = retain[chosen.to(retain.y.device)]
        n = len(sample)

        def system(c: Tensor) -> Tensor:
            return n * self.damping * c + products(problem, sample, gradient(problem, sample, c))

        right = products(problem, sample, v)
        c = conjugate_gradients(system, right, TOLERANCE, 2 * n)
        self.diagnostics = {"influence_residual": float((system(c) - right).norm() / right.norm())}
        back = gradient(problem, sample, c)
        return [(a - b) / self.damping for a, b in zip(v, back, strict=True)]


def conjugate_gradients(system: Callable[[Tensor], Tensor], right: Tensor, tolerance: float, steps: int) -> Tensor:
    """x (N,) with ``system(x)`` = ``right`` for a symmetric positive definite one, from x = 0: until the residual is below
    ``tolerance`` times the right-hand side, or for so many steps. Zeros for a right-hand side that is not finite."""
    x, residual, direction = torch.zeros_like(right), right, right
    square = residual @ residual
    enough = tolerance**2 * square
    for _ in range(steps):
        if not (square > enough and square.isfinite()):
            break
        image = system(direction)
        length = square / (direction @ image)
        x, residual = x + length * direction, residual - length * image
        before, square = square, residual @ residual
        direction = residual + square / before * direction
    return x


def losses_of(problem: Problem, examples: Examples) -> Tensor:
    """Unlearning loss of each example, (n,), float64."""
    return problem.objective.example_losses(problem.model(examples.x), examples.y).double()


def gradient(problem: Problem, examples: Examples, weights: Tensor) -> list[Tensor]:
    """Σ_n w_n ∇ℓ_n, a tensor a parameter; ``weights`` (N,) in float64."""
    parameters = list(problem.model.parameters())
    total = [torch.zeros_like(p) for p in parameters]
    for number, weight in enumerate(weights.split(CHUNK)):
        part = _chunk(examples, number)
        found = torch.autograd.grad(
            losses_of(problem, part) @ weight, parameters, allow_unused=True, materialize_grads=True
        )
        for sum_, value in zip(total, found, strict=True):
            sum_ += value
    return total


def products(problem: Problem, examples: Examples, direction: Sequence[Tensor]) -> Tensor:
    """∇ℓ_n · u of every example, (N,) in float64, for a direction u of a tensor a parameter.

    Σ c_n ∇ℓ_n · u is linear in c, and its gradient with respect to c is asked for: two passes back, whatever N.
    """
    parameters = list(problem.model.parameters())
    found = []
    for number in range(-(-len(examples) // CHUNK)):
        part = _chunk(examples, number)
        weights = torch.ones(len(part), dtype=torch.float64, device=part.y.device, requires_grad=True)
        summed = torch.autograd.grad(
            losses_of(problem, part) @ weights, parameters, create_graph=True, allow_unused=True, materialize_grads=True
        )
        along = torch.stack([(g.double() * u).sum() for g, u in zip(summed, direction, strict=True)]).sum()
        found.append(torch.autograd.grad(along, weights)[0])
    return torch.cat(found)


def _chunk(examples: Examples, number: int) -> Examples:
    return Examples(
        examples.x[number * CHUNK : (number + 1) * CHUNK], examples.y[number * CHUNK : (number + 1) * CHUNK]
    )
