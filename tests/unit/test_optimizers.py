"""The light optimizers are torch's own in every bit, and cheap to make; learning rates follow their schedules."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.training import OptimizerSettings, OptimizerSpec
from grokforget.training.optimizers import adam, adamw, learning_rate, make_optimizer, sgd

SOURCE = Path(__file__).parents[2] / "workflow" / "src"
CASES = [
    (sgd, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (sgd, torch.optim.SGD, {}),
    (adam, torch.optim.Adam, {}),
    (adamw, torch.optim.AdamW, {"betas": (0.9, 0.98)}),
]


@pytest.mark.parametrize(("light", "original", "more"), CASES)
def test_steps_are_those_of_the_original_class(light, original, more) -> None:
    torch.manual_seed(0)
    ours = torch.nn.Linear(5, 3)
    theirs = copy.deepcopy(ours)
    one = light(ours.parameters(), 0.05, 0.1, **more)
    two = original(theirs.parameters(), lr=0.05, weight_decay=0.1, fused=True, **more)
    for _ in range(5):
        x = torch.randn(7, 5)
        for model, optimizer in ((ours, one), (theirs, two)):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
    for mine, its in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, its)
        assert mine.requires_grad


@pytest.mark.parametrize(
    "made",
    [
        "adamw(net.parameters(), 0.1, 0.1)",
        "Muon([net.weight], [net.bias], 0.1, 0.1, 0.95, True, (0.9, 0.999), None)",
    ],
)
def test_making_and_stepping_imports_no_compiler(made: str) -> None:
    code = (
        "import sys, torch\nfrom grokforget.training.optimizers import Muon, adamw\n"
        f"net = torch.nn.Linear(2, 2); optimizer = {made}\n"
        "net(torch.ones(1, 2)).sum().backward(); optimizer.step(); optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict()); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE)}
    )
    assert done.stdout.strip() == "False"


# From their specs.
SGD = {"name": "sgd", "learning_rate": 0.05, "weight_decay": 1e-3, "momentum": 0.9, "nesterov": True}
ADAM = {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 0.5, "betas": [0.9, 0.98]}


def optimizer_spec(**settings: Any) -> OptimizerSpec:
    return OptimizerSpec(**OptimizerSettings.model_validate(settings).model_dump())


def schedule(**changes: Any) -> OptimizerSpec:
    return optimizer_spec(name="sgd", learning_rate=0.4, **changes)


def test_constant_rate_is_constant() -> None:
    assert {learning_rate(schedule(), step) for step in (0, 1, 10**6)} == {0.4}


def test_cosine_rate_falls_by_half_a_cosine_to_zero_and_stays_there() -> None:
    cosine = schedule(schedule="cosine", decay_steps=100)
    expected = {0: 0.4, 25: 0.2 * (1 + math.sqrt(0.5)), 50: 0.2, 75: 0.2 * (1 - math.sqrt(0.5)), 100: 0.0, 1000: 0.0}
    assert {step: learning_rate(cosine, step) for step in expected} == pytest.approx(expected, abs=1e-12)


def test_the_first_update_of_a_warm_up_has_its_share_and_the_last_all() -> None:
    warm = schedule(warmup_steps=3)
    assert [learning_rate(warm, step) for step in range(5)] == [0.4 / 3, 0.4 * 2 / 3, 0.4, 0.4, 0.4]
    for length in (0, 1):
        cosine = {"schedule": "cosine", "decay_steps": 100}
        warm = [learning_rate(schedule(warmup_steps=length, **cosine), step + length) for step in range(200)]
        assert warm == [learning_rate(schedule(**cosine), step) for step in range(200)], "to the bit"


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        (SGD, torch.optim.SGD),
        ({"name": "sgd", "learning_rate": 0.1}, torch.optim.SGD),
        (ADAM, torch.optim.Adam),
        (ADAMW, torch.optim.AdamW),
    ],
)
def test_optimizers_are_bit_for_bit_those_of_torch(recipe: dict[str, Any], kind: type[torch.optim.Optimizer]) -> None:
    spec = optimizer_spec(**recipe)
    full = spec.model_dump()
    ours, theirs = (nn.Parameter(torch.linspace(-2, 2, 7)) for _ in range(2))
    own = ("momentum", "nesterov") if full["name"] == "sgd" else ("betas",)
    reference = kind(
        [theirs],
        lr=full["learning_rate"],
        weight_decay=full["weight_decay"],
        fused=True,
        **{key: tuple(full[key]) if key == "betas" else full[key] for key in own},
    )
    for optimizer, parameter in ((make_optimizer(nn.ParameterList([ours]), spec), ours), (reference, theirs)):
        for _ in range(8):
            optimizer.zero_grad()
            parameter.cos().sum().backward()
            optimizer.step()
    assert not torch.equal(ours, torch.linspace(-2, 2, 7))
    assert torch.equal(ours, theirs)
