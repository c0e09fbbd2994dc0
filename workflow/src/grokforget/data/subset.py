"""A fixed part of a set of examples."""

from __future__ import annotations

import torch

from grokforget.data.loader import Examples


def subset(examples: Examples, n: int | None, seed: int) -> Examples:
    """``n`` of the examples, drawn evenly without replacement by ``seed`` alone, in their own order; all of them where there
    are no more, or where n is None. Drawn on the CPU, so that a GPU run looks at the same."""
    if n is None or len(examples) <= n:
        return examples
    generator = torch.Generator().manual_seed(seed)
    return examples[torch.randperm(len(examples), generator=generator)[:n].sort().values]
