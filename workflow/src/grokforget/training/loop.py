"""The training loop: from one step to a later one, bit-exactly wherever it is interrupted.

A run is a chain of segments. Everything that a step depends on is either in the ``TrainingState`` (weights, optimizer
state, random state, what the last snapshot saw) or a function of (seed, step): the order of the mini-batches, the
learning rate, and what a penalty draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from grokforget.components import build
from grokforget.seeds import derive_seed
from grokforget.training.evaluate import Examples, evaluate, weight_norm
from grokforget.training.losses import LOSSES
from grokforget.training.optimizers import learning_rate, make_optimizer
from grokforget.training.penalties.penalty import Penalty
from grokforget.training.schedule import evaluation_steps, log_steps
from grokforget.training.sharpness import sharpness_aware


@dataclass
class TrainingState:
    """A run after ``step`` updates. ``seen`` holds train and validation accuracy at the last snapshot."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    diverged: bool = False
    seen: tuple[float, float] | None = None


@dataclass
class Segment:
    """What a stretch of training leaves: one curve row an evaluation, and weights by step."""

    curve: list[dict[str, Any]] = field(default_factory=list)
    snapshots: dict[int, dict[str, Tensor]] = field(default_factory=dict)


def batches(n: int, batch_size: int | None, seed: int, step: int) -> Iterator[Tensor | None]:
    """Index tensors of the batches from ``step`` on, without end; None stands for the full batch.

    Epoch e is the permutation of generator (seed, "order", e), cut into batches; the last, shorter one is kept.
    """
    if batch_size is None or batch_size >= n:
        while True:
            yield None
    per_epoch = -(-n // batch_size)
    while True:
        epoch, position = divmod(step, per_epoch)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch)))
        for batch in order.split(batch_size)[position:]:
            yield batch
            step += 1


def start(model: nn.Module, optimizer: Mapping[str, Any]) -> TrainingState:
    """The state before the first update."""
    return TrainingState(model, make_optimizer(model.parameters(), optimizer))


def train(
    state: TrainingState,
    splits: Mapping[str, Examples],
    settings: Mapping[str, Any],
    *,
    seed: int,
    stop: int,
    on_evaluation: Callable[[dict[str, Any]], None] = lambda row: None,
    on_step: Callable[[Segment], None] = lambda segment: None,
    done: Segment | None = None,
) -> Segment:
    """Advance ``state`` in place to ``stop`` updates and return the curve and the snapshots of the steps passed.

    ``splits`` holds ``train``, ``validation`` and ``test``; ``settings`` is a ``TrainingSettings``' spec. The rows of a
    segment are those of the steps (start, stop], and step 0 in the first. A run whose loss or weights are no
    longer finite is flagged ``diverged`` at its next evaluation and stands still from there on: it is a result, not an
    error.

    ``on_step`` is given after every update what there is of the segment: with ``state`` all that is needed to go on from
    there, when it comes back as ``done``.
    """
    model, optimizer, loss = state.model, state.optimizer, LOSSES[settings["loss"]]
    penalty: Penalty | None = build(settings["penalty"]) if settings["penalty"] else None
    rho = settings["optimizer"]["sam_rho"]
    examples = splits["train"]
    first = state.step
    evaluations = evaluation_steps(first + 1, stop, settings["evaluations_per_decade"], settings["evaluate_every"])
    grid = log_steps(first + 1, stop, settings["snapshots_per_decade"])
    segment = done or Segment()

    def look() -> None:
        row: dict[str, Any] = {"step": state.step, **evaluate(model, splits, loss), "weight_norm": weight_norm(model)}
        finite = all(map(torch.isfinite, map(torch.tensor, (row["train_loss"], row["weight_norm"]))))
        state.diverged = state.diverged or not finite
        row["diverged"] = state.diverged
        segment.curve.append(row)
        # Denser where something happens: a snapshot whenever an accuracy has moved, and at the moment of memorisation.
        now = (row["train_accuracy"], row["validation_accuracy"])
        moved = state.seen is None or any(
            abs(a - b) >= settings["snapshot_change"] or (a >= 0.999 > b) for a, b in zip(now, state.seen, strict=True)
        )
        due = state.step in grid or (moved and (state.step in evaluations or state.step == 0))
        if due:
            state.seen = now
        # A segment's end is kept too, but later snapshots do not know of it: they are the same however a run is cut.
        if due or state.step == stop:
            segment.snapshots[state.step] = {k: v.detach().clone() for k, v in model.state_dict().items()}
        on_evaluation(row)

    def gradient(batch: Examples) -> None:
        optimizer.zero_grad()
        objective = loss(model(batch.x), batch.y)
        if penalty:
            objective = objective + penalty(model, batch, seed=seed, step=state.step)
        objective.backward()

    if first == 0:
        look()
    model.train()
    order = batches(len(examples), settings["batch_size"], seed, first)
    while state.step < stop and not state.diverged:
        index = next(order)
        batch = examples if index is None else examples[index]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings["optimizer"], state.step)
        if rho:
            sharpness_aware(model, rho, partial(gradient, batch))
        else:
            gradient(batch)
        optimizer.step()
        state.step += 1
        if state.step in evaluations or state.step in grid or state.step == stop:
            look()
        on_step(segment)
    state.step = stop
    return segment
