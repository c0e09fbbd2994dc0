"""The training loop: from one step to a later one, bit-exactly wherever it is interrupted.

A run is a chain of segments. Everything that a step depends on is either in the ``TrainingState`` (weights, optimizer
state, what a gradient filter remembers, random state, what the last snapshot saw) or a function of (seed, step): the order
of the mini-batches, learning rate and weight decay, and what an augmentation or a penalty draws. On a GPU nothing waits for
it but an evaluation, and of a batch of text how long it is and which of its tokens are learned.

A group of processes takes the steps of one: each its part of every batch. They leave the loop together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples, training_loader
from grokforget.runtime.seeds import derive_seed
from grokforget.training.augmentations.base import Augmentation
from grokforget.training.data_parallel import ALONE, Group, synchronise_batch_norms
from grokforget.training.evaluate import evaluate, weight_norm
from grokforget.training.gradient import Gradient
from grokforget.training.gradient_filters.base import GradientFilter
from grokforget.training.modes import fewest_examples
from grokforget.training.objective import Objective
from grokforget.training.optimizers import make_optimizer, set_rates
from grokforget.training.schedule import evaluation_steps, log_steps

if TYPE_CHECKING:
    from grokforget.config.training import OptimizerSpec, RecipeSpec


@dataclass
class TrainingState:
    """A run after ``step`` updates. ``seen`` holds train and validation accuracy at the last snapshot."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    gradient_filter: GradientFilter | None = None
    step: int = 0
    diverged: bool = False
    seen: tuple[float, float] | None = None


@dataclass
class Segment:
    """What is known of a stretch of training: one curve row an evaluation, and the steps whose weights were kept."""

    curve: list[dict[str, Any]] = field(default_factory=list)
    snapshots: list[int] = field(default_factory=list)


def start(model: nn.Module, optimizer: OptimizerSpec) -> TrainingState:
    """The state before the first update."""
    gradient_filter = optimizer.gradient_filter.build() if optimizer.gradient_filter else None
    return TrainingState(model, make_optimizer(model, optimizer), gradient_filter)


def train(
    state: TrainingState,
    splits: Mapping[str, Examples],
    recipe: RecipeSpec,
    objective: Objective,
    *,
    seed: int,
    stop: int,
    on_evaluation: Callable[[dict[str, Any]], None] = lambda row: None,
    on_snapshot: Callable[[int, Mapping[str, Tensor]], None] = lambda step, weights: None,
    on_step: Callable[[Segment], None] = lambda segment: None,
    done: Segment | None = None,
    group: Group = ALONE,
) -> Segment:
    """Advance ``state`` in place to ``stop`` updates and return the curve and the steps of the snapshots passed.

    ``splits`` holds ``train``, ``validation`` and ``test``. The rows of a segment are those of the steps (start, stop], and
    step 0 in the first. A run whose loss or weights are no longer finite is flagged ``diverged`` at its next evaluation and
    stands still from there on: it is a result, not an error.

    ``on_snapshot`` is given each snapshot as it occurs, its step and the model's own tensors: it copies what it keeps, and
    the loop holds none. ``on_step`` is given after every update what there is of the segment: with ``state`` and the
    snapshots all that is needed to go on from there, when it comes back as ``done``. In a ``group`` every process calls
    with the same arguments, and has the same weights after every step. What a model draws in training, as dropout does, each
    draws for its own part: by (seed, step, rank), so that one process's random state is no part of what the run goes on from.
    """
    model, optimizer = state.model, state.optimizer
    parameters = list(model.parameters())
    n = len(splits["train"])
    gradient = Gradient(model, objective, recipe, seed, min(recipe.batch_size or n, n), group)
    augmentation: Augmentation | None = recipe.augmentation.build() if recipe.augmentation else None
    loader = training_loader(splits["train"], recipe.batch_size, seed, fewest_examples(model, "moving"))
    first = state.step
    evaluations = evaluation_steps(first + 1, stop, recipe.evaluations_per_decade, recipe.evaluate_every)
    grid = log_steps(first + 1, stop, recipe.snapshots_per_decade)
    segment = done or Segment()
    if group.size > 1:
        synchronise_batch_norms(model)

    def look() -> None:
        accuracies_and_losses = evaluate(model, splits, objective, objective.of_digests.training_loss, group.digests_of)
        row: dict[str, Any] = {"step": state.step, **accuracies_and_losses, "weight_norm": weight_norm(model)}
        row = dict(zip(row, group.agreed(*row.values()), strict=True))
        finite = all(map(torch.isfinite, map(torch.tensor, (row["train_loss"], row["weight_norm"]))))
        state.diverged = state.diverged or not finite
        row["diverged"] = state.diverged
        segment.curve.append(row)
        # Denser where something happens: a snapshot whenever an accuracy has moved, and at the moment of memorisation.
        now = (row["train_accuracy"], row["validation_accuracy"])
        moved = state.seen is None or any(
            abs(a - b) >= recipe.snapshot_change or (a >= 0.999 > b) for a, b in zip(now, state.seen, strict=True)
        )
        due = state.step in grid or (moved and (state.step in evaluations or state.step == 0))
        if due:
            state.seen = now
        # A segment's end is kept too, but later snapshots do not know of it: they are the same however a run is cut.
        if due or state.step == stop:
            on_snapshot(state.step, model.state_dict())
            segment.snapshots.append(state.step)
        on_evaluation(row)

    if first == 0:
        look()
    model.train()
    while state.step < stop and not state.diverged:
        whole = loader.batch(state.step)
        part = group.part(len(whole))
        batch = whole[part]
        if augmentation:
            augmented = augmentation(batch.x, seed=seed, step=state.step, part=part, of=len(whole))
            batch = Examples(augmented, batch.y)
        if group.size > 1:
            torch.manual_seed(derive_seed(seed, "training", state.step, group.rank))
        set_rates(optimizer, recipe.optimizer, state.step)
        gradient(batch, state.step, of=objective.terms(whole.y) if group.size > 1 else None)
        if state.gradient_filter:
            state.gradient_filter(parameters)
        if recipe.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.optimizer.clip)
        optimizer.step()
        state.step += 1
        if state.step in evaluations or state.step in grid or state.step == stop:
            look()
        on_step(segment)
    state.step = stop
    return segment
