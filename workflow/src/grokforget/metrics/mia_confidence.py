"""Membership inference from the confidence in the true class, as SalUn does (Fan et al. 2024, arXiv 2310.12508)."""

from __future__ import annotations

import math

import numpy as np

from grokforget.metrics.base import Cell
from grokforget.metrics.support_vectors import decisions
from grokforget.runtime.seeds import numpy_generator

PENALTY = 3.0
"""C of SalUn's machine."""
ON_THE_BORDER = 1e-9
"""A decision no larger than this is round-off, and no member's: where all confidences are the same, all are told alike."""


def measure(cell: Cell, *, examples: int, folds: int) -> dict[str, float]:
    """``confidence_attack_nonmembers``: share of D_f that a support vector machine takes for examples never trained on,
    in [0, 1]; the ideal is the retrained model's. ``confidence_attack_accuracy``: its cross-validated accuracy on what it
    learns from; where that is near .5 the machine cannot tell members from others at all, and the first number says
    nothing.

    It learns members from D_r and non-members from the test set, as many of each: at most ``examples``, drawn by the
    cell's seed, the same for every method and checkpoint (SalUn takes the first of D_r and the whole test set). Both are
    NaN for a model with a loss that is not finite, and with fewer than ``folds`` of either or no D_f.
    """
    confidences = [np.exp(-cell.outputs.column(split, "loss")) for split in ("retain", "test", "forget")]
    generator = numpy_generator(cell.seed, "confidence-attack")
    n = min(len(confidences[0]), len(confidences[1]), examples)
    members, others = (part[np.sort(generator.permutation(len(part))[:n])] for part in confidences[:2])
    nonmembers, accuracy = attack(members, others, confidences[2], folds, generator)
    return {"confidence_attack_nonmembers": nonmembers, "confidence_attack_accuracy": accuracy}


def attack(
    members: np.ndarray, others: np.ndarray, targets: np.ndarray, folds: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Share of ``targets`` (n,) taken for non-members, and cross-validated accuracy, of SVC(C=3, rbf, γ=1) on confidences
    (n,) in [0, 1]. γ is one over the number of features, SalUn's ``auto``."""
    known = np.concatenate([members, others])
    is_member = np.arange(len(known)) < len(members)
    if min(len(members), len(others)) < folds or not len(targets) or np.isnan([known.sum(), targets.sum()]).any():
        return math.nan, math.nan
    fold = np.concatenate([generator.permutation(len(part)) % folds for part in (members, others)])
    held = fold == np.arange(folds)[:, None]
    # One machine a fold, and last the one that has learnt from all.
    learnt = np.concatenate([~held, np.ones((1, len(known)), bool)])
    taken = decisions(known, is_member, learnt, np.concatenate([known, targets]), PENALTY) > ON_THE_BORDER
    right = taken[:-1, : len(known)] == is_member
    return float(np.mean(~taken[-1, len(known) :])), float(right[held].mean())
