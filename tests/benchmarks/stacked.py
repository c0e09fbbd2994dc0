"""Small runs that take their steps together against the same runs one after another."""

from __future__ import annotations

import torch

from benchmarks.timing import processor_seconds
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.training.loop import Run, start, train_run
from grokforget.training.stack import train_stacked

P, EXAMPLES, STEPS = 31, 480, 100


def run_of(seed: int, width: int) -> Run:
    """The laboratory's quadratic MLP on addition, with an evaluation at the beginning and the end alone."""
    settings = TrainingSettings.model_validate(
        {"loss": "cross-entropy", "steps": STEPS, "segment_steps": STEPS, "evaluate_every": STEPS}
        | {"optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 1.0}}
        | {"evaluations_per_decade": 1, "snapshots_per_decade": 1}
    )
    torch.manual_seed(seed)
    model = MLP(
        DataShape((2,), P, vocabulary=P),
        hidden=[width],
        activation="quadratic",
        bias=False,
        initialisation="normal",
    )
    pairs = torch.randint(0, P, (EXAMPLES, 2))
    given = Examples(model.encode(pairs), pairs.sum(1) % P)
    splits = {"train": given, "validation": given[:8], "test": given[:8]}
    recipe = settings.recipe()
    return Run(start(model, recipe.optimizer), splits, recipe, settings.objective().build(), seed=seed, stop=STEPS)


def ratio(runs: int, width: int) -> str:
    def stacked() -> None:
        train_stacked([run_of(seed, width) for seed in range(runs)])

    def apart() -> None:
        for seed in range(runs):
            train_run(run_of(seed, width))

    ours, theirs = processor_seconds([stacked, apart], 3)
    each = 1e3 / STEPS / runs
    return (
        f"{runs} MLPs of width {width} stacked {each * ours:.2f} ms a step and run, one after another {each * theirs:.2f}, "
        f"ratio {ours / theirs:.2f}"
    )


def run() -> str:
    """Processor seconds of all steps, median of three."""
    return "\n".join(ratio(runs, width) for runs, width in ((5, 16), (20, 16), (5, 96), (20, 96)))
