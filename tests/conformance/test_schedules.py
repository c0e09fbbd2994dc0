"""Learning rates are those of torch's own schedulers, update by update."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from grokforget.config.training import OptimizerSettings, OptimizerSpec
from grokforget.training.optimizers import learning_rate

RATE, DECAY = 0.3, 40
SCHEDULES: dict[str, Callable[[torch.optim.Optimizer], LRScheduler]] = {
    "constant": lambda optimizer: ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, T_max=DECAY),
}


def spec(schedule: str, warmup: int) -> OptimizerSpec:
    length = DECAY if schedule == "cosine" else None
    settings = {"name": "sgd", "learning_rate": RATE, "schedule": schedule, "decay_steps": length}
    return OptimizerSpec(**OptimizerSettings.model_validate({**settings, "warmup_steps": warmup}).model_dump())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 2, 3, 10, 25])
def test_rates_are_those_of_linear_warm_up_followed_by_the_schedule(schedule: str, warmup: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=RATE)
    after = SCHEDULES[schedule](optimizer)
    scheduler = after
    if warmup:
        rise = LinearLR(optimizer, start_factor=1 / warmup, end_factor=1.0, total_iters=warmup - 1)
        scheduler = SequentialLR(optimizer, [rise, after], milestones=[warmup])
    # Behind its end torch's cosine rises again; ours stays at 0.
    expected = []
    for _ in range(warmup + DECAY + 1):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    settings = spec(schedule, warmup)
    assert [learning_rate(settings, step) for step in range(len(expected))] == pytest.approx(expected, abs=1e-12)
    assert learning_rate(settings, 10**6) == (0.0 if schedule == "cosine" else RATE)
    if warmup:
        assert learning_rate(settings, 0) == RATE / warmup
        assert learning_rate(settings, warmup - 1) == RATE, "exactly"
