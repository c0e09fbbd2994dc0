"""Measures and statistics on tables small enough to work out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from grokforget.config.metrics import METRICS
from grokforget.metrics import accuracy, mia_loss, request_errors, retrain_gap, ues, updates_to_target
from grokforget.metrics.base import SPLITS, Cell
from grokforget.statistics.contrasts import mean_and_spread, paired_differences, paired_interval

NOWHERE = pd.DataFrame({"update": [], "forget_accuracy": [], "retain_accuracy": [], "test_accuracy": []})


def outputs(**splits: list[bool]) -> pd.DataFrame:
    """One row an example, in the order given, with losses 0, 1, 2, ... within a split."""
    rows = [
        {"split": split, "label": 0, "loss": float(n), "correct": right}
        for split, flags in splits.items()
        for n, right in enumerate(flags)
    ]
    return pd.DataFrame(rows)


def shares(n: int = 1000, **right: float) -> pd.DataFrame:
    """``n`` examples a split, of which so many per cent are right."""
    return outputs(**{split: [i < round(n * percent / 100) for i in range(n)] for split, percent in right.items()})


def cell(after: pd.DataFrame, before: pd.DataFrame | None = None, **other: object) -> Cell:
    whole = {"original": after if before is None else before, "retrained": after, "trajectory": NOWHERE}
    return Cell(outputs=after, **({**whole, "chance": 0.1, "seed": 0} | other))


# accuracy


def test_accuracy_loss_and_drop_are_taken_split_by_split() -> None:
    before = outputs(forget=[True, True], retain=[True, True, True, False], test=[True, False])
    after = outputs(test=[False, False], forget=[True, False], retain=[True, True, True, True])
    assert accuracy.measure(cell(after, before)) == {
        "forget_accuracy": 0.5,
        "forget_loss": 0.5,
        "forget_accuracy_drop": 0.5,
        "retain_accuracy": 1.0,
        "retain_loss": 1.5,
        "retain_accuracy_drop": -0.25,
        "test_accuracy": 0.0,
        "test_loss": 0.5,
        "test_accuracy_drop": 0.5,
    }


def test_accuracy_of_an_empty_split_is_nan_and_leaves_the_others() -> None:
    row = accuracy.measure(cell(outputs(forget=[True], retain=[False])))
    assert row["forget_accuracy"] == 1
    assert row["retain_accuracy"] == 0
    assert all(math.isnan(row[f"test_{key}"]) for key in ("accuracy", "loss", "accuracy_drop"))


# request


def test_accuracy_on_what_a_request_is_wrong_about() -> None:
    """Of the model after unlearning; without errors there is none."""
    before = outputs(forget=[True], retain=[True], test=[True], missed=[True, True], mistaken=[True, True])
    after = outputs(
        forget=[False], retain=[True], test=[True], missed=[True, True, True, False], mistaken=[False, True]
    )
    assert request_errors.measure(cell(after, before)) == {"missed_accuracy": 0.75, "mistaken_accuracy": 0.5}
    row = request_errors.measure(cell(outputs(forget=[False], retain=[True], test=[True])))
    assert row.keys() == {"missed_accuracy", "mistaken_accuracy"}
    assert all(math.isnan(value) for value in row.values())


# retrain gap


def test_retrain_gap_is_the_mean_absolute_difference_and_tow_the_product() -> None:
    after = shares(forget=40, retain=90, test=80)
    retrained = shares(forget=50, retain=100, test=60)
    row = retrain_gap.measure(cell(after, retrained=retrained))
    assert row["retrain_gap"] == pytest.approx((0.1 + 0.1 + 0.2) / 3)
    assert row["tow"] == pytest.approx(0.9 * 0.9 * 0.8)


def test_retrain_gap_of_the_retrained_model_is_zero_and_its_tow_one() -> None:
    assert retrain_gap.measure(cell(shares(forget=31, retain=100, test=87))) == {"retrain_gap": 0, "tow": 1}


def test_retrain_gap_without_test_examples_is_nan() -> None:
    row = retrain_gap.measure(cell(shares(forget=1, retain=1)))
    assert math.isnan(row["retrain_gap"])
    assert math.isnan(row["tow"])


# UES


def test_ues_gives_the_published_pair() -> None:
    before = shares(100_000, test=92.778, retain=100, forget=100)
    after = shares(100_000, test=48.319, retain=48.456, forget=6.4)
    row = ues.measure(cell(after, before))
    assert row["ues_collateral"] == pytest.approx(44.459 * 51.544)
    assert row["ues"] == pytest.approx(93.6 / (44.459 * 51.544))
    assert round(row["ues"], 3) == 0.041


def test_ues_keeps_its_sign_where_a_set_gains() -> None:
    row = ues.measure(cell(shares(forget=20, retain=90, test=85), shares(forget=60, retain=100, test=80)))
    assert row["ues"] == pytest.approx(40 / (10 * -5))


@pytest.mark.parametrize("kept", ["retain", "test"])
def test_ues_is_nan_where_nothing_was_lost_on_one_set(kept: str) -> None:
    before = {"forget": 100.0, "retain": 100.0, "test": 90.0}
    after = {"forget": 10.0, "retain": 80.0, "test": 70.0} | {kept: before[kept]}
    row = ues.measure(cell(shares(**after), shares(**before)))
    assert math.isnan(row["ues"])
    assert row["ues_collateral"] == 0


def test_ues_of_the_original_model_is_nan() -> None:
    assert math.isnan(ues.measure(cell(shares(forget=100, retain=100, test=90)))["ues"])


# updates to target


def trajectory(rows: list[tuple[int, float, float, float]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["update", "forget_accuracy", "retain_accuracy", "test_accuracy"])
    return table.assign(forget_loss=1.0)


def test_a_diverged_model_reaches_no_target() -> None:
    path = trajectory([(0, 1, 1, 0.9), (1, 0, 0.1, 0.1)]).assign(forget_loss=[0.1, float("nan")])
    row = updates_to_target.measure(cell(shares(forget=0), trajectory=path))
    assert pd.isna(row["updates_to_chance"])
    assert pd.isna(row["retain_accuracy_at_chance"])


def test_updates_to_target_takes_the_first_update_at_or_below_it() -> None:
    path = trajectory([(0, 1, 1, 0.9), (5, 0.4, 0.9, 0.8), (10, 0.1, 0.7, 0.6), (15, 0.3, 0.8, 0.7), (20, 0, 0.2, 0.1)])
    row = updates_to_target.measure(cell(shares(forget=0), retrained=shares(forget=40), trajectory=path, chance=0.1))
    assert row == {
        "updates_to_chance": 10,
        "retain_accuracy_at_chance": 0.7,
        "test_accuracy_at_chance": 0.6,
        "updates_to_retrained": 5,
        "retain_accuracy_at_retrained": 0.9,
        "test_accuracy_at_retrained": 0.8,
    }


def test_updates_to_target_is_nan_for_the_target_that_is_never_reached_alone() -> None:
    path = trajectory([(0, 1.0, 1.0, 0.9), (7, 0.3, 0.6, 0.5)])
    row = updates_to_target.measure(cell(shares(forget=0), retrained=shares(forget=50), trajectory=path, chance=0.1))
    assert all(math.isnan(row[f"{key}_chance"]) for key in ("updates_to", "retain_accuracy_at", "test_accuracy_at"))
    assert row["updates_to_retrained"] == 7


def test_updates_to_target_is_zero_where_the_model_starts_below_it() -> None:
    path = trajectory([(0, 0.1, 0.2, 0.15), (4, 0.0, 0.1, 0.1)])
    assert updates_to_target.measure(cell(shares(forget=0), trajectory=path))["updates_to_chance"] == 0


def test_updates_to_target_forgives_round_off_and_no_more() -> None:
    path = trajectory([(0, 1.0, 1.0, 0.9), (2, 0.1 + 1e-6, 0.7, 0.6), (3, 0.1 + 1e-15, 0.6, 0.5)])
    assert updates_to_target.measure(cell(shares(forget=0), trajectory=path))["updates_to_chance"] == 3


def test_updates_to_target_without_a_reference_is_nan() -> None:
    path = trajectory([(0, 0.0, 1.0, 0.9)])
    row = updates_to_target.measure(cell(shares(forget=0), retrained=shares(retain=100), trajectory=path))
    assert math.isnan(row["updates_to_retrained"])
    assert row["updates_to_chance"] == 0


# membership inference


def losses(forget: np.ndarray, test: np.ndarray, label: int = 0, test_label: int = 0) -> pd.DataFrame:
    parts = [("forget", forget, label), ("test", test, test_label)]
    return pd.concat(
        [pd.DataFrame({"split": name, "label": y, "loss": values, "correct": False}) for name, values, y in parts],
        ignore_index=True,
    )


def attack(frame: pd.DataFrame, seed: int = 0, splits: int = 10, clip: float = 100.0) -> float:
    return mia_loss.measure(cell(frame, seed=seed), splits=splits, clip=clip)["membership_accuracy"]


def test_membership_is_a_half_on_average_where_both_come_from_one_distribution() -> None:
    generator = np.random.default_rng(0)
    found = [attack(losses(generator.gamma(1, 1, 80), generator.gamma(1, 1, 200)), seed) for seed in range(40)]
    # A split of 16 test examples has a spread of about 0.1; the mean of 40 data sets about 0.01.
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)
    assert np.std(found) > 0


def test_membership_is_one_where_the_losses_are_apart() -> None:
    generator = np.random.default_rng(0)
    assert attack(losses(generator.uniform(0, 1, 60), generator.uniform(5, 6, 60))) == 1


def test_membership_of_an_overlap_is_the_best_threshold() -> None:
    # Members are 0 or 2, others 2 or 4, half and half: a threshold gets three quarters right.
    members, others = np.repeat([0.0, 2.0], 200), np.repeat([2.0, 4.0], 200)
    assert attack(losses(members, others)) == pytest.approx(0.75, abs=0.03)


def test_membership_compares_with_test_examples_of_the_forgotten_classes_only() -> None:
    generator = np.random.default_rng(1)
    same, other = generator.uniform(0, 1, (2, 60)), generator.uniform(5, 6, 60)
    frame = losses(same[0], same[1], label=3, test_label=3)
    far = losses(same[0], other, label=3, test_label=7)
    both = pd.concat([frame, far[far.split == "test"]], ignore_index=True)
    assert attack(both) == attack(frame)
    assert attack(both) < 0.7
    assert math.isnan(attack(far)), "no test example of the class: nothing to compare with"


@pytest.mark.parametrize(("n_forget", "n_test"), [(20, 400), (400, 20)])
def test_membership_is_balanced_so_that_the_larger_set_is_no_answer(n_forget: int, n_test: int) -> None:
    same = losses(np.ones(n_forget), np.ones(n_test))
    assert attack(same) == pytest.approx(0.5)


def test_membership_clips_large_losses() -> None:
    generator = np.random.default_rng(2)
    members, others = generator.uniform(0, 1, 50), generator.uniform(5, 6, 50)
    wild, clipped = others.copy(), others.copy()
    wild[:3], clipped[:3] = [1e300, 1e30, 101], 100
    assert attack(losses(members, wild)) == attack(losses(members, clipped)) == 1
    # Everything above the clip is one number, and then nothing tells the sets apart.
    assert attack(losses(members + 200, others + 300)) == pytest.approx(0.5)
    assert attack(losses(np.full(50, -1e30), np.full(50, -1e9))) == pytest.approx(0.5)
    # A smaller clip is obeyed.
    assert attack(losses(members + 3, others + 3), clip=2.0) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [2, 3, 7, 19, 20, 21, 50, 131])
@pytest.mark.parametrize("seed", [0, 11, 2**40 + 3])
def test_membership_holds_out_what_scikit_learn_does(n: int, seed: int) -> None:
    labels = np.repeat([1, 0], n)
    splitter = StratifiedShuffleSplit(6, test_size=max(0.1, 2 / (2 * n)), random_state=seed % 2**32)
    expected = [sorted(held) for _, held in splitter.split(labels, labels)]
    assert [np.flatnonzero(held).tolist() for held in mia_loss.held_out(n, 6, seed)] == expected


PAIRS = {
    "overlapping": lambda g, n: (g.gamma(1, 0.2, n), g.gamma(1, 1, n)),
    "apart": lambda g, n: (g.uniform(0, 1, n), g.uniform(50, 51, n)),
    "at both ends": lambda g, n: (g.uniform(0, 1e-9, n), g.uniform(99, 100, n)),
    "the same": lambda g, n: (np.ones(n), np.ones(n)),
    "mixed": lambda g, n: (np.where(g.random(n) < 0.9, 0, 100.0), g.gamma(1, 30, n).clip(0, 100)),
    "tiny": lambda g, n: (g.gamma(1, 1e-8, n), g.gamma(1, 1e-3, n)),
}


@pytest.mark.parametrize("n", [3, 40, 200])
@pytest.mark.parametrize("kind", PAIRS)
def test_membership_is_told_by_the_logistic_regression_of_scikit_learn(kind: str, n: int) -> None:
    """Solved to the last digits: with its own tolerance it does not move its intercept at all where losses are tiny."""
    members, others = PAIRS[kind](np.random.default_rng(4), n)
    x, labels = np.concatenate([members, others]), np.repeat([1, 0], n)
    held = np.stack(list(mia_loss.held_out(n, 10, 0)))
    slopes, intercepts = mia_loss.logistic_regression(x, labels == 1, ~held)
    right = []
    for slope, intercept, out in zip(slopes, intercepts, held, strict=True):
        exact = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000)
        exact.fit(x[~out, None], labels[~out])
        np.testing.assert_allclose(slope * x + intercept, exact.decision_function(x[:, None]), rtol=1e-6, atol=1e-12)
        right.append(exact.score(x[out, None], labels[out]))
    assert mia_loss.attack_accuracy(members, others, 10, 100.0, 0) == pytest.approx(np.mean(right), abs=1e-12)


def test_membership_takes_as_many_of_either() -> None:
    with pytest.raises(ValueError, match="3 members and 4 others"):
        mia_loss.attack_accuracy(np.ones(3), np.ones(4), 10, 100.0, 0)


# what has diverged


def full(n: int = 40, **changes: float) -> pd.DataFrame:
    """Sound outputs of all splits, the first loss of each split in ``changes`` replaced."""
    generator = np.random.default_rng(0)
    parts = {split: generator.random(n) < 0.7 for split in ("forget", "retain", "test", "missed", "mistaken")}
    table = outputs(**{split: flags.tolist() for split, flags in parts.items()}).assign(
        loss=generator.gamma(1, 1, 5 * n)
    )
    for split, value in changes.items():
        table.loc[table.split.eq(split).idxmax(), "loss"] = value
    return table


PATH = {"update": [0, 3], "forget_loss": [0.1, 2.0], "forget_accuracy": [1.0, 0.0]}
PATH |= {"retain_accuracy": [1.0, 0.9], "test_accuracy": [0.9, 0.8]}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("split", ["forget", "retain", "test", "missed"])
@pytest.mark.parametrize("kind", [kind for kind, row in METRICS.items() if "classification" in row.objectives])
def test_every_metric_of_a_diverged_model_is_nan(kind: str, split: str, value: float) -> None:
    """One output that is not finite is enough, on whatever split; and the columns are the usual ones."""
    metric = METRICS[kind]().spec()
    sound, other = full(), full(50)
    other.loc[other.split == "retain", "correct"] = True
    good = metric.build(cell(sound, other, retrained=other, trajectory=PATH))
    assert np.isfinite(list(good.values())).all(), good
    bad = metric.build(cell(full(**{split: value}), other, retrained=other, trajectory=PATH))
    assert list(bad) == list(good)
    assert np.isnan(list(bad.values())).all(), bad


def test_a_diverged_original_or_reference_takes_with_it_what_is_told_by_it_alone() -> None:
    sound, bad = full(), full(forget=math.nan)
    row = accuracy.measure(cell(sound, bad))
    assert {name for name, value in row.items() if math.isnan(value)} == {f"{s}_accuracy_drop" for s in SPLITS}
    assert all(math.isnan(value) for value in ues.measure(cell(sound, bad)).values())
    assert all(math.isnan(value) for value in retrain_gap.measure(cell(sound, retrained=bad)).values())
    reached = updates_to_target.measure(cell(sound, retrained=bad, trajectory=PATH))
    assert math.isnan(reached["updates_to_retrained"])
    assert reached["updates_to_chance"] == 3


@pytest.mark.parametrize("n", range(2, 13))
def test_membership_works_down_to_two_of_either(n: int) -> None:
    assert attack(losses(np.linspace(0, 1, n), np.linspace(50, 51, n))) == 1


def test_membership_below_two_of_either_is_nan() -> None:
    assert math.isnan(attack(losses(np.zeros(1), np.zeros(9))))
    assert math.isnan(attack(losses(np.zeros(0), np.zeros(9))))


@pytest.mark.parametrize("n_test", [50, 90])
def test_membership_depends_on_the_seed_alone(n_test: int) -> None:
    # With 50 of either the seed decides on the splits, with 90 also on who is compared.
    generator = np.random.default_rng(3)
    frame = losses(generator.gamma(1, 1, 50), generator.gamma(1, 1.5, n_test))
    assert attack(frame, seed=5) == attack(frame, seed=5)
    assert len({attack(frame, seed) for seed in range(6)}) > 1


# statistics


def test_paired_interval_is_scipys() -> None:
    generator = np.random.default_rng(0)
    for n in (2, 3, 5, 20):
        a, b = generator.normal(0, 1, n), generator.normal(0.5, 2, n)
        expected = stats.ttest_rel(a, b).confidence_interval(0.95)
        got = paired_interval(a - b)
        np.testing.assert_allclose(got, [(a - b).mean(), expected.low, expected.high], rtol=1e-10)


def test_paired_interval_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard deviation 1, t(2, 0.975) = 4.302653.
    half = 4.302653 / math.sqrt(3)
    np.testing.assert_allclose(paired_interval(np.array([1.0, 2.0, 3.0])), [2, 2 - half, 2 + half], rtol=1e-6)


def test_paired_interval_leaves_nan_pairs_out() -> None:
    assert paired_interval(np.array([1.0, np.nan, 2.0, 3.0])) == paired_interval(np.array([1.0, 2.0, 3.0]))


def test_paired_interval_of_one_pair_has_a_mean_and_no_interval_and_of_none_nothing() -> None:
    mean, low, high = paired_interval(np.array([0.25, np.nan]))
    assert mean == 0.25
    assert math.isnan(low)
    assert math.isnan(high)
    assert all(math.isnan(value) for value in paired_interval(np.array([np.nan, np.nan])))
    assert all(math.isnan(value) for value in paired_interval(np.array([])))


def table(rows: list[tuple[str, str, int, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["checkpoint", "method", "seed", "gap", "ues"])
    return frame.assign(setting="digits", forget_set="class")


SEEDS = table(
    [
        ("late", "scrub", 1, 0.3, 5.0),
        ("early", "scrub", 0, 0.1, np.nan),
        ("late", "scrub", 0, 0.2, 1.0),
        ("early", "scrub", 2, 0.6, 3.0),
        ("early", "scrub", 1, 0.2, 4.0),
        ("late", "scrub", 2, 0.3, np.nan),
        ("early", "fisher", 0, 0.5, np.nan),
        ("late", "fisher", 0, 0.7, np.nan),
    ]
)


def test_mean_and_spread_over_the_seeds_of_a_cell() -> None:
    result = mean_and_spread(SEEDS, ["gap", "ues"])
    assert len(result) == 2 * 2 * 2
    by = result.set_index(["checkpoint", "method", "measure"])
    early = by.loc[("early", "scrub", "gap")]
    assert early["mean"] == pytest.approx(0.3)
    assert early["std"] == pytest.approx(math.sqrt((0.2**2 + 0.1**2 + 0.3**2) / 2))
    assert early["seeds"] == 3
    # NaN is left out and not counted.
    ues_row = by.loc[("early", "scrub", "ues")]
    assert (ues_row["mean"], ues_row["seeds"]) == (3.5, 2)
    assert ues_row["std"] == pytest.approx(math.sqrt(0.5))


def test_mean_and_spread_of_one_seed_has_no_spread_and_of_none_no_mean() -> None:
    by = mean_and_spread(SEEDS, ["gap", "ues"]).set_index(["checkpoint", "method", "measure"])
    one = by.loc[("late", "fisher", "gap")]
    assert (one["mean"], one["seeds"]) == (0.7, 1)
    assert math.isnan(one["std"])
    none = by.loc[("late", "fisher", "ues")]
    assert none["seeds"] == 0
    assert math.isnan(none["mean"])


def test_mean_and_spread_takes_true_and_false_as_one_and_zero() -> None:
    frame = SEEDS.assign(diverged=[True, False, False, False, False, False, False, False])
    by = mean_and_spread(frame, ["diverged"]).set_index(["checkpoint", "method"])
    assert by.loc[("late", "scrub"), "mean"] == pytest.approx(1 / 3)


def test_paired_differences_pair_by_seed_whatever_the_order_of_rows() -> None:
    result = paired_differences(SEEDS, ["gap", "ues"], [("late", "early")]).set_index(["method", "measure"])
    gap = result.loc[("scrub", "gap")]
    pairs = np.array([0.2 - 0.1, 0.3 - 0.2, 0.3 - 0.6])
    expected = stats.ttest_1samp(pairs, 0).confidence_interval(0.95)
    assert gap["contrast"] == "late - early"
    assert gap["pairs"] == 3
    np.testing.assert_allclose(
        [gap["difference"], gap["low"], gap["high"]], [pairs.mean(), expected.low, expected.high], rtol=1e-10
    )


def test_paired_differences_drop_a_pair_with_nan_on_either_side() -> None:
    result = paired_differences(SEEDS, ["gap", "ues"], [("late", "early")]).set_index(["method", "measure"])
    row = result.loc[("scrub", "ues")]
    assert (row["difference"], row["pairs"]) == (1.0, 1)
    assert math.isnan(row["low"])
    assert math.isnan(row["high"])


def test_paired_differences_of_a_single_seed_have_no_interval() -> None:
    result = paired_differences(SEEDS, ["gap", "ues"], [("late", "early")]).set_index(["method", "measure"])
    row = result.loc[("fisher", "gap")]
    assert row["difference"] == pytest.approx(0.2)
    assert row["pairs"] == 1
    assert math.isnan(row["low"])
    none = result.loc[("fisher", "ues")]
    assert none["pairs"] == 0
    assert math.isnan(none["difference"])


def test_paired_differences_leave_unpaired_seeds_and_unknown_checkpoints_out() -> None:
    alone = pd.concat([SEEDS, table([("late", "scrub", 9, 100.0, 100.0)])], ignore_index=True)
    contrasts = [("late", "early"), ("late", "middle")]
    result = paired_differences(alone, ["gap"], contrasts)
    assert set(result["contrast"]) == {"late - early"}
    assert result.set_index("method").loc["scrub", "pairs"] == 3
    assert result.set_index("method").loc["scrub", "difference"] == pytest.approx(-0.1 / 3)


def test_paired_differences_without_any_contrast_are_an_empty_table() -> None:
    assert list(paired_differences(SEEDS, ["gap"], []).columns)[5:9] == ["difference", "low", "high", "pairs"]
