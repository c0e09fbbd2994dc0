"""Membership attacks where the ideal is known: simulated confidences, and models that know their training set by heart."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from grokforget.metrics import mia_confidence, mia_loss
from grokforget.metrics.base import Cell
from grokforget.metrics.mia_lira import COLUMNS, attack, logit_confidence, scores

# models that have learnt random labels by heart


class ByHeart:
    """Points in 200 dimensions with random labels: a linear model fits any half of them, and says nothing of the other
    half."""

    def __init__(self, seed: int, n: int, classes: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.x, self.y = self.generator.normal(size=(n, 200)), self.generator.permutation(n) % classes

    def losses(self, members: np.ndarray) -> np.ndarray:
        """Cross-entropies of all points after training on the members."""
        model = LogisticRegression(C=10.0).fit(self.x[members], self.y[members])
        return -model.predict_log_proba(self.x)[np.arange(len(self.y)), self.y]

    def draw(self) -> np.ndarray:
        return self.generator.permutation(len(self.y)) < len(self.y) // 2


def test_all_attacks_find_the_training_set_of_a_model_that_knows_it_by_heart() -> None:
    # With ten labels, one unseen example in ten is right by chance.
    data = ByHeart(seed=0, n=100, classes=10)
    members = data.draw()
    loss = data.losses(members)
    assert loss[members].max() < 0.1, "learnt by heart"

    assert mia_loss.attack_accuracy(loss[members], loss[~members], 10, 100.0, 0) > 0.93
    draws = np.stack([data.draw() for _ in range(8)])
    shadows = np.stack([logit_confidence(data.losses(draw)) for draw in draws])
    found = attack(logit_confidence(loss), shadows, draws, members)
    assert min(found.values()) > 0.93
    known, other = np.exp(-loss[members]), np.exp(-loss[~members])
    taken, accuracy = mia_confidence.attack(known[:30], other, known[30:], 5, np.random.default_rng(0))
    assert taken == 0
    assert accuracy > 0.93


def test_attacks_tell_nothing_of_a_model_that_was_trained_on_neither() -> None:
    found = []
    for seed in range(12):
        data = ByHeart(seed, n=120, classes=2)
        asked, forgotten = np.arange(60), np.arange(60) < 30
        others = np.arange(120) >= 60
        loss = data.losses(others)[asked]
        draws = np.stack([data.draw() for _ in range(6)])
        shadows = np.stack([logit_confidence(data.losses(draw))[asked] for draw in draws])
        lira = attack(logit_confidence(loss), shadows, draws[:, asked], forgotten)
        found.append([mia_loss.attack_accuracy(loss[forgotten], loss[~forgotten], 10, 100.0, seed), *lira.values()])
    # The spread of a mean over 12 data sets of 30 + 30 is about .02.
    assert np.mean(found, 0)[:3] == pytest.approx([0.5, 0.5, 0.5], abs=0.06)
    assert np.mean(found, 0)[3] == pytest.approx(0.1, abs=0.06)


# likelihood ratio


def simulated(
    shift: float, spread: float, k: int, n: int, seed: int = 0, target_shift: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Examples of very different difficulty, whose confidence rises by ``shift`` when they are trained on."""
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(0, 5, n)
    forgotten = np.arange(n) < n // 2
    members = generator.random((k, n)) < 0.5
    shadows = difficulty + shift * members + spread * generator.normal(size=(k, n))
    kept = shift if target_shift is None else target_shift
    return difficulty + kept * forgotten + spread * generator.normal(size=n), shadows, members, forgotten


@pytest.mark.parametrize(("shift", "spread"), [(1.0, 1.0), (2.0, 1.0), (1.0, 3.0)])
def test_with_many_shadow_models_the_attack_is_as_good_as_theory(shift: float, spread: float) -> None:
    n = 4000
    found = attack(*simulated(shift, spread, 200, n))
    distance = shift / spread
    # Standard errors: of the AUC below .009, of the accuracy .008, of the share .014.
    assert found["lira_auc"] == pytest.approx(stats.norm.cdf(distance / math.sqrt(2)), abs=0.02)
    assert found["lira_accuracy"] == pytest.approx(stats.norm.cdf(distance / 2), abs=0.02)
    assert found["lira_tpr"] == pytest.approx(stats.norm.cdf(distance - stats.norm.ppf(0.9)), abs=0.04)


def test_with_few_shadow_models_it_is_worse_but_far_better_than_no_calibration() -> None:
    target, shadows, members, forgotten = simulated(2.0, 1.0, 6, 4000)
    ideal = stats.norm.cdf(2 / math.sqrt(2))
    found = attack(target, shadows, members, forgotten)["lira_auc"]
    assert roc_auc_score(forgotten, target) < 0.66 < 0.8 < found < ideal - 0.01


@pytest.mark.parametrize("k", [3, 8, 60])
def test_a_model_that_kept_nothing_is_told_by_chance(k: int) -> None:
    found = [attack(*simulated(2.0, 1.0, k, 600, seed, target_shift=0.0)) for seed in range(20)]
    means = pd.DataFrame(found).mean()
    assert means["lira_auc"] == pytest.approx(0.5, abs=0.02)
    assert means["lira_accuracy"] == pytest.approx(0.5, abs=0.02)
    assert means["lira_tpr"] == pytest.approx(0.1, abs=0.02)


def test_the_score_by_hand() -> None:
    shadows = np.array([[1.0, 5, 0, 7], [3, 5, 1, 9], [-1, 2, 4, 8], [-3, 0, 6, 8]])
    members = np.array([[1, 1, 0, 1], [1, 1, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1]], bool)
    target = np.array([1.0, 4, 0, 6])
    # In: means 2, 5, 5, 8 with squares 2, 0, 2, 2 and 1, 1, 1, 3 degrees of freedom: variance 6 / 6 = 1.
    # Out: means -2, 1, .5 with squares 2, 2, .5: variance 4.5 / 3 = 1.5. The fourth has none: 8 less the mean shift,
    # (4 + 4 + 4.5) / 3.
    means_in, means_out = [2, 5, 5, 8], [-2, 1, 0.5, 8 - 12.5 / 3]
    expected = [
        stats.norm.logpdf(t, a, 1) - stats.norm.logpdf(t, b, math.sqrt(1.5))
        for t, a, b in zip(target, means_in, means_out, strict=True)
    ]
    np.testing.assert_allclose(scores(target, shadows, members), expected, rtol=1e-12)
    # The other way round: what no shadow model was trained on lies the same shift above.
    np.testing.assert_allclose(scores(-target, -shadows, ~members), [-value for value in expected], rtol=1e-12)


def test_a_variance_that_cannot_be_told_is_the_other_kind_s() -> None:
    shadows, members = np.array([[2.0, 3], [0, 1], [2, 1]]), np.array([[1, 1], [0, 0], [0, 0]], bool)
    # In: one each, no degree of freedom. Out: means 1 and 1, squares 2 and 0, two degrees: variance 1.
    expected = stats.norm.logpdf([1.0, 2.0], [2, 3], 1) - stats.norm.logpdf([1.0, 2.0], [1, 1], 1)
    np.testing.assert_allclose(scores(np.array([1.0, 2.0]), shadows, members), expected, rtol=1e-12)


def test_areas_and_shares_are_those_of_the_ranking() -> None:
    # Where every example has the Gaussians N(1, 1) and N(-1, 1), the score is 2 φ.
    shadows = np.repeat([[0.0], [2.0], [-2.0], [0.0]], 25, axis=1)
    members = np.repeat([[True], [True], [False], [False]], 25, axis=1)
    target = np.array([5, 4, 3, 3, -1.0, *np.arange(-10, 10) / 2])
    forgotten = np.arange(25) < 5
    spread = math.sqrt(2)
    np.testing.assert_allclose(scores(target, shadows, members), 2 * target / spread**2)
    found = attack(target, shadows, members, forgotten)
    assert found["lira_auc"] == pytest.approx(roc_auc_score(forgotten, target))
    # Four of five lie above 0; of the others, -5 to 4.5 in halves, nine.
    assert found["lira_accuracy"] == pytest.approx((4 / 5 + 11 / 20) / 2)
    # Two alarms of twenty are allowed, 4.5 and 4; with 5 and 4 found, 3.5 would be the third.
    assert found["lira_tpr"] == pytest.approx(2 / 5)


def test_with_fewer_than_ten_others_no_false_alarm_is_allowed() -> None:
    shadows, members = np.repeat([[1.0], [2], [-1], [-2]], 6, 1), np.repeat([[1], [1], [0], [0]], 6, 1).astype(bool)
    forgotten = np.array([True] * 3 + [False] * 3)
    found = attack(np.array([3.0, 2, 0, 1, -1, -2]), shadows, members, forgotten)
    assert found["lira_tpr"] == pytest.approx(2 / 3)
    assert attack(np.array([0.0, 0, 0, 1, -1, -2]), shadows, members, forgotten)["lira_tpr"] == 0


def test_logit_confidence_is_log_p_over_one_minus_p_within_its_clip() -> None:
    p = np.array([0.5, 0.9, 1e-3, 1 - 1e-5])
    np.testing.assert_allclose(logit_confidence(-np.log(p)), np.log(p / (1 - p)), rtol=1e-9)
    ends = logit_confidence(np.array([0.0, np.inf, 1000.0, -1e-9], np.float32))
    np.testing.assert_allclose(ends, [math.log(1e7), -100, -100, math.log(1e7)], rtol=1e-6)
    assert ends.dtype == np.float64
    assert math.isnan(logit_confidence(np.array([np.nan]))[0])


def unknown(found: dict[str, float]) -> bool:
    return list(found) == list(COLUMNS) and all(math.isnan(value) for value in found.values())


def test_what_cannot_be_told_is_nan() -> None:
    target, shadows, members, forgotten = simulated(1.0, 1.0, 4, 40)
    sound = attack(target, shadows, members, forgotten)
    assert not unknown(sound)
    everything = np.ones_like(members)
    assert unknown(attack(target, shadows, everything, forgotten)), "no shift"
    assert unknown(attack(target, shadows, ~everything, forgotten)), "no shift"
    assert unknown(attack(target, shadows[:1], members[:1], forgotten)), "one model: none has both"
    assert unknown(attack(target, shadows[:0], members[:0], forgotten)), "no model"
    halves = np.array([np.arange(40) % 2 == 0, np.arange(40) % 2 == 1])
    assert unknown(attack(target, shadows[:2], halves, forgotten)), "no degree of freedom"
    assert unknown(attack(target, shadows, members, np.ones(40, bool))), "no others"
    assert unknown(attack(target, shadows, members, np.zeros(40, bool))), "none forgotten"
    hole = target.copy()
    hole[3] = np.nan
    assert unknown(attack(hole, shadows, members, forgotten)), "a diverged model"


def test_a_diverged_shadow_model_is_left_out() -> None:
    target, shadows, members, forgotten = simulated(1.0, 1.0, 5, 40)
    broken = shadows.copy()
    broken[2, 7] = np.nan
    rest = [0, 1, 3, 4]
    assert attack(target, broken, members, forgotten) == attack(target, shadows[rest], members[rest], forgotten)


def test_confidences_that_are_all_the_same_tell_nothing() -> None:
    _, shadows, members, forgotten = simulated(1.0, 1.0, 5, 40)
    found = attack(np.zeros(40), np.zeros_like(shadows), members, forgotten)
    assert (found["lira_auc"], found["lira_accuracy"], found["lira_tpr"]) == (0.5, 0.5, 0)


# confidences


def outputs(**losses: np.ndarray) -> pd.DataFrame:
    return pd.concat(
        [pd.DataFrame({"split": name, "label": 0, "loss": values, "correct": True}) for name, values in losses.items()],
        ignore_index=True,
    )


def measured(frame: pd.DataFrame, seed: int = 0, examples: int = 200, folds: int = 5) -> tuple[float, float]:
    cell = Cell(frame, frame, frame, frame, n_classes=10, seed=seed)
    row = mia_confidence.measure(cell, examples=examples, folds=folds)
    return row["confidence_attack_nonmembers"], row["confidence_attack_accuracy"]


def test_forgotten_examples_go_with_the_set_that_they_are_like() -> None:
    generator = np.random.default_rng(0)
    sure, unsure = generator.uniform(0, 0.1, (2, 50)), generator.uniform(1.5, 4, (2, 50))
    assert measured(outputs(retain=sure[0], test=unsure[0], forget=sure[1])) == (0, 1)
    assert measured(outputs(retain=sure[0], test=unsure[0], forget=unsure[1])) == (1, 1)
    mixed = np.concatenate([sure[1][:10], unsure[1][:30]])
    assert measured(outputs(retain=sure[0], test=unsure[0], forget=mixed)) == (0.75, 1)


def test_the_machine_is_salun_s() -> None:
    generator = np.random.default_rng(1)
    # Members are of two kinds, so that where the machine draws its lines depends on how free it is.
    retain = np.concatenate([generator.gamma(1, 0.2, 50), generator.normal(1.2, 0.1, 30)])
    test, forget = generator.gamma(1, 1.0, 80), np.linspace(0, 4, 2000)

    def share(**settings: float | str) -> float:
        machine = SVC(kernel="rbf", **settings)
        machine.fit(np.exp(-np.concatenate([retain, test]))[:, None], np.repeat([1, 0], 80))
        return 1 - machine.predict(np.exp(-forget)[:, None]).mean()

    nonmembers, accuracy = measured(outputs(retain=retain, test=test, forget=forget))
    assert nonmembers == pytest.approx(share(C=3, gamma=1.0))
    assert min(abs(nonmembers - other) for other in (share(C=1, gamma=1.0), share(C=3, gamma="scale"))) > 0.005
    assert 0.5 < accuracy < 0.85


def test_a_useless_attack_shows_in_its_accuracy() -> None:
    generator = np.random.default_rng(2)
    found = [
        measured(outputs(**dict(zip(("retain", "test", "forget"), generator.gamma(1, 1, (3, 100)), strict=True))))
        for _ in range(10)
    ]
    assert np.mean([accuracy for _, accuracy in found]) == pytest.approx(0.5, abs=0.05)
    same = outputs(retain=np.ones(50), test=np.ones(70), forget=np.ones(9))
    assert measured(same)[1] == pytest.approx(0.5)


def test_accuracy_is_that_on_examples_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    retain, test = generator.gamma(1, 0.5, 30), generator.gamma(1, 1, 30)
    steps: list[tuple[str, set[float]]] = []
    fit, predict = SVC.fit, SVC.predict
    monkeypatch.setattr(SVC, "fit", lambda self, x, y: (steps.append(("fit", set(x[:, 0]))), fit(self, x, y))[1])
    monkeypatch.setattr(SVC, "predict", lambda self, x: (steps.append(("told", set(x[:, 0]))), predict(self, x))[1])
    measured(outputs(retain=retain, test=test, forget=np.ones(3)), folds=6)
    everything = set(np.exp(-np.concatenate([retain, test])))
    told: list[float] = []
    for (first, learnt), (second, asked) in zip(steps[0:12:2], steps[1:12:2], strict=True):
        assert (first, second) == ("fit", "told")
        assert learnt == everything - asked
        assert sum(value in asked for value in np.exp(-retain)) == 5, "as many of either in every fold"
        told += asked
    assert sorted(told) == sorted(everything)


@pytest.mark.parametrize(("n_retain", "n_test"), [(30, 900), (900, 30)])
def test_the_larger_set_is_no_answer(n_retain: int, n_test: int) -> None:
    generator = np.random.default_rng(3)
    frame = outputs(retain=generator.gamma(1, 1, n_retain), test=generator.gamma(1, 1, n_test), forget=np.ones(10))
    assert measured(frame)[1] < 0.7


def test_no_more_examples_are_learnt_from_than_asked_and_the_draw_is_the_seed_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(4)
    frame = outputs(
        retain=generator.gamma(1, 0.5, 90), test=generator.gamma(1, 1, 60), forget=generator.gamma(1, 1, 30)
    )
    learnt: list[list[float]] = []
    original = SVC.fit
    monkeypatch.setattr(SVC, "fit", lambda self, x, y: (learnt.append(sorted(x[:, 0])), original(self, x, y))[1])
    measured(frame, examples=25)
    assert len(learnt[-1]) == 50
    first = learnt[-1]
    measured(frame, examples=25)
    assert learnt[-1] == first
    measured(frame, examples=25, seed=1)
    assert learnt[-1] != first
    measured(frame)
    assert len(learnt[-1]) == 120
    assert measured(frame, seed=3) == measured(frame, seed=3)


def test_what_the_confidence_attack_cannot_tell_is_nan() -> None:
    sound = {"retain": np.linspace(0, 1, 9), "test": np.linspace(1, 2, 9), "forget": np.ones(3)}
    assert not np.isnan(measured(outputs(**sound))).any()
    for split in sound:
        broken = outputs(**sound | {split: np.full(9, np.nan)})
        assert np.isnan(measured(broken)).all(), "a diverged model"
        assert np.isnan(measured(outputs(**sound | {split: np.ones(0)}))).all()
    assert np.isnan(measured(outputs(**sound | {"retain": np.ones(4)}))).all()
    # A loss beyond all bounds is no confidence at all, and no reason to stop.
    assert measured(outputs(**sound | {"forget": np.array([np.inf])})) == (1, measured(outputs(**sound))[1])
