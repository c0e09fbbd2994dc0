"""Membership attacks against the same numbers from scikit-learn and SciPy, as their papers' published code has them."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.model_selection import PredefinedSplit, StratifiedShuffleSplit, cross_val_predict, cross_val_score
from sklearn.svm import SVC

from benchmarks.timing import fastest
from grokforget.metrics import mia_confidence, mia_lira, mia_loss

FOLDS = 5


def run() -> str:
    """The least processor time of 9 calls, of one each in turn."""
    generator = np.random.default_rng(0)
    lines = []
    for n in (100, 1000):
        shadows, members = generator.normal(3, 2, (18, n)), generator.random((18, n)) < 0.5
        target, forgotten = generator.normal(3, 2, n), np.arange(n) < n // 2
        given = target, shadows + members, members, forgotten
        lines.append(compared(f"LiRA with its ROC curve, {n} examples", mia_lira.attack, plain_lira, *given))
    for n in (40, 200):
        members, others, targets = (np.exp(-generator.gamma(1, scale, n)) for scale in (0.2, 1, 0.5))
        what, parts = f"support vector machine with {FOLDS} folds, {2 * n} examples", (members, others, targets)
        lines.append(compared(what, confidence, plain_svc, *parts))
        lines.append(
            compared("  against one machine without folds, as SalUn's code has it", confidence, single_svc, *parts)
        )
        what, parts = f"logistic regression with 10 splits, {2 * n} examples", (-np.log(members), -np.log(others))
        lines.append(compared(what, loss, plain_loss, *parts))
    return "\n".join(lines)


def compared(what, ours, theirs, *given) -> str:  # type: ignore[no-untyped-def]
    """One line: both times, their ratio, and how far the numbers are apart, where they are the same ones."""
    mine, plain = (
        np.array([*found.values()] if isinstance(found, dict) else found) for found in (ours(*given), theirs(*given))
    )
    same = mine.shape == plain.shape
    note = f"at least 1.2; largest difference {np.abs(mine - plain).max():.0e}" if same else "six machines against one"
    took, plain_took = fastest([lambda: ours(*given), lambda: theirs(*given)], 9)
    return f"{what}: {1e3 * took:.2f} ms, plain {1e3 * plain_took:.2f} ms, ratio {plain_took / took:.2f} ({note})"


def plain_lira(
    target: np.ndarray, shadows: np.ndarray, members: np.ndarray, forgotten: np.ndarray
) -> tuple[float, float, float]:
    """Gaussians by masked means, their densities by SciPy, and the curve by scikit-learn."""
    inside, outside = (np.ma.masked_array(shadows, ~kind) for kind in (members, ~members))
    spreads = [
        np.sqrt(((part - part.mean(0)) ** 2).sum() / (part.count(0) - 1).clip(0).sum()) for part in (inside, outside)
    ]
    log_in, log_out = (
        stats.norm.logpdf(target, part.mean(0).data, spread)
        for part, spread in zip((inside, outside), spreads, strict=True)
    )
    score = log_in - log_out
    alarms, hits, _ = roc_curve(forgotten, score)
    accuracy = ((score[forgotten] > 0).mean() + (score[~forgotten] <= 0).mean()) / 2
    return roc_auc_score(forgotten, score), accuracy, hits[alarms <= 0.1].max()


def confidence(members: np.ndarray, others: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    return mia_confidence.attack(members, others, targets, FOLDS, np.random.default_rng(1))


def plain_svc(members: np.ndarray, others: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    x, labels = np.concatenate([members, others])[:, None], np.repeat([1, 0], [len(members), len(others)])
    generator = np.random.default_rng(1)
    fold = np.concatenate([generator.permutation(len(part)) % FOLDS for part in (members, others)])
    machine = SVC(C=3, gamma="auto")
    told = cross_val_predict(machine, x, labels, cv=PredefinedSplit(fold))
    return *single_svc(members, others, targets), np.mean(told == labels)


def single_svc(members: np.ndarray, others: np.ndarray, targets: np.ndarray) -> tuple[float]:
    x, labels = np.concatenate([members, others])[:, None], np.repeat([1, 0], [len(members), len(others)])
    return (np.mean(SVC(C=3, gamma="auto").fit(x, labels).predict(targets[:, None]) == 0),)


def loss(members: np.ndarray, others: np.ndarray) -> list[float]:
    return [mia_loss.attack_accuracy(members, others, 10, 100.0, 0)]


def plain_loss(members: np.ndarray, others: np.ndarray) -> list[float]:
    x, labels = np.concatenate([members, others])[:, None], np.repeat([1, 0], [len(members), len(others)])
    folds = StratifiedShuffleSplit(10, test_size=0.1, random_state=0)
    return [cross_val_score(LogisticRegression(), x, labels, cv=folds).mean()]
