"""Share of an answer's tokens that are known (Tirumala et al. 2022, arXiv 2205.10770; open-unlearning)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.metrics.base import SPLITS, Cell

if TYPE_CHECKING:
    from torch import Tensor


def exact_memorisation(right: Tensor, answer: Tensor) -> Tensor:
    """Of each example, (N,) float32 in [0, 1]: the share of the answer's own tokens ``answer`` (N, T) bool that are ``right``
    (N, T) bool, the likeliest after all tokens before them as they should be. 0 for an answer without tokens."""
    return (right & answer).sum(1).float() / answer.sum(1).clamp(min=1)


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_exact_memorisation``: the mean over its examples."""
    return {f"{split}_exact_memorisation": cell.outputs.mean(split, "exact_memorisation") for split in SPLITS}
