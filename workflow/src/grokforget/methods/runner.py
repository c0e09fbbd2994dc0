"""Run a method and record what it does on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.training.evaluate import evaluate
from grokforget.training.finite import all_finite, finite_outputs


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
    ``stride``-th, and at the end. A model with a weight that is not finite is left as it is then. ``diverged`` is 1 of a
    result with such a weight, or with an output on one of the three sets that is not finite (finite weights may overflow),
    whether unlearning or the training before it did that; else 0.
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
    finite = all_finite(problem.model) and finite_outputs(problem.model, *(part.x for part in splits.values()))
    record.diagnostics |= {
        **method.diagnostics,
        "diverged": float(not finite),
        "updates": float(update),
    }
    return record
