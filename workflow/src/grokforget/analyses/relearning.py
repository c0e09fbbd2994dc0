"""How soon plain training brings back what was forgotten (relearn time: Golatkar et al. 2020, arXiv 1911.04933)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

from torch import nn

from grokforget.analyses.base import Probe, Value, joined, nan_where_diverged
from grokforget.data.loader import training_loader
from grokforget.runtime.seeds import derive_seed
from grokforget.training.evaluate import accuracy_and_loss
from grokforget.training.finite import all_finite
from grokforget.training.modes import fewest_examples
from grokforget.training.optimizers import make_optimizer

PARTS = ("", "near", "accuracy")


@nan_where_diverged
def relearning(probe: Probe, *, updates: int, tolerance: float) -> list[Value]:
    """``relearn_updates``: updates of plain training on forget and retain set together until the forget set is back where
    the original model had it, and ``relearned``: 1 where it got there within ``updates``, else 0 (and ``relearn_updates``
    is ``updates``).

    "Back" is, by part: ``""`` mean forget loss at or below the original's; ``near`` at most ``tolerance`` above it;
    ``accuracy`` forget accuracy at or above it. Updates are 0 where it was never lost. The loss is the recipe's own: a
    model trained on squared errors passes through low cross-entropies on its way, without being back. The first is hard
    to reach where the original was trained long past fitting, whatever was forgotten, so that it compares methods
    on one checkpoint; the other two also compare checkpoints.

    The recipe is the setting's own as it begins, without SAM, clipping, penalty or augmentation and in float32, with a fresh
    optimizer and its full learning rate, held; batches are a draw of ``probe``. The fresh optimizer by itself moves a trained
    model away first, as adaptive ones do.
    Of an original with a weight or a forget loss that is not finite: all NaN.
    """
    forget, objective = probe.examples["forget"], probe.objective
    model = copy.deepcopy(probe.model)
    model.load_state_dict(probe.original)
    finite = all_finite(model) and all_finite(probe.model)
    loss = objective.of_digests.training_loss
    accuracy_before, loss_before = accuracy_and_loss(model, forget, objective, loss)
    finite = finite and math.isfinite(loss_before)
    model.load_state_dict(probe.model.state_dict())

    reached: dict[str, int] = {}
    for update, _ in enumerate(trained(model, probe, updates) if finite else ()):
        accuracy_now, loss_now = accuracy_and_loss(model, forget, objective, loss)
        back = (loss_now <= loss_before, loss_now <= loss_before + tolerance, accuracy_now >= accuracy_before)
        for part, there in zip(PARTS, back, strict=True):
            if there:
                reached.setdefault(part, update)
        if len(reached) == len(PARTS):
            break
    return [
        value
        for part in PARTS
        for value in (
            Value("relearn_updates", part, float(reached.get(part, updates)) if finite else math.nan),
            Value("relearned", part, float(part in reached) if finite else math.nan),
        )
    ]


def trained(model: nn.Module, probe: Probe, updates: int) -> Iterator[None]:
    """Train the model in place, stopping before the first update and after each of ``updates``."""
    forget, retain, recipe = probe.examples["forget"], probe.examples["retain"], probe.recipe
    examples = joined([forget, retain])
    optimizer = make_optimizer(model, recipe.optimizer)
    seed = derive_seed(probe.seed, "analysis", "relearning")
    loader = training_loader(examples, recipe.batch_size, seed, fewest_examples(model, "moving"))
    model.train()
    yield
    for update in range(updates):
        batch = loader.batch(update)
        optimizer.zero_grad()
        probe.objective.training_loss(probe.objective.outputs(model, batch), batch.y).backward()
        optimizer.step()
        yield
