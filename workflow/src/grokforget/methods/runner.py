"""Run a method and record what it does on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.models.states import state_of
from grokforget.training.evaluate import accuracy_of, digests_of, evaluate, judged
from grokforget.training.finite import all_finite
from grokforget.training.modes import modes_kept
from grokforget.training.recalibrate import recalibrate, recalibrated

LEFT, RECALIBRATED = "left", "recalibrated"
"""Whose running statistics a result has: as the method left them, or recalibrated."""


@dataclass
class Record:
    """``trajectory``: one row an evaluated update, the first before any and the last (``final``) the result;
    ``statistics``: the same of the result on all examples, ``LEFT`` and ``RECALIBRATED``, empty where nothing is recalibrated;
    ``diagnostics``: the method's own numbers, ``diverged``, and ``updates``, all that it made."""

    trajectory: list[dict[str, Any]] = field(default_factory=list)
    statistics: dict[str, dict[str, float]] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


def unlearn(
    method: Method,
    problem: Problem,
    test: Examples,
    *,
    stride: int | None,
    updates: int | None = None,
    looked_at: Mapping[str, Examples] | None = None,
    recalibration: Tensor | None = None,
    statistics: bool = True,
    on_update: Callable[[int], None] = lambda update: None,
) -> Record:
    """Apply ``method`` to ``problem.model`` in place.

    The result is the model after so many ``updates``, or where that is None (or more than the method makes) what the method
    leaves; the trajectory goes on to the method's end all the same. Its rows are accuracy in [0, 1] and unlearning loss
    (nats) on forget, retain and test set before the first update, at every ``stride``-th, and of the result; with a stride of
    0 there are none, and the record says of the result as it was left alone (``statistics``).
    With a stride of None they are those of the updates that change the forget accuracy and of the updates before these, and of
    the last: all that can be read off at a forget accuracy, for a small part of the evaluations. All rows are of the examples
    ``looked_at`` (``forget``, ``retain`` and ``test``) where these are given, else of all.

    Of a model with batch norms ``recalibration`` is the inputs whose statistics it has in every row and in the result
    (``training/recalibrate.py``). The method itself goes on from its own statistics. With ``statistics`` the record says what
    the result does with them as they were left and recalibrated, on all examples.

    A model with a weight that is not finite is left as it is then. ``diverged`` is 1 of a result with such a weight, or with
    an output on one of the three sets that is not finite (finite weights may overflow), whether unlearning or the training
    before it did that; else 0. Of the model weights and buffers alone are changed: its modules are in the modes that they were
    in, and it has no gradients.
    """
    record = Record()
    model, objective = problem.model, problem.objective
    loss = objective.of_digests.unlearning_loss
    splits: Mapping[str, Examples] = {"forget": problem.forget, "retain": problem.retain, "test": test}
    shown = splits if looked_at is None else looked_at

    def look(update: int, final: bool) -> None:
        with recalibrated(model, recalibration):
            accuracies_and_losses = evaluate(model, shown, objective, loss)
        record.trajectory.append({"update": update, "final": final, **accuracies_and_losses})

    def forget_accuracy() -> float:
        with recalibrated(model, recalibration):
            return accuracy_of(model, shown["forget"], objective)

    if stride != 0:
        look(0, final=False)
    changes = Changes(model, forget_accuracy, look) if stride is None else None
    result: dict[str, Tensor] = {}
    update = 0
    with modes_kept(model):
        for update, _ in enumerate(method.run(problem), start=1):
            on_update(update)
            if changes:
                changes.after(update)
            elif stride and update % stride == 0:
                look(update, final=False)
            if not all_finite(model):
                break
            if update == updates:
                result = state_of(model)
    model.zero_grad()
    if changes:
        changes.end(update)
    if result:
        model.load_state_dict(result)
    if stride == 0:
        record.statistics[LEFT] = evaluate(model, splits, objective, loss)
        return record
    look(updates if result and updates else update, final=True)
    if recalibration is not None:
        if statistics:
            record.statistics[LEFT] = evaluate(model, splits, objective, loss)
        recalibrate(model, recalibration)
    digests = digests_of(model, list(splits.values()), objective)
    finite = all_finite(model) and all(bool(of_split.isfinite().all()) for of_split in digests)
    if recalibration is not None and statistics:
        record.statistics[RECALIBRATED] = judged(digests, splits, objective, loss)
    record.diagnostics |= {
        **method.diagnostics,
        "diverged": float(not finite),
        "updates": float(update),
    }
    return record


class Changes:
    """Has a model looked at before and after every update that changes its forget accuracy."""

    def __init__(
        self, model: nn.Module, forget_accuracy: Callable[[], float], look: Callable[[int, bool], None]
    ) -> None:
        self.model, self.forget_accuracy, self.look = model, forget_accuracy, look
        self.before, self.accuracy = state_of(model), forget_accuracy()
        self.looked = 0

    def after(self, update: int) -> None:
        """Called after every update, in their order."""
        model, accuracy = self.model, self.forget_accuracy()
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
