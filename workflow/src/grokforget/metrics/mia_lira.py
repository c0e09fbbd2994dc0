"""Membership inference by likelihood ratio with few shadow models (LiRA, online: Carlini et al. 2022, arXiv 2112.03570; on
unlearned models, U-LiRA: Hayes et al. 2024, arXiv 2403.01218).

A shadow model is one that another training set was drawn for. For every example, the confidences of the shadow models that
had it in their training set and of those that had it not give two Gaussians; the score of an example is the logarithm of
the ratio of their densities at the attacked model's confidence. With few shadow models a variance of each example's own
cannot be told, so that one is taken over all examples, as the first paper advises below 64 of them.
"""

from __future__ import annotations

import math

import numpy as np

CLIP = 100.0
"""Confidences are clipped to ± this: a mean and a spread should not hang on one example."""
FALSE_POSITIVES = 0.1
"""Largest share of unseen examples taken for forgotten ones at which ``lira_tpr`` is read off."""
SMALLEST_SPREAD = 1e-6
"""Of a Gaussian: shadow models that agree to the last digit still leave a density."""
COLUMNS = ("lira_auc", "lira_accuracy", "lira_tpr")


def attack(target: np.ndarray, shadows: np.ndarray, members: np.ndarray, forgotten: np.ndarray) -> dict[str, float]:
    """How well forgotten examples are told from unseen ones by a model's confidences, given those of shadow models.

    Confidences are φ = log(p / (1 - p)), p being the probability of the right answer, float64: where a model is sure, p
    itself has no digits left. ``target`` (n,): φ of the attacked model; ``shadows`` (k, n): φ of the shadow models;
    ``members`` (k, n), bool: whether the shadow model was trained on the example; ``forgotten`` (n,), bool: a forgotten
    example (which the original model was trained on), or else one that no training of the attacked model saw, of the same
    classes.

    ``lira_auc``: area under the ROC curve of the score; ``lira_accuracy``: with the threshold at 0, mean of the shares of
    either group that are told rightly; ``lira_tpr``: largest share of forgotten examples found while at most
    ``FALSE_POSITIVES`` of the others are taken for such: with fewer than ten others, while none is. The ideal is the
    retrained model's: .5, .5 and .1. All are NaN where a group is empty, a confidence of the target is not finite, or the
    shadow models leave a Gaussian unknown (``scores``).
    """
    score = scores(target, shadows, members)
    found, others = score[forgotten], score[~forgotten]
    if not len(found) or not len(others) or np.isnan(score).any():
        return dict.fromkeys(COLUMNS, math.nan)
    found, others = np.sort(found), np.sort(others)
    # Others below each found one, and at most as high: ties count half.
    below, up_to = (np.searchsorted(others, found, side) for side in ("left", "right"))
    auc = (below + up_to).mean() / (2 * len(others))
    accuracy = (np.mean(found > 0) + np.mean(others <= 0)) / 2
    # The highest of the others that must not be taken for a forgotten one: what lies above it is found.
    highest = others[-1 - math.floor(FALSE_POSITIVES * len(others))]
    tpr = np.mean(found > highest)
    return dict(zip(COLUMNS, map(float, (auc, accuracy, tpr)), strict=True))


def scores(target: np.ndarray, shadows: np.ndarray, members: np.ndarray) -> np.ndarray:
    """log p(φ | trained on) - log p(φ | not trained on) of every example, (n,).

    Means are the example's own; an example that all shadow models were trained on, or none, gets the missing one by the
    mean shift of the examples that have both. Spreads are those within examples, pooled over all examples (Σ squared
    deviations / degrees of freedom), one for either kind; where no example has two shadow models of one kind, the other
    kind's. All NaN where no shift or no spread can be told, or a confidence of the target is not finite. A shadow model
    with one that is not finite is left out.
    """
    if not np.isfinite(target).all():
        return np.full(len(target), math.nan)
    sound = np.isfinite(shadows).all(1)
    target, shadows = target.clip(-CLIP, CLIP), shadows[sound].clip(-CLIP, CLIP)
    members = members[sound].astype(bool)
    means, variances = zip(*(_gaussian(shadows, kind) for kind in (members, ~members)), strict=True)
    means_in, means_out = means
    both = ~np.isnan(means_in) & ~np.isnan(means_out)
    if not both.any() or np.isnan(variances).all():
        return np.full(len(target), math.nan)
    shift = (means_in - means_out)[both].mean()
    means_in, means_out = (
        np.where(np.isnan(means_in), means_out + shift, means_in),
        np.where(np.isnan(means_out), means_in - shift, means_out),
    )
    spread_in, spread_out = (
        max(math.sqrt(own if not math.isnan(own) else other), SMALLEST_SPREAD)
        for own, other in (variances, variances[::-1])
    )
    log_in, log_out = (
        -(((target - mean) / spread) ** 2) / 2 - math.log(spread)
        for mean, spread in ((means_in, spread_in), (means_out, spread_out))
    )
    return np.asarray(log_in - log_out)


def _gaussian(shadows: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean of every example (n,) over the shadow models (k, n) of a kind, NaN where there is none; and the pooled
    variance within examples, NaN without a degree of freedom."""
    count = kind.sum(0)
    mean = np.where(count > 0, np.where(kind, shadows, 0).sum(0) / np.maximum(count, 1), math.nan)
    squares = (np.where(kind, shadows - np.where(count > 0, mean, 0), 0) ** 2).sum()
    freedom = np.maximum(count - 1, 0).sum()
    return mean, float(squares / freedom) if freedom else math.nan
