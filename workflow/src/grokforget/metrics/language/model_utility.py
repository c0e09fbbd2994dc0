"""Model utility: what is left of everything that was not to be forgotten (Maini et al. 2024, arXiv 2401.06121, section 2.2.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from grokforget.metrics.base import Cell
from grokforget.metrics.language.answer_probability import mean_probability
from grokforget.metrics.language.answers import mean as mean_of
from grokforget.metrics.language.truth_ratio import preference, ratios


def harmonic_mean(values: Sequence[float]) -> float:
    """Of numbers of at least 0: 0 where one of them is; NaN where one is not known."""
    if any(map(math.isnan, values)):
        return math.nan
    return len(values) / sum(1 / value for value in values) if all(values) else 0.0


def measure(cell: Cell, *, splits: Sequence[str], mean: str) -> dict[str, float]:
    """``model_utility``, in [0, 1]: harmonic mean of probability, ROUGE-L recall and truth ratio (``preference``) on each of the
    ``splits``; published: the retain set, real authors and facts of the world, nine in all. Of the last two the probability
    is that among the options. NaN where one of them is not known, as of a split that is not there."""
    outputs = cell.outputs
    values = [
        value
        for split in splits
        for value in (
            mean_probability(outputs, split),
            mean_of(outputs.column(split, "rouge_l")),
            preference(ratios(outputs, split, mean)),
        )
    ]
    return {"model_utility": harmonic_mean(values)}
