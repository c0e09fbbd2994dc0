"""Selective synaptic dampening (Foster et al. 2024, arXiv 2308.07707)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from grokforget.data.loader import DeviceLoader, Examples
from grokforget.methods.base import UNLEARNING, Method, Problem
from grokforget.methods.fisher_diagonal import mean_squares
from grokforget.training.evaluate import logits_of
from grokforget.training.modes import in_eval_mode

Importance = dict[str, Tensor]
"""By parameter, shaped as it is."""


class SelectiveSynapticDampening(Method):
    """One shot: where I_f > ``alpha`` · I_D, θ ← θ · min(1, ``dampening`` · I_D / I_f); eval mode.

    I is a weight's importance, the mean squared gradient of an example's loss: I_f over D_f, I_D over all that the model was
    trained on, D_f and D_r together. So I_D is at least |D_f| / |D| · I_f, and from ``alpha`` = |D| / |D_f| on nothing is
    selected, whatever the model; the diagnostic ``ssd_dampened_share`` says which share of the weights was. With a
    ``batch_size`` above 1 it is the mean gradient of a batch that is squared, as in the authors' code: another quantity,
    which is not bounded in that way.
    """

    def __init__(self, *, alpha: float, dampening: float, batch_size: int) -> None:
        self.alpha, self.dampening, self.batch_size = alpha, dampening, batch_size

    def run(self, problem: Problem) -> Iterator[None]:
        model = problem.model
        of_forget, of_all = problem.once(
            f"importances, batches of {self.batch_size}", lambda: self.importances(problem)
        )
        dampened = 0
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                selected = of_forget[name] > self.alpha * of_all[name]
                factor = (self.dampening * of_all[name] / of_forget[name]).clamp(max=1)
                parameter.copy_(torch.where(selected, parameter * factor, parameter))
                dampened += int(selected.sum())
        self.diagnostics = {"ssd_dampened_share": dampened / sum(p.numel() for p in model.parameters())}
        yield

    def importances(self, problem: Problem) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """By parameter, of the forget set and of all training examples."""
        forget, retain = problem.forget, problem.retain
        scale = self.scale(problem)
        of_forget = self.importance(problem, "forget", forget, scale)
        if self.batch_size == 1:
            of_retain = self.importance(problem, "retain", retain, scale)
            share = len(forget) / (len(forget) + len(retain))
            return of_forget, {name: share * value + (1 - share) * of_retain[name] for name, value in of_forget.items()}
        everything = Examples(torch.cat([forget.x, retain.x]), torch.cat([forget.y, retain.y]))
        return of_forget, self.importance(problem, "all", everything, scale)

    def scale(self, problem: Problem) -> float:
        """A factor on all losses, of which only ratios matter: the squared gradients of losses below 1e-19, of examples that
        were learned by heart, would vanish in float32."""
        losses = [
            problem.objective.example_losses(logits_of(problem.model, part.x), part.y)
            for part in (problem.forget, problem.retain)
        ]
        largest = float(torch.cat(losses).max())
        return 1 / largest if largest > 0 else 1.0

    def importance(self, problem: Problem, name: str, examples: Examples, scale: float) -> Importance:
        """I over the examples, times the square of ``scale``."""

        def losses(outputs: Tensor, targets: Tensor) -> Tensor:
            return scale * problem.objective.example_losses(outputs, targets)

        if self.batch_size == 1:
            return mean_squares(problem.model, examples, lambda outputs, targets: [losses(outputs, targets)])
        batches = list(DeviceLoader(examples, self.batch_size, problem.seed, UNLEARNING, "importance", name).epoch(0))
        total = {key: torch.zeros_like(p) for key, p in problem.model.named_parameters()}
        with in_eval_mode(problem.model), torch.enable_grad():
            for batch in batches:
                loss = losses(problem.model(batch.x), batch.y).mean()
                for key, gradient in _gradients(problem.model, loss).items():
                    total[key] += gradient.square() / len(batches)
        return total


def _gradients(model: nn.Module, loss: Tensor) -> Importance:
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    return dict(zip(names, gradients, strict=True))
