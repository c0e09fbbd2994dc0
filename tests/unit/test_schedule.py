"""At which steps a run is evaluated and kept: grids that do not depend on how long it is or how it is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from grokforget.training.schedule import evaluation_steps, log_steps

light = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def test_log_steps_are_rounded_powers() -> None:
    assert sorted(log_steps(0, 100, 4)) == [0, 1, 2, 3, 6, 10, 18, 32, 56, 100]
    assert sorted(log_steps(1, 99, 4)) == [1, 2, 3, 6, 10, 18, 32, 56]
    assert log_steps(0, 0, 4) == {0}


def test_evaluations_are_log_spaced_and_every_so_many_steps() -> None:
    assert sorted(evaluation_steps(0, 100, 2, 25)) == [0, 1, 3, 10, 25, 32, 50, 75, 100]
    assert sorted(evaluation_steps(26, 74, 2, 25)) == [32, 50]


@light
@given(
    cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=6, unique=True),
    per_decade=st.integers(1, 60),
    every=st.integers(1, 400),
)
def test_grids_do_not_depend_on_how_a_run_is_cut(cuts: list[int], per_decade: int, every: int) -> None:
    ends = [-1, *sorted(cuts)]
    whole = range(ends[-1] + 1)
    parts = [range(a + 1, b + 1) for a, b in pairwise(ends)]
    cut_logs = [log_steps(part[0], part[-1], per_decade) for part in parts]
    assert set().union(*cut_logs) == log_steps(whole[0], whole[-1], per_decade)
    assert all(steps <= set(part) for steps, part in zip(cut_logs, parts, strict=True))
    cut = set().union(*(evaluation_steps(part[0], part[-1], per_decade, every) for part in parts))
    assert cut == evaluation_steps(whole[0], whole[-1], per_decade, every)


@light
@given(stop=st.integers(1, 3000), more=st.integers(0, 3000), per_decade=st.integers(1, 60))
def test_a_longer_run_keeps_the_grid_of_a_shorter_one(stop: int, more: int, per_decade: int) -> None:
    longer = log_steps(0, stop + more, per_decade)
    assert {step for step in longer if step <= stop} == log_steps(0, stop, per_decade)
