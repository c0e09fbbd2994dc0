"""Slingshots and the norm law, on curves made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from grokforget.grokking.outcome import norm_law
from grokforget.grokking.slingshots import slingshots

STEPS = np.arange(0, 1300, 100)
#                 fitting     | calm        spike       calm         spike       calm
LOSS = np.array([2, 0.1, 1e-3, 1e-4, 1e-5, 5e-2, 1e-3, 2e-5, 1e-5, 1e-5, 3e-3, 4e-4, 1e-5])
NORM = np.array([9, 9, 10, 11, 12, 13, 13, 13, 13, 13, 14, 14, 14.0])
T_MEM = 200.0


def test_each_growth_that_ends_in_a_spike_is_one() -> None:
    assert slingshots(STEPS, NORM, LOSS, T_MEM) == [500, 1000]


def test_a_spike_without_growth_is_none() -> None:
    assert slingshots(STEPS, np.full(len(STEPS), 10.0), LOSS, T_MEM) == []
    level_at_last = np.where(STEPS >= 600, 13, NORM)
    assert slingshots(STEPS, level_at_last, LOSS, T_MEM) == [500]
    # Growth before the spike before does not count again, and shrinking first takes nothing from a growth.
    assert slingshots(STEPS, np.where(STEPS < 700, NORM, 20 - STEPS / 1000), LOSS, T_MEM) == [500]
    assert slingshots(STEPS, np.where(STEPS == 400, 5, NORM), LOSS, T_MEM) == [500, 1000]


def test_a_loss_that_does_not_come_back_is_none() -> None:
    assert slingshots(STEPS[:7], NORM[:7], LOSS[:7], T_MEM) == []
    assert slingshots(STEPS, NORM, np.where(STEPS >= 500, 5e-2, LOSS), T_MEM) == []


def test_before_the_train_set_is_memorised_there_is_none() -> None:
    assert slingshots(STEPS, NORM, LOSS, 600.0) == [1000]
    assert slingshots(STEPS, NORM, LOSS, math.nan) == []


def test_a_loss_of_round_off_has_no_spikes() -> None:
    assert slingshots(STEPS, NORM, LOSS / 1e6, T_MEM) == []
    assert slingshots(STEPS, NORM, np.where(STEPS == 500, 9e-5, 1e-5), T_MEM) == []


def test_the_norm_law_is_the_time_of_an_exponential_decay() -> None:
    rate, norm, updates = 1e-2, 30.0, 0
    while norm > 10:
        norm, updates = norm * (1 - rate), updates + 1
    assert norm_law(30, 10, rate) == pytest.approx(updates, rel=0.01)
    assert norm_law(30, 10, 1e-3) == pytest.approx(math.log(3) / 1e-3)
    assert norm_law(10, 30, rate) < 0
    for before, after, decay in ((math.nan, 1, rate), (1, math.nan, rate), (2, 1, 0), (2, 1, math.nan), (0, 1, rate)):
        assert math.isnan(norm_law(before, after, decay))
