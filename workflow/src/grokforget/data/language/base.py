"""What all data sets of questions and answers have in common: tokens, what is looked at beside them, and the split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grokforget.data.examples import ExampleTable, Split, drawn_by_class
from grokforget.data.language.encode import Encoded, Encoder, prompt_of
from grokforget.data.language.pairs import Asked, Pair, checked
from grokforget.data.language.tokenizer import as_array, check_apart, encoder_of, read_encoder
from grokforget.data.refusal import DataError


@dataclass(frozen=True, kw_only=True)
class LanguageData:
    """Pairs of questions and answers about authors, as tokens.

    Of every author ``validation_per_author`` and ``test_per_author`` questions are held out. The tokenizer is one of at most
    ``vocabulary`` tokens that is trained on the data, or that of the first ``tokenizer_files`` files. ``max_length`` is of
    prompt, answer and end together, tokens.
    """

    validation_per_author: int
    test_per_author: int
    vocabulary: int
    tokenizer_files: int
    max_length: int | None

    def examples(self, *files: Path) -> ExampleTable:
        """All pairs. ``labels`` are authors, ``targets`` what is learned, and ``extras`` what is only looked at:

        ``tokenizer`` (bytes of its JSON, uint8), ``special_tokens`` (those that end and pad a text), ``templates`` (N,) where
        pairs are made after any, ``refusals`` (R, T), and as ``NAME/tokens`` and ``NAME/targets`` the ``paraphrased_questions``
        with the right answers, the ``paraphrased_answers`` to the questions themselves (N, T), the ``wrong_answers`` (N, k, T),
        and further sets, with their ``SET_wrong_answers`` where they have any. Rows without a paraphrase, or with fewer wrong
        answers than others, have no targets. Raises DataError.
        """
        own = files[self.tokenizer_files :]
        asked, place = self.read(*own), self.place(*own)
        pairs, authors = checked(asked.pairs, place), np.array([pair.author for pair in asked.pairs], dtype=np.int64)
        self.check_sizes(authors, asked.names, place)
        others = {name: checked(some, f"{place}: {name}") for name, some in asked.others.items()}
        encoder = self.encoder(
            files[: self.tokenizer_files], [*pairs, *(pair for some in others.values() for pair in some)]
        )
        extras = {
            "tokenizer": as_array(encoder.tokenizer),
            "special_tokens": np.array([encoder.eos, encoder.pad], dtype=np.int64),
            "refusals": encoder.answers(asked.refusals, "the refusals"),
            **looked_at(encoder, pairs, place),
        }
        if any(pair.template >= 0 for pair in pairs):
            extras["templates"] = np.array([pair.template for pair in pairs], dtype=np.int64)
        for name, some in others.items():
            extras |= encoder.encode(plain(some), place).arrays(name)
            extras |= wrong_answers(encoder, some, place, f"{name}_wrong_answers")
        whole = encoder.encode(plain(pairs), place)
        return ExampleTable(
            whole.tokens,
            authors,
            int(authors.max()) + 1,
            encoder.vocabulary,
            asked.names,
            targets=whole.targets,
            extras=extras,
        )

    def read(self, *files: Path) -> Asked:
        """What the files hold, or is made up. Raises DataError."""
        raise NotImplementedError

    def place(self, *files: Path) -> str | Path:
        """What messages call the data by."""
        raise NotImplementedError

    def encoder(self, files: Sequence[Path], pairs: Sequence[Pair]) -> Encoder:
        """In the tokenizer of the files, or in one that is trained on all there is of the pairs."""
        if not files:
            return encoder_of([text for pair in pairs for text in texts_of(pair)], self.vocabulary, self.max_length)
        encoder = read_encoder(files, self.max_length)
        check_apart(encoder, plain(pairs), files[0])
        return encoder

    def check_sizes(self, authors: np.ndarray, names: tuple[str, ...], place: str | Path) -> None:
        """Raise DataError where an author has fewer questions than are held out, and one to learn."""
        sizes = np.bincount(authors)
        least, smallest = self.validation_per_author + self.test_per_author + 1, int(np.argmin(sizes))
        if sizes[smallest] < least:
            found = f"{sizes[smallest]} about {names[smallest] if names else f'author {smallest}'}"
            held_out = f"validation {self.validation_per_author} and test {self.test_per_author}"
            raise DataError(
                place, "too few questions", found, f"at least {least} an author: {held_out}, and one to learn"
            )

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """The held-out questions of every author drawn anew; the others are to be learned."""
        sizes = np.bincount(labels)
        validation, test = (np.full(len(sizes), n) for n in (self.validation_per_author, self.test_per_author))
        train, *held_out, _ = drawn_by_class(labels, np.array([sizes - validation - test, validation, test]), generator)
        return Split(train, *held_out)


def plain(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Questions and answers alone."""
    return [(pair.question, pair.answer) for pair in pairs]


def texts_of(pair: Pair) -> list[str]:
    """What a tokenizer is trained on: a pair's texts as they stand in what is encoded."""
    prompts = [prompt_of(text) for text in (pair.question, pair.paraphrased_question) if text]
    answers = [f" {text}" for text in (pair.answer, pair.paraphrased_answer) if text]
    return [*prompts, *answers]


def looked_at(encoder: Encoder, pairs: Sequence[Pair], place: str | Path) -> dict[str, np.ndarray]:
    """The paraphrases and wrong answers of pairs, as far as there are any."""
    asked = {
        "paraphrased_questions": [
            (pair.paraphrased_question, pair.answer) if pair.paraphrased_question else None for pair in pairs
        ],
        "paraphrased_answers": [
            (pair.question, pair.paraphrased_answer) if pair.paraphrased_answer else None for pair in pairs
        ],
    }
    arrays = wrong_answers(encoder, pairs, place, "wrong_answers")
    for name, some in asked.items():
        if any(some):
            arrays |= encoder.encode(some, place).arrays(name)
    return arrays


def wrong_answers(encoder: Encoder, pairs: Sequence[Pair], place: str | Path, name: str) -> dict[str, np.ndarray]:
    """Wrong answers to the pairs' questions, (N, k, T); nothing where there are none."""
    most = max((len(pair.wrong_answers) for pair in pairs), default=0)
    if not most:
        return {}
    rows = [
        (pair.question, pair.wrong_answers[k]) if k < len(pair.wrong_answers) else None
        for pair in pairs
        for k in range(most)
    ]
    flat = encoder.encode(rows, place)
    return Encoded(*(array.reshape(len(pairs), most, -1) for array in flat)).arrays(name)
