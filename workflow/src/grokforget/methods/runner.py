"""Run a method and record what it does on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.models.states import state_of
from grokforget.training.evaluate import accuracy_of, evaluate
from grokforget.training.finite import all_finite, finite_outputs
from grokforget.training.modes import modes_kept


@dataclass
class Record:
    """``trajectory``: one row an evaluated update, the first before any and the last (``final``) the result;
    ``diagnostics``: the method's own numbers, ``diverged``, and ``updates``, all that it made."""

    trajectory: list[dict[str, Any]] = field(default_factory=list)
    diagnostics: dict[str, float] = field(default_factory=dict)


def unlearn(
    method: Method,
    problem: Problem,
    test: Examples,
    *,
    stride: int | None,
    updates: int | None = None,
    on_update: Callable[[int], None] = lambda update: None,
) -> Record:
    """Apply ``method`` to ``problem.model`` in place.

    The result is the model after so many ``updates``, or where that is None (or more than the method makes) what the method
    leaves; the trajectory goes on to the method's end all the same. Its rows are accuracy in [0, 1] and unlearning loss
    (nats) on forget, retain and test set before the first update, at every ``stride``-th, and of the result. With a stride
    of None they are those of the updates that change the forget accuracy and of the updates before these, and of the last:
    all that can be read off at a forget accuracy, for a small part of the evaluations.

    A model with a weight that is not finite is left as it is then. ``diverged`` is 1 of a result with such a weight, or with
    an output on one of the three sets that is not finite (finite weights may overflow), whether unlearning or the training
    before it did that; else 0. Of the model weights and buffers alone are changed: its modules are in the modes that they were
    in, and it has no gradients.
    """
    record = Record()
    splits: Mapping[str, Examples] = {"forget": problem.forget, "retain": problem.retain, "test": test}

    def look(update: int, final: bool) -> None:
        objective = problem.objective
        accuracies_and_losses = evaluate(problem.model, splits, objective, objective.unlearning_loss)
        record.trajectory.append({"update": update, "final": final, **accuracies_and_losses})

    look(0, final=False)
    changes = Changes(problem, look) if stride is None else None
    result: dict[str, Tensor] = {}
    update = 0
    with modes_kept(problem.model):
        for update, _ in enumerate(method.run(problem), start=1):
            on_update(update)
            if changes:
                changes.after(update)
            elif stride and update % stride == 0:
                look(update, final=False)
            if not all_finite(problem.model):
                break
            if update == updates:
                result = state_of(problem.model)
    problem.model.zero_grad()
    if changes:
        changes.end(update)
    if result:
        problem.model.load_state_dict(result)
    look(updates if result and updates else update, final=True)
    finite = all_finite(problem.model) and finite_outputs(problem.model, *(part.x for part in splits.values()))
    record.diagnostics |= {
        **method.diagnostics,
        "diverged": float(not finite),
        "updates": float(update),
    }
    return record


class Changes:
    """Has a model looked at before and after every update that changes its forget accuracy."""

    def __init__(self, problem: Problem, look: Callable[[int, bool], None]) -> None:
        self.problem, self.look = problem, look
        self.before, self.accuracy = state_of(problem.model), self.forget_accuracy()
        self.looked = 0

    def forget_accuracy(self) -> float:
        return accuracy_of(self.problem.model, self.problem.forget, self.problem.objective)

    def after(self, update: int) -> None:
        """Called after every update, in their order."""
        model, accuracy = self.problem.model, self.forget_accuracy()
        now = state_of(model)
        if accuracy != self.accuracy:
            if self.looked < update - 1:
                model.load_state_dict(self.before)
                self.look(update - 1, False)
                model.load_state_dict(now)
            self.end(update)
        self.before, self.accuracy = now, accuracy

    def end(self, update: int) -> None:
        """Look at the model as it is after ``update``, unless that was done."""
        if self.looked < update:
            self.look(update, False)
            self.looked = update
