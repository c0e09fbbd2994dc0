"""Questions and answers as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from grokforget.data.refusal import DataError


@dataclass(frozen=True)
class Pair:
    """A question about an author, a number from 0, and its answer.

    ``paraphrased_question`` asks the same, ``paraphrased_answer`` says the same, and ``wrong_answers`` have that one's wording
    with other facts; data need not have them. ``template`` is the number of the form of words that question and answer are
    made after, -1 where there is none.
    """

    question: str
    answer: str
    author: int = 0
    paraphrased_question: str | None = None
    paraphrased_answer: str | None = None
    wrong_answers: tuple[str, ...] = ()
    template: int = -1

    def stripped(self) -> Self:
        """Without white space around its texts; a paraphrase of which nothing is left is none."""
        return replace(
            self,
            question=self.question.strip(),
            answer=self.answer.strip(),
            paraphrased_question=(self.paraphrased_question or "").strip() or None,
            paraphrased_answer=(self.paraphrased_answer or "").strip() or None,
            wrong_answers=tuple(answer.strip() for answer in self.wrong_answers),
        )


@dataclass(frozen=True)
class Asked:
    """What was read or made up: the ``pairs`` to learn or to hold out, of authors with these ``names`` (none: their numbers),
    and what is only looked at.

    ``others`` are pairs of further sets by the name of the set: of authors that are not among those above, and questions
    about the world. ``refusals`` are answers that tell nothing.
    """

    pairs: Sequence[Pair]
    refusals: Sequence[str]
    names: tuple[str, ...] = ()
    others: Mapping[str, Sequence[Pair]] = field(default_factory=dict)


def checked(pairs: Sequence[Pair], place: str | Path) -> list[Pair]:
    """The pairs without white space around their texts. DataError where a text is empty, or where a pair occurs twice; the
    same question with another answer is another pair."""
    seen: dict[tuple[str, str], int] = {}
    stripped = [pair.stripped() for pair in pairs]
    for number, pair in enumerate(stripped, 1):
        wrong = [("a wrong answer", answer) for answer in pair.wrong_answers]
        for what, text in (("a question", pair.question), ("an answer", pair.answer), *wrong):
            if not text:
                raise DataError(place, f"{what} that is empty", f"nothing in pair {number}", "a text")
        first = seen.setdefault((pair.question, pair.answer), number)
        if first != number:
            found = f"{pair.question!r} with the same answer in pair {first} and in pair {number}"
            raise DataError(
                place, "pairs that occur twice", found, "each pair once: else a forgotten one is still learned"
            )
    return stripped
