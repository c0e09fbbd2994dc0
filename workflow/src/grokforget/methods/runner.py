"""Run a method and record what it does on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.training.evaluate import evaluate


@dataclass
class Record:
    """``trajectory``: one row an evaluated update, the first before any and the last (``final``) the result;
    ``diagnostics``: the method's own numbers."""

    trajectory: list[dict[str, Any]] = field(default_factory=list)
    diagnostics: dict[str, float] = field(default_factory=dict)


def unlearn(
    method: Method,
    problem: Problem,
    test: Examples,
    *,
    stride: int,
    on_update: Callable[[int], None] = lambda update: None,
) -> Record:
    """Apply ``method`` to ``problem.model`` in place.

    Accuracy in [0, 1] and unlearning loss (nats) on forget, retain and test set before the first update, at every
    ``stride``-th, and at the end. A model with a weight that is not finite is left as it is then, and a result with one
    is flagged ``diverged``, whether unlearning or the training before it did that.
    """
    record = Record()
    splits: Mapping[str, Examples] = {"forget": problem.forget, "retain": problem.retain, "test": test}

    def look(update: int, final: bool) -> None:
        objective = problem.objective
        accuracies_and_losses = evaluate(problem.model, splits, objective, objective.unlearning_loss)
        record.trajectory.append({"update": update, "final": final, **accuracies_and_losses})

    look(0, final=False)
    update = 0
    for update, _ in enumerate(method.run(problem), start=1):
        on_update(update)
        if update % stride == 0:
            look(update, final=False)
        if not all_finite(problem.model):
            break
    look(update, final=True)
    record.diagnostics |= {
        **method.diagnostics,
        "diverged": float(not all_finite(problem.model)),
        "updates": float(update),
    }
    return record


def all_finite(model: nn.Module) -> bool:
    """Whether every weight is a number."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
