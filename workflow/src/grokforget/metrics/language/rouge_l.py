"""ROUGE-L recall of what a model answers (Lin 2004, ROUGE: a package for automatic evaluation of summaries)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from grokforget.metrics.base import SPLITS, Cell
from grokforget.metrics.language.answers import mean


def rouge_l_recall(reference: str, said: str, *, stemmer: bool) -> float:
    """Length of the longest common subsequence of both texts' words over the number of the reference's words, in [0, 1]; 0
    where either is without words.

    Words are runs of letters a to z and digits, in lower case, as the library ``rouge-score`` has them: of it and nltk, which it
    brings, nothing is needed but the stemmer. With ``stemmer`` words are reduced by Porter's algorithm, as in TOFU's and
    open-unlearning's code; raises ImportError where ``rouge-score`` is not there.
    """
    expected, found = words(reference, stemmer=stemmer), words(said, stemmer=stemmer)
    return longest_common(expected, found) / len(expected) if expected else 0.0


def words(text: str, *, stemmer: bool) -> list[str]:
    """The words that are compared."""
    if not stemmer:
        return re.findall("[a-z0-9]+", text.lower())
    from rouge_score.tokenizers import DefaultTokenizer

    stems: list[str] = DefaultTokenizer(use_stemmer=True).tokenize(text)
    return stems


def longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    longest = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for place, other in enumerate(second, 1):
            before, longest[place] = (
                longest[place],
                before + 1 if word == other else max(longest[place], longest[place - 1]),
            )
    return longest[-1]


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_rouge_l``: mean recall over the pairs that the model was asked, in [0, 1]."""
    return {f"{split}_rouge_l": mean(cell.outputs.column(split, "rouge_l")) for split in SPLITS}
