"""Membership attacks where the ideal is known: simulated confidences, and models that know their training set by heart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.svm import SVC

from grokforget.metrics import mia_confidence, mia_loss
from grokforget.metrics.base import Cell
from grokforget.metrics.mia_lira import COLUMNS, attack, scores
from grokforget.metrics.support_vectors import decisions

# models that have learnt random labels by heart


class ByHeart:
    """Points in 200 dimensions with random labels: a linear model fits any half of them, and says nothing of the other
    half."""

    def __init__(self, seed: int, n: int, classes: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.x, self.y = self.generator.normal(size=(n, 200)), self.generator.permutation(n) % classes

    def confidences(self, members: np.ndarray) -> np.ndarray:
        """log(p / (1 - p)) of all points after training on the members."""
        p = LogisticRegression(C=10.0).fit(self.x[members], self.y[members]).predict_proba(self.x)
        own = p[np.arange(len(self.y)), self.y]
        return np.log(own) - np.log(p.sum(1) - own)

    def draw(self) -> np.ndarray:
        return self.generator.permutation(len(self.y)) < len(self.y) // 2


def test_all_attacks_find_the_training_set_of_a_model_that_knows_it_by_heart() -> None:
    # With ten labels, one unseen example in ten is right by chance.
    data = ByHeart(seed=0, n=100, classes=10)
    members = data.draw()
    confidence = data.confidences(members)
    loss = np.logaddexp(0, -confidence)
    assert loss[members].max() < 0.1, "learnt by heart"

    assert mia_loss.attack_accuracy(loss[members], loss[~members], 10, 100.0, 0) > 0.93
    draws = np.stack([data.draw() for _ in range(8)])
    shadows = np.stack([data.confidences(draw) for draw in draws])
    found = attack(confidence, shadows, draws, members)
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
        confidence = data.confidences(others)[asked]
        loss = np.logaddexp(0, -confidence)
        draws = np.stack([data.draw() for _ in range(6)])
        shadows = np.stack([data.confidences(draw)[asked] for draw in draws])
        lira = attack(confidence, shadows, draws[:, asked], forgotten)
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


@pytest.mark.parametrize("n", [1, 7, 30, 70, 400])
@pytest.mark.parametrize("decimals", [0, 9])
def test_areas_and_shares_are_those_of_every_threshold_in_turn(n: int, decimals: int) -> None:
    """Also with ties within and between the groups, and with groups of any size."""
    target, shadows, members, forgotten = simulated(1.5, 1.0, 5, n + 20, seed=n)
    target, forgotten = target.round(decimals), np.arange(n + 20) < 20
    score = scores(target, shadows, members)
    found, others = score[forgotten], score[~forgotten]
    rates = [(np.mean(others >= threshold), np.mean(found >= threshold)) for threshold in np.unique(score)]
    got = attack(target, shadows, members, forgotten)
    assert got["lira_auc"] == pytest.approx(roc_auc_score(forgotten, score), abs=1e-12)
    assert got["lira_tpr"] == max((hits for alarms, hits in rates if alarms <= 0.1), default=0.0)


def test_far_confidences_count_as_a_hundred() -> None:
    target, shadows, members, forgotten = simulated(1.0, 1.0, 4, 40)
    far, clipped = target.copy(), target.copy()
    far[:3], clipped[:3] = [1e5, 101, -1e300], [100, 100, -100]
    np.testing.assert_array_equal(scores(far, shadows, members), scores(clipped, shadows, members))
    far_shadows, clipped_shadows = shadows.copy(), shadows.copy()
    far_shadows[1, 2], clipped_shadows[1, 2] = 1e9, 100
    assert attack(target, far_shadows, members, forgotten) == attack(target, clipped_shadows, members, forgotten)


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
    for value in (np.nan, np.inf, -np.inf):
        hole = target.copy()
        hole[3] = value
        assert unknown(attack(hole, shadows, members, forgotten)), "a diverged model"


def test_a_diverged_shadow_model_is_left_out() -> None:
    target, shadows, members, forgotten = simulated(1.0, 1.0, 5, 40)
    broken, rest = shadows.copy(), [0, 1, 3, 4]
    broken[2, 7:9] = [np.nan, np.inf]
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
    cell = Cell(frame, frame, frame, frame, chance=0.1, seed=seed)
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


KINDS = {
    "overlapping": lambda g, n: np.exp(-np.concatenate([g.gamma(1, 0.2, n), g.gamma(1, 1, n)])),
    "apart": lambda g, n: np.concatenate([g.uniform(0.9, 1, n), g.uniform(0, 0.2, n)]),
    "drawn alike": lambda g, n: g.random(2 * n),
    "nearly sure": lambda g, n: 1 - np.concatenate([g.gamma(1, 1e-6, n), g.gamma(1, 1e-4, n)]),
    "mostly sure": lambda g, n: np.where(g.random(2 * n) < 0.8, 1.0, g.random(2 * n)),
}


def several(kind: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, their labels, and what each of four machines learns from: three of some, the last of all."""
    generator = np.random.default_rng(n)
    x, labels = KINDS[kind](generator, n), np.arange(2 * n) < n
    learnt = generator.random((4, 2 * n)) < 0.7
    learnt[:, [0, -1]] = learnt[3] = True
    return x, labels, learnt


def solved(x: np.ndarray, labels: np.ndarray, penalty: float, asked: np.ndarray) -> np.ndarray:
    """The decision function of a support vector machine by its definition: the dual, by a general solver, and the offset
    that makes the hinge losses least, the middle of them where there are several."""
    y = np.where(labels, 1.0, -1.0)
    kernel = np.exp(-((x[:, None] - x) ** 2))
    q = kernel * np.outer(y, y)
    found = minimize(
        lambda a: a @ q @ a / 2 - a.sum(),
        np.full(len(x), 0.1),
        jac=lambda a: q @ a - 1,
        bounds=[(0, penalty)] * len(x),
        constraints={"type": "eq", "fun": lambda a: a @ y, "jac": lambda a: y},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    turns = y - kernel @ (y * found.x)
    losses = [np.maximum(0, y * (turns - turn)).sum() for turn in turns]
    best = turns[np.array(losses) < min(losses) + 1e-9]
    return np.exp(-((asked[:, None] - x) ** 2)) @ (y * found.x) + (best.min() + best.max()) / 2


@pytest.mark.parametrize("penalty", [3.0, 0.5])
@pytest.mark.parametrize(
    ("kind", "n"), [("overlapping", 6), ("overlapping", 40), ("apart", 6), ("drawn alike", 6), ("mostly sure", 40)]
)
def test_the_machines_are_those_of_their_definition(kind: str, n: int, penalty: float) -> None:
    (x, labels, learnt), asked = several(kind, n), np.linspace(0, 1, 101)
    for chosen, decision in zip(learnt, decisions(x, labels, learnt, asked, penalty), strict=True):
        np.testing.assert_allclose(decision, solved(x[chosen], labels[chosen], penalty, asked), atol=1e-6)


@pytest.mark.parametrize("n", [2, 6, 40, 200])
@pytest.mark.parametrize("kind", KINDS)
def test_the_machines_are_those_of_libsvm(kind: str, n: int) -> None:
    """As far as its kernel, which it rounds to float32, and its offset at a vector on the border allow."""
    (x, labels, learnt), asked = several(kind, n), np.linspace(0, 1, 101)
    for chosen, decision in zip(learnt, decisions(x, labels, learnt, asked, 3.0), strict=True):
        machine = SVC(C=3, gamma=1.0, tol=1e-9).fit(x[chosen, None], labels[chosen])
        np.testing.assert_allclose(decision, machine.decision_function(asked[:, None]), atol=5e-3)


def test_equations_that_are_singular_to_the_last_digit_have_a_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    (x, labels, learnt), asked = several("overlapping", 6), np.linspace(0, 1, 101)
    expected = decisions(x, labels, learnt, asked, 3.0)

    def singular(*_: np.ndarray) -> np.ndarray:
        raise np.linalg.LinAlgError

    monkeypatch.setattr(np.linalg, "solve", singular)
    np.testing.assert_allclose(decisions(x, labels, learnt, asked, 3.0), expected, atol=1e-5)


def test_accuracy_is_that_on_examples_held_out() -> None:
    generator = np.random.default_rng(5)
    members, others, targets = (np.exp(-generator.gamma(1, scale, 60)) for scale in (0.5, 1, 0.7))
    x, labels = np.concatenate([members, others]), np.repeat([1, 0], 60)
    # As many of either in every fold.
    drawn = np.random.default_rng(8)
    fold = np.concatenate([drawn.permutation(60) % 6, drawn.permutation(60) % 6])
    machine = SVC(C=3, gamma=1.0, tol=1e-9)
    told = cross_val_predict(machine, x[:, None], labels, cv=PredefinedSplit(fold))
    share = np.mean(machine.fit(x[:, None], labels).predict(targets[:, None]) == 0)
    got = mia_confidence.attack(members, others, targets, 6, np.random.default_rng(8))
    assert got == pytest.approx((share, np.mean(told == labels)), abs=1e-12)
    assert 0.5 < got[1] < np.mean(machine.predict(x[:, None]) == labels), "not on what it has learnt from"


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

    def recorded(x: np.ndarray, labels: np.ndarray, *others: Any) -> np.ndarray:
        learnt.append(sorted(x))
        return decisions(x, labels, *others)

    monkeypatch.setattr(mia_confidence, "decisions", recorded)
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
    # A very large loss is no confidence at all, and no reason to stop.
    assert measured(outputs(**sound | {"forget": np.array([1e30])})) == (1, measured(outputs(**sound))[1])
