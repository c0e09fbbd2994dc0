"""What a language model says of every pair of a set, in numbers, as the metrics of answers read it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from grokforget.data.language.beside import Beside
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.metrics.language.answer_probability import among_options, probability
from grokforget.metrics.language.answers import without_end
from grokforget.metrics.language.exact_memorisation import exact_memorisation
from grokforget.metrics.language.extraction_strength import extraction_strength
from grokforget.metrics.language.min_k import min_k
from grokforget.metrics.language.min_k_plus_plus import normalised
from grokforget.metrics.language.rouge_l import rouge_l_recall
from grokforget.metrics.language.zlib_ratio import compressed_bytes
from grokforget.runtime.seeds import numpy_generator
from grokforget.training.answer_logits import rows_of
from grokforget.training.answering import greedy_answers
from grokforget.training.evaluate import reduced
from grokforget.training.language import Digested, Language, answer_lengths, judged_tokens


class LanguageOutputs:
    """Columns of a table of outputs: those of ``per_example`` and those that the metrics of answers ask for.

    ``k`` of ``min_k``; of how many pairs the ``wrong_answers`` are asked, and whether ``paraphrased_questions`` are, where there
    are any; how many pairs are ``answered``, and whether words are compared by their stems (``rouge_l``).
    """

    def __init__(
        self,
        *,
        k: float = 0.2,
        wrong_answers: int = 0,
        paraphrased_questions: bool = False,
        answered: int = 0,
        stemmer: bool = False,
    ) -> None:
        self.k, self.wrong_answers, self.paraphrased_questions = k, wrong_answers, paraphrased_questions
        self.answered, self.stemmer = answered, stemmer

    def columns(
        self,
        model: nn.Module,
        pairs: Examples,
        beside: Beside,
        *,
        decode: Callable[[Sequence[int]], str],
        end: int,
        longest: int,
        seed: int,
    ) -> dict[str, np.ndarray]:
        """Arrays (N,) in the order of the pairs, float64 but for one:

        ``confidence``, ``loss``, ``correct`` (extraction strength) as of ``per_example``; ``tokens`` of the answer, its end among
        them; ``exact_memorisation``; ``min_k`` and ``min_k_plus_plus``; ``compressed_bytes`` of the answer as text. Where it is
        asked for ``paraphrased_question_loss`` and ``_strength``; ``paraphrased_answer_loss``, of the answer itself where the
        set has no paraphrases; ``wrong_answer_loss`` and ``wrong_answer_probability``, means over a pair's wrong answers, and
        ``choice_probability``, that of the right answer among all; ``rouge_l`` and, as text, ``said``: what the model answers up
        to the token ``end``, of prompt and answer together at most ``longest`` tokens. NaN, or None, is what is not known, and
        of all but ``wrong_answers`` and ``answered`` pairs, drawn by ``seed``, what they were not asked.

        Passes hold at most ``evaluate.MOST_TEXTS`` texts, and no more logits than theirs are ever there.
        """
        answers = [row[row != IGNORED][:-1].tolist() for row in pairs.y.cpu()]
        found = statistics(model, pairs, self.k)
        return {
            **found,
            "compressed_bytes": np.array([float(compressed_bytes(decode(answer))) for answer in answers]),
            **(self.of_paraphrased_questions(model, beside) if self.paraphrased_questions else {}),
            **(self.of_wrong_answers(model, beside, found["loss"], seed) if self.wrong_answers else {}),
            **(self.of_answers(model, pairs, answers, decode, end, longest, seed) if self.answered else {}),
        }

    def of_paraphrased_questions(self, model: nn.Module, beside: Beside) -> dict[str, np.ndarray]:
        """Loss and extraction strength of the right answers to them."""
        if beside.paraphrased_questions is None:
            return {}
        found = statistics(model, beside.paraphrased_questions, self.k)
        return {f"paraphrased_question_{new}": found[old] for new, old in (("loss", "loss"), ("strength", "correct"))}

    def of_wrong_answers(self, model: nn.Module, beside: Beside, right: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """What truth ratio and the choice among options are made of, from the right answers' losses (N,)."""
        if beside.wrong_answers is None:
            return {}
        asked = drawn(len(right), self.wrong_answers, seed)
        unasked = np.setdiff1d(np.arange(len(right)), asked)
        wrong = losses_of(model, beside.wrong_answers, asked, len(right))
        there = ~np.isnan(wrong)
        count = np.where(there.any(1), there.sum(1), math.nan)
        paraphrased = right.copy()
        if beside.paraphrased_answers is not None:
            paraphrased = losses_of(model, beside.paraphrased_answers, asked, len(right))[:, 0]
        paraphrased[unasked] = math.nan
        return {
            "paraphrased_answer_loss": paraphrased,
            "wrong_answer_loss": np.where(there, wrong, 0).sum(1) / count,
            "wrong_answer_probability": np.where(there, probability(wrong), 0).sum(1) / count,
            "choice_probability": among_options(right, wrong),
        }

    def of_answers(
        self,
        model: nn.Module,
        pairs: Examples,
        right: Sequence[Sequence[int]],
        decode: Callable[[Sequence[int]], str],
        end: int,
        longest: int,
        seed: int,
    ) -> dict[str, np.ndarray]:
        """What the model says, and its ROUGE-L recall."""
        asked = drawn(len(pairs), self.answered, seed)
        rouge, said = np.full(len(pairs), math.nan), np.full(len(pairs), None, dtype=object)
        if len(asked):
            answers = greedy_answers(model, pairs[torch.from_numpy(asked).to(pairs.x.device)], end, longest)
            for row, answer in zip(asked.tolist(), answers, strict=True):
                said[row] = decode(answer).strip()
                rouge[row] = rouge_l_recall(decode(right[row]), said[row], stemmer=self.stemmer)
        return {"rouge_l": rouge, "said": said}


def drawn(pairs: int, count: int, seed: int) -> np.ndarray:
    """The numbers of so many of a set's pairs, ascending; the more of them include the fewer."""
    return np.sort(numpy_generator(seed, "answered").permutation(pairs)[:count])


def losses_of(model: nn.Module, texts: Examples, asked: np.ndarray, pairs: int) -> np.ndarray:
    """Mean -log p a token of the texts of each of the pairs ``asked``, which stand one pair's after the other's: (pairs, k), NaN
    of what is not asked, has no targets, or has an output that is not finite."""
    losses = np.full((pairs, len(texts) // max(pairs, 1)), math.nan)
    if losses[asked].size:
        rows = torch.arange(len(texts), device=texts.x.device).reshape(losses.shape)[torch.from_numpy(asked)].flatten()
        some = texts[rows]
        digests = reduced(model, some, Language().digest)
        found = Digested().example_losses(digests, some.y).double().cpu().numpy()
        unknown = ~(some.y != IGNORED).any(1).cpu().numpy()
        losses[asked] = np.where(unknown, math.nan, found).reshape(len(asked), -1)
    return losses


def statistics(model: nn.Module, pairs: Examples, k: float) -> dict[str, np.ndarray]:
    """Of each pair, (N,) float64, from one pass: ``confidence``, ``loss``, ``correct``, ``tokens``, ``exact_memorisation``,
    ``min_k``, ``min_k_plus_plus``; NaN of a pair that is not asked, and of one with an output that is not finite."""
    if not len(pairs):
        return {name: np.zeros(0) for name in NAMES}
    table = reduced(model, pairs, partial(reduce, k=k)).cpu().numpy().T
    found = dict(zip(NAMES, table, strict=True))
    unknown = ~(pairs.y != IGNORED).any(1).cpu().numpy() | np.isnan(found["loss"])
    return {name: np.where(unknown, math.nan, values) for name, values in found.items()}


NAMES = ("confidence", "loss", "correct", "tokens", "exact_memorisation", "min_k", "min_k_plus_plus")


def reduce(outputs: Tensor, targets: Tensor, *, k: float) -> Tensor:
    """The numbers ``NAMES`` of each example of a batch, (N, 7) float64."""
    losses, right = judged_tokens(outputs, targets)
    asked = targets != IGNORED
    answer = without_end(asked)
    strength = extraction_strength(right, answer).double()
    digests = torch.stack([losses.sum(1), answer_lengths(targets).double(), strength], dim=1)
    expected = torch.zeros_like(losses)
    expected[answer] = normalised(rows_of(outputs, asked)[answer[asked]], targets[answer]).double()
    objective = Digested()
    return torch.stack(
        [
            objective.confidences(digests, targets),
            objective.example_losses(digests, targets),
            strength,
            digests[:, 1],
            exact_memorisation(right, answer).double(),
            min_k(-losses, answer, k),
            min_k(expected, answer, k),
        ],
        dim=1,
    )
