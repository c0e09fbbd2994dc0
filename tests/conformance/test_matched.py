"""Matched forgetting on curves made by hand, and the choice of hyper-parameters that forget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from grokforget.statistics.levels import crossing
from grokforget.tables.matched import area, fronts, matched
from grokforget.tables.tuning import forgetting
from grokforget.tables.untried import untried

SEED = 9
Path = list[tuple[int, float, float, float]]
"""Update, forget, retain and test accuracy."""


@pytest.mark.parametrize(
    ("accuracies", "level", "rows", "share"),
    [
        ([1.0, 0.8, 0.2, 0.0], 0.5, (1, 2), 0.5),
        ([1.0, 0.8, 0.2, 0.0], 0.2, (2, 2), 0.0),
        ([1.0, 0.8, 0.2, 0.0], 0.8 - 1e-12, (1, 1), 0.0),
        # Below it from the start; and only the first time counts.
        ([0.3, 0.8, 0.1], 0.5, (0, 0), 0.0),
        ([0.9, 0.1, 0.9, 0.1], 0.5, (0, 1), 0.5),
        ([1.0, 0.6], 0.5, None, None),
        ([], 0.5, None, None),
    ],
)
def test_where_a_level_is_reached(
    accuracies: list[float], level: float, rows: tuple[int, int] | None, share: float | None
) -> None:
    found = crossing(accuracies, level)
    if rows is None:
        assert found is None
        return
    assert found
    assert (found.before, found.after) == rows
    assert found.share == pytest.approx(share)
    assert found.of(accuracies) == pytest.approx(level) or found.before == found.after


def made(
    runs: dict[tuple[int, str, float], Path],
    method: str = "ga",
    retrained: float = 0.4,
    reference_flag: str = "",
    flags: dict[tuple[int, str, float], str] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``tuning`` and ``tuning_trajectories`` of runs by (seed, checkpoint, value)."""
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    splits = ("forget", "retain", "test")
    for (seed, checkpoint, value), path in runs.items():
        labels = {"setting": "a", "seed": seed, "forget_set": "w", "checkpoint": checkpoint, "method": method}
        labels |= {"parameter": "learning_rate", "value": value}
        flag = (flags or {}).get((seed, checkpoint, value), "")
        row = labels | {"updates": path[-1][0], "chance": 0.05, "flag": flag, "reference_flag": reference_flag}
        for number, split in enumerate(splits, start=1):
            row |= {f"{split}_accuracy_before": path[0][number], f"{split}_accuracy": path[-1][number]}
            row |= {f"{split}_accuracy_retrained": retrained if split == "forget" else 0.9}
        rows.append(row)
        for final, some in ((False, path), (True, path[-1:])):
            steps += [
                labels
                | dict(zip(("update", *(f"{split}_accuracy" for split in splits)), one, strict=True))
                | {"final": final, "flag": "not found" if flag == "not found" else ""}
                for one in some
            ]
    return pd.DataFrame(rows), pd.DataFrame(steps)


# At forget accuracy .4 (the retrained model's): value 1 after 3 updates, half-way from update 2 (.5) to 4 (.3);
# value 2 after 1 update of 2, at a higher price on the tuning seed.
SLOW: Path = [(0, 1.0, 1.0, 0.9), (2, 0.5, 1.0, 0.9), (4, 0.3, 0.8, 0.7), (6, 0.3, 0.6, 0.5)]
FAST: Path = [(0, 1.0, 1.0, 0.9), (1, 0.4, 0.5, 0.5), (2, 0.0, 0.1, 0.1)]
RUNS = {(seed, "early", value): path for seed in (0, SEED) for value, path in ((1.0, SLOW), (2.0, FAST))}


def test_what_is_lost_at_a_level_is_interpolated_between_the_updates_around_it() -> None:
    table = matched(*made(RUNS), seed=SEED).set_index(["level", "value"])
    row = table.loc["retrained", 1.0]
    assert (row.from_update, row.to_update, row["updates"]) == (2, 4, 3)
    assert row.share_of_updates == pytest.approx(3 / 6)
    assert (row.retain_accuracy, row.test_accuracy) == pytest.approx((0.9, 0.8))
    assert (row.retain_accuracy_drop, row.test_accuracy_drop, row.collateral) == pytest.approx((0.1, 0.1, 0.1))
    # |.4 - .4|, |.9 - .9|, |.8 - .9|
    assert row.retrain_gap == pytest.approx(0.1 / 3)
    other = table.loc["retrained", 2.0]
    assert (other["updates"], other.collateral) == pytest.approx((1, 0.45))
    assert table.seed.unique().tolist() == [0], "the tuning seed is not reported"


def test_a_level_that_is_never_reached_is_flagged_and_no_number() -> None:
    table = matched(*made(RUNS), seed=SEED).set_index(["level", "value"])
    row = table.loc["chance", 1.0]
    assert row.flag == "not reached"
    assert np.isnan(row[["retain_accuracy", "collateral", "updates", "retrain_gap"]].astype(float)).all()
    there = table.loc["chance", 2.0]
    # From .4 to 0 at .05: 7/8 of the way.
    assert (there.flag, there["updates"], there.retain_accuracy) == ("", pytest.approx(1.875), pytest.approx(0.15))


def test_the_candidate_is_chosen_on_the_tuning_seed_level_by_level() -> None:
    other = {**RUNS, (0, "early", 1.0): [(0, 1.0, 1.0, 0.9), (6, 0.0, 0.0, 0.0)]}
    for runs in (RUNS, other):
        table = matched(*made(runs), seed=SEED)
        chosen = table[table.chosen].set_index("level").value
        # By collateral .1 against .45; at chance and at 10 % only 2 gets there.
        assert chosen.to_dict() == {"retrained": 1.0, "ten-percent": 2.0, "chance": 2.0}


def test_where_no_candidate_gets_there_the_nearest_is_chosen() -> None:
    runs = {(seed, "early", value): path[:2] for (seed, _, value), path in RUNS.items()}
    table = matched(*made(runs), seed=SEED)
    assert table[table.chosen & (table.level == "chance")].value.tolist() == [2.0]
    assert set(table[table.level == "chance"].flag) == {"not reached"}


def test_of_a_checkpoint_that_the_tuning_seed_does_not_have_nothing_is_chosen() -> None:
    flags = {(SEED, "early", value): "not found" for value in (1.0, 2.0)}
    assert not matched(*made(RUNS, flags=flags), seed=SEED).chosen.any()


def test_without_a_retrained_reference_its_level_and_the_distance_to_it_are_unknown() -> None:
    table = matched(*made(RUNS, reference_flag="not found"), seed=SEED).set_index(["level", "value"])
    assert table.loc["retrained"].flag.tolist() == ["not found"] * 2
    assert table.loc["retrained"].collateral.isna().all()
    row = table.loc["chance", 2.0]
    assert row.flag == ""
    assert np.isfinite(row.collateral)
    assert np.isnan(row.retrain_gap)


def test_methods_of_one_update_are_matched_between_their_candidates() -> None:
    """From the weakest to the strongest; of some a larger value is the weaker one."""
    strengths = {30.0: (0.8, 1.0, 0.9), 3.0: (0.2, 0.7, 0.6), 1.0: (0.0, 0.1, 0.1)}
    runs = {
        (seed, "early", value): [(0, 1.0, 1.0, 0.9), (1, *after)]
        for seed in (0, SEED)
        for value, after in strengths.items()
    }
    table = matched(*made(runs, method="ssd"), seed=SEED).set_index("level")
    row = table.loc["retrained"]
    # .4 lies two thirds of the way from .8 to .2.
    assert (row.from_value, row.to_value, row["updates"]) == (30, 3, 1)
    assert (row.retain_accuracy, row.test_accuracy) == pytest.approx((0.8, 0.7))
    assert row.chosen
    assert np.isnan(row.value)


def test_the_area_under_the_front_is_that_of_its_staircase() -> None:
    # Forgotten .5 for .2 and .8 for .4; a point that another beats; nothing beyond .8.
    assert area(np.array([0.5, 0.8, 0.4]), np.array([0.2, 0.4, 0.9])) == pytest.approx(0.5 * 0.2 + 0.3 * 0.4 + 0.2)
    assert area(np.array([0.0, 1.0]), np.array([0.0, 0.0])) == 0
    assert area(np.array([0.0]), np.array([0.0])) == 1
    assert np.isnan(area(np.array([np.nan]), np.array([0.0])))


def test_the_front_is_over_all_candidates_at_all_updates_relative_to_the_checkpoint() -> None:
    row = fronts(*made(RUNS), seed=SEED).iloc[0]
    # (forgotten, collateral): slow (.5, 0), (.7, 1 - (.8 + 7/9) / 2), (.7, ...); fast (.6, ...), (1, 1 - (.1 + 1/9) / 2).
    areas = 0.5 * 0 + 0.2 * (1 - (0.8 + 7 / 9) / 2) + 0.3 * (1 - (0.1 + 1 / 9) / 2)
    assert row.area == pytest.approx(areas)
    assert row.most_forgotten == 1


# The shared hyper-parameter that forgets.
def choose(*tables: pd.DataFrame, ends: bool = False) -> tuple[float, float]:
    (row,) = forgetting(*(table[table.seed == SEED] for table in tables), ends=ends).to_dict("records")
    return row["value"], row["updates"]


def test_the_value_and_the_updates_are_taken_whose_mean_forget_accuracy_is_nearest_to_the_retrained_models() -> None:
    runs = {
        # Means over the checkpoints by update: 1: .9, 2: .7, 3: .35, 4: .2
        (SEED, "early", 1.0): [(0, 1, 1, 1), (1, 0.8, 1, 1), (2, 0.4, 1, 1), (3, 0.1, 1, 1), (4, 0.0, 1, 1)],
        (SEED, "grokked", 1.0): [(0, 1, 1, 1), (2, 1.0, 1, 1), (3, 0.6, 1, 1), (4, 0.4, 1, 1)],
        # 1: .5
        (SEED, "early", 2.0): [(0, 1, 1, 1), (1, 0.0, 1, 1)],
        (SEED, "grokked", 2.0): [(0, 1, 1, 1), (1, 1.0, 1, 1)],
    }
    assert choose(*made(runs, retrained=0.36)) == (1.0, 3)
    assert choose(*made(runs, retrained=0.48))[0] == 2.0
    # Between two rows the forget accuracy of a run stays: after one update grokked is still at 1.
    assert choose(*made(runs, retrained=0.89)) == (1.0, 1)
    # At their ends alone the means are .2 and .5.
    value, updates = choose(*made(runs, retrained=0.36), ends=True)
    assert value == 2.0
    assert np.isnan(updates)


def test_of_points_as_near_that_which_retains_most_is_taken_and_an_own_end_before_a_number_of_updates() -> None:
    runs = {
        (SEED, "early", 1.0): [(0, 1, 1, 1), (1, 0.4, 0.5, 1), (2, 0.0, 0.1, 1)],
        (SEED, "early", 2.0): [(0, 1, 1, 1), (1, 0.404, 0.9, 1)],
    }
    value, updates = choose(*made(runs))  # type: ignore[arg-type]
    assert value == 2.0
    assert np.isnan(updates)


def test_a_candidate_counts_until_one_of_its_runs_diverges_and_only_with_what_was_found() -> None:
    runs = {
        (SEED, "early", 1.0): [(0, 1, 1, 1), (1, 0.9, 1, 1)],
        (SEED, "grokked", 1.0): [(0, 1, 1, 1), (1, 0.9, 1, 1), (2, 0.0, 1, 1)],
    }
    diverged = {(SEED, "early", 1.0): "diverged"}
    tables = made(runs, flags=diverged)  # type: ignore[arg-type]
    steps = tables[1]
    whole = steps[~(steps.final & (steps.checkpoint == "early"))]
    assert choose(tables[0], whole) == (1.0, 1)
    assert forgetting(tables[0], whole, ends=True).empty
    missing = {(SEED, "early", 1.0): "not found"}
    assert choose(*made(runs, flags=missing, retrained=0.0))[0] == 1.0  # type: ignore[arg-type]
    none = made(runs, reference_flag="not found")  # type: ignore[arg-type]
    assert forgetting(*none).empty


def own_cells(path: Path, flag: str = "", losses: float = 1.0, before: str = "") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables ``unlearning`` and ``trajectories`` of the three methods of a cell; ``ga`` takes the path."""
    cell = {"setting": "a", "seed": 0, "forget_set": "w", "checkpoint": "early"}
    ends = {"original": [path[0]], "retrain": [(1, 0.4, 0.9, 0.9)], "ga": path}
    cells, steps = [], []
    for method, rows in ends.items():
        own = {**cell, "method": method, "flag": {"ga": flag, "original": before}.get(method, "")}
        cells.append({**own, "updates": rows[-1][0], "reference_flag": "", "forget_accuracy": -1.0})
        for final, some in ((False, rows), (True, rows[-1:])):
            for update, *accuracies in some:
                step = {**own, "update": update, "final": final}
                for split, value in zip(("forget", "retain", "test"), accuracies, strict=True):
                    step |= {f"{split}_accuracy": value, f"{split}_loss": losses if update == path[-1][0] else 1.0}
                steps.append(step)
    return pd.DataFrame(cells), pd.DataFrame(steps)


def of_own(cells: pd.DataFrame, steps: pd.DataFrame, tuning: pd.DataFrame | None = None) -> pd.DataFrame:
    made = untried(cells, steps, tuning, chance={"a": 0.05}, original="original", retrain="retrain")
    return matched(*made, seed=SEED)


def test_of_a_method_without_candidates_its_own_cells_are_read() -> None:
    tried = matched(*made({(0, "early", 1.0): SLOW}), seed=SEED).set_index("level")
    own = of_own(*own_cells(SLOW)).set_index("level")
    assert own.chosen.all()
    assert own[["value", "from_value", "to_value"]].isna().all(axis=None)
    same = ["retain_accuracy", "test_accuracy", "collateral", "retrain_gap", "updates", "share_of_updates", "flag"]
    pd.testing.assert_frame_equal(own[same], tried[same])
    assert own.loc["retrained", "updates"] == 3, "and it is what was worked out above"


def test_a_method_whose_candidates_are_tried_is_not_read_twice() -> None:
    tuning, _ = made(RUNS)
    assert of_own(*own_cells(SLOW), tuning).empty
    assert not of_own(*own_cells(SLOW), tuning.assign(setting="b")).empty


def test_what_diverges_later_has_reached_what_it_passed() -> None:
    own = of_own(*own_cells(FAST, flag="diverged", losses=np.nan)).set_index("level")
    assert (own.flag["retrained"], own["updates"]["retrained"]) == ("", 1)
    assert own.flag["chance"] == "not reached"


def test_what_diverges_from_a_checkpoint_that_was_not_found_counts_nowhere() -> None:
    own = of_own(*own_cells(FAST, flag="diverged", losses=np.nan, before="not found")).set_index("level")
    assert set(own.flag) == {"not found"}


def test_of_a_method_of_one_update_that_diverges_nothing_is_known() -> None:
    own = of_own(*own_cells([(0, 1.0, 1.0, 0.9), (1, np.nan, np.nan, np.nan)], flag="diverged", losses=np.nan))
    assert set(own.flag) == {"diverged"}
    assert own[["updates", "collateral"]].isna().all(axis=None)
