"""How much of an answer can be extracted word by word (Carlini et al. 2021, arXiv 2012.07805; as a share of the answer:
Maini et al. 2024, arXiv 2401.06121, and open-unlearning)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.metrics.base import SPLITS, Cell

if TYPE_CHECKING:
    from torch import Tensor


def extraction_strength(right: Tensor, answer: Tensor) -> Tensor:
    """Of each example, (N,) float32 in [0, 1], from whether each token is the likeliest one after all tokens before it, as they
    should be: ``right`` (N, T) bool; ``answer`` (N, T) bool, which tokens are the answer's own (``without_end``).

    Of n tokens: 1 - min{k : greedy generation from the prompt and the first k tokens gives all others} / n. It gives a
    suffix exactly where every token of it is right, so that one forward pass is enough: with the last token that is not right
    at place m of 1, ..., n it is 1 - m / n, 1 where all are right, and 0 where the last one is not. (open-unlearning lets k end
    at n - 1, by which an answer of which nothing is extracted has 1 / n.) 0 for an answer without tokens.
    """
    place = answer.cumsum(1)
    n = place.amax(1)
    last_wrong = (place * (answer & ~right)).amax(1)
    return (n - last_wrong).float() / n.clamp(min=1)


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_extraction_strength``: the mean over its examples, which in language is ``{split}_accuracy`` too."""
    return {f"{split}_extraction_strength": cell.outputs.mean(split, "correct") for split in SPLITS}
