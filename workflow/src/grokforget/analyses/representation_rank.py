"""How many directions the representations of examples take up."""

from __future__ import annotations

import torch
from torch import Tensor

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.analyses.features import CONSTANT, by_layer
from grokforget.analyses.weights import effective_rank, singular_values

SETS = ("forget", "retain")


@nan_where_diverged
def representation_rank(probe: Probe, *, examples: int, draws: int) -> list[Value]:
    """Effective rank of the representations of forget and of retain examples at every layer, in float64 (layers and features as
    of CKA: of a text the mean over its answer; ``features.py``).

    ``representation_rank``, part ``<set>/<layer>``: exp of the entropy of the singular values' shares (Roy & Vetterli 2007, as
    of weights) of the matrix with a row an example, each column centred; between 1 and one less than its rows, 0 where all rows
    are alike. It grows with the number of rows, so both sets have as many: those of the smaller one, ``examples`` at most
    (``representation_rank_rows``). Of the larger one it is the mean over so many ``draws`` without replacement, and
    ``representation_rank_sd`` their standard deviation (n - 1; not for one draw): so the retain set is the control of the
    forget set.
    """
    rows = min(examples, *(len(probe.examples[split]) for split in SETS))
    pools = {split: as_double(probe.some(split, draws * rows)) for split in SETS}
    drawn = {split: _draws(len(pool), rows, draws, probe.generator("rank", split)) for split, pool in pools.items()}
    values = [Value("representation_rank_rows", "", float(rows))]
    for layer, features in by_layer(probe.double(), {number: pools[split] for number, split in enumerate(SETS)}):
        for number, split in enumerate(SETS):
            chosen = [features[number][index.to(features[number].device)] for index in drawn[split]]
            ranks = torch.tensor([rank_of(part) for part in chosen], dtype=torch.float64)
            values.append(Value("representation_rank", f"{split}/{layer}", ranks.mean().item()))
            if len(ranks) > 1:
                values.append(Value("representation_rank_sd", f"{split}/{layer}", ranks.std().item()))
    return values


def _draws(size: int, rows: int, draws: int, generator: torch.Generator) -> list[Tensor]:
    """Which rows; all of them once where there are no more."""
    if size == rows:
        return [torch.arange(size)]
    return [torch.randperm(size, generator=generator)[:rows] for _ in range(draws)]


def rank_of(features: Tensor) -> float:
    """Effective rank of features (n, D), centred."""
    centred = features - features.mean(0)
    if centred.square().sum() <= CONSTANT * features.square().sum():
        return 0.0
    if len(centred) < centred.shape[1]:
        # The singular values' squares are those of the smaller matrix.
        return effective_rank(singular_values(centred @ centred.T).sqrt())
    return effective_rank(singular_values(centred))
