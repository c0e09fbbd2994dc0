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


class Run:
    """A stretch of training of one run, an update at a time, as ``train`` says. While it is ``going`` who drives it asks for a
    ``batch``, puts the gradient of the loss on it into the parameters' ``.grad``, and has it take the ``update``.

    ``on_evaluation`` is given every row of the curve. ``on_snapshot`` is given each snapshot as it occurs, its step and the
    model's own tensors: it copies what it keeps, and the run holds none. ``on_step`` is given after every update what there
    is of the segment: with ``state`` and the snapshots all that is needed to go on from there, when it comes back as ``done``.
    """

    def __init__(
        self,
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
    ) -> None:
        self.state, self.splits, self.recipe, self.objective = state, splits, recipe, objective
        self.seed, self.stop, self.group = seed, stop, group
        self.on_evaluation, self.on_snapshot, self.on_step = on_evaluation, on_snapshot, on_step
        self.segment = done or Segment()
        self.parameters = list(state.model.parameters())
        self.augmentation: Augmentation | None = recipe.augmentation.build() if recipe.augmentation else None
        self.loader = training_loader(splits["train"], recipe.batch_size, seed, fewest_examples(state.model, "moving"))
        first = state.step
        self.evaluations = evaluation_steps(first + 1, stop, recipe.evaluations_per_decade, recipe.evaluate_every)
        self.grid = log_steps(first + 1, stop, recipe.snapshots_per_decade)
        if group.size > 1:
            synchronise_batch_norms(state.model)

    @property
    def going(self) -> bool:
        """Whether there is an update to take."""
        return self.state.step < self.stop and not self.state.diverged

    @property
    def whole(self) -> int:
        """How many examples a batch has, but for an epoch's last."""
        n = len(self.splits["train"])
        return min(self.recipe.batch_size or n, n)

    @property
    def one_batch(self) -> bool:
        """Whether every update is of the same batch: all examples as they are."""
        return self.whole == len(self.splits["train"]) and self.augmentation is None

    def begin(self) -> None:
        """The evaluation in front of the first update of all."""
        if self.state.step == 0:
            self.look()
        self.state.model.train()

    def batch(self) -> tuple[Examples, Examples]:
        """The batch of the next update, and this process's part of it, augmented; learning rate and weight decay are set."""
        whole = self.loader.batch(self.state.step)
        part = self.group.part(len(whole))
        batch = whole[part]
        if self.augmentation:
            augmented = self.augmentation(batch.x, seed=self.seed, step=self.state.step, part=part, of=len(whole))
            batch = Examples(augmented, batch.y)
        if self.group.size > 1:
            torch.manual_seed(derive_seed(self.seed, "training", self.state.step, self.group.rank))
        set_rates(self.state.optimizer, self.recipe.optimizer, self.state.step)
        return whole, batch

    def update(self) -> None:
        """Take the step that the gradients say, and look at what came of it where that is due."""
        state = self.state
        if state.gradient_filter:
            state.gradient_filter(self.parameters)
        if self.recipe.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimizer.clip)
        state.optimizer.step()
        state.step += 1
        if state.step in self.evaluations or state.step in self.grid or state.step == self.stop:
            self.look()
        self.on_step(self.segment)

    def look(self) -> None:
        """Evaluate, note the row, and keep a snapshot where one is due."""
        state, recipe, group = self.state, self.recipe, self.group
        loss = self.objective.of_digests.training_loss
        judged = evaluate(state.model, self.splits, self.objective, loss, group.digests_of)
        row: dict[str, Any] = {"step": state.step, **judged, "weight_norm": weight_norm(state.model)}
        row = dict(zip(row, group.agreed(*row.values()), strict=True))
        finite = all(map(torch.isfinite, map(torch.tensor, (row["train_loss"], row["weight_norm"]))))
        state.diverged = state.diverged or not finite
        row["diverged"] = state.diverged
        self.segment.curve.append(row)
        # Denser where something happens: a snapshot whenever an accuracy has moved, and at the moment of memorisation.
        now = (row["train_accuracy"], row["validation_accuracy"])
        moved = state.seen is None or any(
            abs(a - b) >= recipe.snapshot_change or (a >= 0.999 > b) for a, b in zip(now, state.seen, strict=True)
        )
        due = state.step in self.grid or (moved and (state.step in self.evaluations or state.step == 0))
        if due:
            state.seen = now
        # A segment's end is kept too, but later snapshots do not know of it: they are the same however a run is cut.
        if due or state.step == self.stop:
            self.on_snapshot(state.step, state.model.state_dict())
            self.segment.snapshots.append(state.step)
        self.on_evaluation(row)

    def end(self) -> None:
        """When nothing is going; one that diverged stands where it would have ended."""
        self.state.step = self.stop


def train(
    state: TrainingState,
    splits: Mapping[str, Examples],
    recipe: RecipeSpec,
    objective: Objective,
    *,
    seed: int,
    stop: int,
    group: Group = ALONE,
    **told: Any,
) -> Segment:
    """Advance ``state`` in place to ``stop`` updates and return the curve and the steps of the snapshots passed.

    ``splits`` holds ``train``, ``validation`` and ``test``. The rows of a segment are those of the steps (start, stop], and
    step 0 in the first. A run whose loss or weights are no longer finite is flagged ``diverged`` at its next evaluation and
    stands still from there on: it is a result, not an error.

    What else it may be told is as of ``Run``. In a ``group`` every process calls with the same arguments, and has the same
    weights after every step. What a model draws in training, as dropout does, each draws for its own part: by (seed, step,
    rank), so that one process's random state is no part of what the run goes on from.
    """
    run = Run(state, splits, recipe, objective, seed=seed, stop=stop, group=group, **told)
    train_run(run)
    return run.segment


def train_run(run: Run) -> None:
    """Take all updates of a run, as ``train`` does."""
    state, objective, group = run.state, run.objective, run.group
    gradient = Gradient(state.model, objective, run.recipe, run.seed, run.whole, group)
    run.begin()
    while run.going:
        whole, batch = run.batch()
        gradient(batch, state.step, of=objective.terms(whole.y) if group.size > 1 else None)
        run.update()
    run.end()
