"""Weight decay and learning rate that are switched in mid-run, against plain arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from conformance import plain
from conformance.problems import mlp
from grokforget.config.specs import runs
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.training.loop import start, train
from grokforget.training.optimizers import learning_rate, weight_decay
from grokforget.training.snapshots import InMemory
from small import small

STEPS = 12
GENERATOR = torch.Generator().manual_seed(1)
EXAMPLES = Examples(torch.randn(12, 5, generator=GENERATOR, dtype=torch.float64), torch.arange(12) % 3)
ON_AND_OFF = [
    {"step": 3, "weight_decay": 0.7},
    {"step": 5, "learning_rate": 0.01},
    {"step": 8, "weight_decay": 0.0, "learning_rate": 0.2},
]


def settings(**optimizer: Any) -> TrainingSettings:
    rest = {"loss": "cross-entropy", "steps": STEPS, "segment_steps": STEPS, "evaluate_every": 1}
    return TrainingSettings.model_validate(
        {**rest, "snapshots_per_decade": 100, "optimizer": {"learning_rate": 0.1, **optimizer}}
    )


def trained(given: TrainingSettings) -> list[plain.Weights]:
    """The weights before the first and after every update."""
    recipe, snapshots = given.recipe(), InMemory()
    splits = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
    objective = given.objective().build()
    train(start(mlp(), recipe.optimizer), splits, recipe, objective, seed=0, stop=STEPS, on_snapshot=snapshots.keep)
    return [snapshots.states[step] for step in range(STEPS + 1)]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_update_has_the_values_in_force(name: str) -> None:
    own = {"momentum": 0.9} if name == "sgd" else {}
    reference: Any = plain.Sgd(0.9, 0.0) if name == "sgd" else plain.Adam(0.0, decoupled=name == "adamw")
    got = trained(settings(name=name, switches=ON_AND_OFF, **own))
    weights = got[0]
    for step, after in enumerate(got[1:]):
        reference.weight_decay = 0.7 if 3 <= step < 8 else 0.0
        rate = 0.1 if step < 5 else 0.01 if step < 8 else 0.2
        gradients = plain.gradient(lambda w: plain.cross_entropy(plain.mlp(w, EXAMPLES.x), EXAMPLES.y), weights)
        weights = reference.update(weights, gradients, rate)
        for key, value in weights.items():
            torch.testing.assert_close(after[key], value, rtol=0, atol=1e-9, msg=f"{key} after update {step}")


def test_warm_up_and_cosine_go_on_from_the_rate_that_was_switched_to() -> None:
    spec = settings(
        name="sgd", schedule="cosine", decay_steps=10, warmup_steps=4, switches=[{"step": 2, "learning_rate": 0.4}]
    )
    plain_one = settings(name="sgd", schedule="cosine", decay_steps=10, warmup_steps=4)
    rates, before = ([learning_rate(one.recipe().optimizer, step) for step in range(20)] for one in (spec, plain_one))
    assert rates[:2] == before[:2]
    assert rates[2:] == pytest.approx([4 * rate for rate in before[2:]], abs=1e-15)


def test_what_a_switch_does_not_say_stays() -> None:
    optimizer = (
        settings(name="adamw", weight_decay=0.5, switches=[{"step": 2, "learning_rate": 1.0}]).recipe().optimizer
    )
    assert [weight_decay(optimizer, step) for step in (0, 2, 10**6)] == [0.5] * 3
    optimizer = settings(name="adamw", weight_decay=0.5, switches=[{"step": 2, "weight_decay": 0}]).recipe().optimizer
    assert [weight_decay(optimizer, step) for step in (0, 1, 2, 10**6)] == [0.5, 0.5, 0.0, 0.0]
    assert {learning_rate(optimizer, step) for step in (0, 2)} == {0.1}


# What is already trained.
def test_a_segment_knows_only_of_switches_before_its_end() -> None:
    """So that the runs of two settings that differ behind a step have the segments up to it in common."""
    key = "settings__mlp__training__optimizer__switches"
    later = [{"step": 3000, "weight_decay": 0.1}]
    specs = [
        {segment: runs.train(study, "mlp", "0", "full", segment)[""].spec for segment in ("001", "002")}
        for study in (small(), small(**{key: later}), small(**{key: [{"step": 2999, "weight_decay": 0.1}]}))
    ]
    assert specs[0]["001"] == specs[1]["001"] != specs[2]["001"]
    assert specs[0]["002"] != specs[1]["002"] != specs[2]["002"]
