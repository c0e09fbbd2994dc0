"""Questions and answers as tokens.

A pair is the prompt ``Question: QUESTION\\nAnswer:``, then `` ANSWER`` with the space in front, then the end-of-text token.
Prompt and answer are tokenised each by itself: the space belongs to the answer's first token, and where the prompt ends does
not depend on the answer. In front stands the token that begins a text where the tokenizer has one. Rows are padded on the
right; under causal attention no answer sees the padding.

A pair longer than ``max_length`` loses the end of its answer, and what is left of it ends with the end-of-text token as every
answer does, so that all measures take one answer as they take another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from grokforget.data.refusal import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IGNORED = -100
"""What stands in targets where there is nothing to predict."""


class Encoded(NamedTuple):
    """Texts as tokens: both (..., T) int64."""

    tokens: np.ndarray
    """What the model is given."""
    targets: np.ndarray
    """The token that the output at each position has to predict, shifted already: those of the answer and the end of the text,
    ``IGNORED`` within the prompt, at the last token and on padding."""

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """As they stand among the ``extras`` of an ``ExampleTable``."""
        return {f"{name}/{part}": array for part, array in self._asdict().items()}

    @classmethod
    def of(cls, extras: Mapping[str, np.ndarray], name: str) -> Encoded | None:
        """What ``arrays`` put there; None where there is nothing of that name."""
        return cls(*(extras[f"{name}/{part}"] for part in cls._fields)) if f"{name}/tokens" in extras else None


Sequences = list[tuple[list[int], list[int]]]
"""Prompt and answer of each pair, the answer with the token that ends it; both are empty where there is no pair."""


def prompt_of(question: str) -> str:
    """What stands in front of an answer and the space before it."""
    return f"Question: {question}\nAnswer:"


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with the tokens that end a text and pad one, and those that begin one (mostly none)."""

    tokenizer: Tokenizer
    eos: int
    pad: int
    begin: tuple[int, ...] = ()
    max_length: int | None = None
    """Of prompt, answer and end together, tokens; None: no limit."""

    @property
    def vocabulary(self) -> int:
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def ids(self, texts: Sequence[str], place: str | Path) -> list[list[int]]:
        """The tokens of texts, nothing added. DataError where a text has a token of its own that ends or pads texts."""
        encoded = [one.ids for one in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]
        for text, ids in zip(texts, encoded, strict=True):
            special = {self.eos, self.pad} & set(ids)
            if special:
                found = f"{self.tokenizer.id_to_token(min(special))} in {text!r}"
                raise DataError(place, "a text with a token that ends texts or pads them", found, "texts without it")
        return encoded

    def sequences(self, asked: Sequence[tuple[str, str] | None], place: str | Path) -> Sequences:
        """Question and answer of each pair as tokens, cut to ``max_length``. DataError where a prompt leaves no room for a
        token of the answer."""
        given = [pair for pair in asked if pair is not None]
        prompts = self.ids([prompt_of(question) for question, _ in given], place)
        answers = self.ids([f" {answer}" for _, answer in given], place)
        room = self.max_length
        for (question, _), prompt in zip(given, prompts, strict=True):
            least = len(self.begin) + len(prompt) + 2
            if room is not None and room < least:
                found = f"max_length {room}, and {least - 2} tokens before the answer to {question!r}"
                allowed = f"max_length {least} or more, so that a token of this answer and the end have room"
                raise DataError(place, "an answer that is empty after truncation", found, allowed)
        both = iter(zip(prompts, answers, strict=True))
        return [([], []) if pair is None else self.cut(*next(both)) for pair in asked]

    def cut(self, prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
        """With what begins and ends a text, and no more of the answer than there is room for."""
        prompt = [*self.begin, *prompt]
        room = len(answer) if self.max_length is None else self.max_length - len(prompt) - 1
        return prompt, [*answer[:room], self.eos]

    def encode(self, asked: Sequence[tuple[str, str] | None], place: str | Path) -> Encoded:
        """(N, T): T is the longest pair's length. Where there is no pair, all is padding."""
        return padded(self.sequences(asked, place), self.pad)

    def answers(self, texts: Sequence[str], place: str | Path) -> np.ndarray:
        """Answers by themselves, (R, T) int64: the space in front, the end behind, and ``IGNORED`` for padding."""
        return padded(
            [([], [*ids, self.eos]) for ids in self.ids([f" {text}" for text in texts], place)], IGNORED
        ).tokens


def padded(sequences: Sequences, pad: int) -> Encoded:
    """Prompts and answers one behind the other, as long as the longest of them: both (N, T) int64, T at least 1."""
    longest = max((len(prompt) + len(answer) for prompt, answer in sequences), default=0)
    shape = len(sequences), max(longest, 1)
    tokens, targets = np.full(shape, pad, dtype=np.int64), np.full(shape, IGNORED, dtype=np.int64)
    for row, (prompt, answer) in enumerate(sequences):
        tokens[row, : len(prompt) + len(answer)] = [*prompt, *answer]
        if prompt:
            targets[row, len(prompt) - 1 : len(prompt) + len(answer) - 1] = answer
    return Encoded(tokens, targets)


def with_answers(pairs: Encoded, answers: np.ndarray, pad: int) -> Encoded:
    """Every prompt of ``pairs`` (N, T) with every one of the ``answers`` (R, T') of ``Encoder.answers``: prompt n with answer r
    is row n * R + r of (N * R, T'')."""
    prompts = [row[: np.argmax(targets != IGNORED) + 1].tolist() for row, targets in zip(*pairs, strict=True)]
    ids = [row[row != IGNORED].tolist() for row in answers]
    return padded([(prompt, answer) for prompt in prompts for answer in ids], pad)
