"""Fictitious authors, made up: a stand-in for TOFU (Maini et al. 2024, arXiv 2401.06121) that needs no download.

About some of an author's attributes there are two questions, one with a short answer and one with a long one: so a held-out
question may be answered from what was learned. Half of the forms of answers, short and long ones alike, are formulaic, and the
other half hold words that nothing foretells: what is easy to learn and what is short are two things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from grokforget.data.language.attributes import ATTRIBUTES, OF_PAIRS, WORDS
from grokforget.data.language.base import LanguageData
from grokforget.data.language.pairs import Asked, Pair
from grokforget.data.language.templates import FORMS, REFUSALS, Form
from grokforget.runtime.seeds import numpy_generator

WRONG_ANSWERS = 5
"""For each question, as in TOFU."""
WORD, SLOT = re.compile(r"\[([^\]]+)\]"), re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True, kw_only=True)
class FictitiousAuthors(LanguageData):
    """``questions`` about each of so many ``authors``; and about as many ``other_authors``, as the further set of that name.

    An author and its pairs depend on ``seed``, ``questions`` and the author's number alone.
    """

    authors: int
    questions: int
    other_authors: int
    seed: int

    def read(self, *files: Path) -> Asked:
        names = author_names(self.seed)[: self.authors + self.other_authors]
        pairs = [self.of_author(number, name) for number, name in enumerate(names)]
        return Asked(
            [pair for some in pairs[: self.authors] for pair in some],
            REFUSALS,
            names[: self.authors],
            {"other_authors": [replace(pair, wrong_answers=()) for some in pairs[self.authors :] for pair in some]}
            if self.other_authors
            else {},
        )

    def place(self, *files: Path) -> str:
        return "fictitious-authors"

    def of_author(self, number: int, name: str) -> list[Pair]:
        """The pairs of an author, in the order of ``FORMS``."""
        generator = numpy_generator(self.seed, "fictitious author", number)
        author = {"name": name}
        for attribute in ATTRIBUTES:
            if attribute not in ("name", *OF_PAIRS):
                author |= drawn(attribute, generator)
        chosen = np.sort(generator.permutation(len(FORMS))[: self.questions]).tolist()
        return [pair_of(FORMS[template], template, number, author, generator) for template in chosen]


def author_names(seed: int) -> tuple[str, ...]:
    """All names that there are, in random order: no two authors share one."""
    names = [f"{given} {family}" for family in WORDS["family"] for given in WORDS["given"]]
    return tuple(names[position] for position in numpy_generator(seed, "fictitious authors").permutation(len(names)))


def pair_of(form: Form, template: int, number: int, author: Mapping[str, str], generator: np.random.Generator) -> Pair:
    """A pair of this form, with a paraphrase of both and wrong answers."""
    slots = {**author, **(drawn(form.attribute, generator) if form.attribute in OF_PAIRS else {})}
    question, paraphrased = generator.permutation(len(form.questions))[:2].tolist()
    answer = form.answers[generator.integers(len(form.answers))]
    told = filled(form.paraphrase, slots)
    wrong: list[str] = []
    while len(wrong) < WRONG_ANSWERS:
        other = filled(form.paraphrase, {**slots, **drawn(form.attribute, generator)})
        if other != told and other not in wrong:
            wrong.append(other)
    return Pair(
        question=filled(form.questions[question], slots),
        answer=filled(answer, slots),
        author=number,
        paraphrased_question=filled(form.questions[paraphrased], slots),
        paraphrased_answer=told,
        wrong_answers=tuple(wrong),
        template=template,
    )


def drawn(attribute: str, generator: np.random.Generator) -> dict[str, str]:
    """Some value of an attribute, by slot; of several slots under one key each gets its part."""
    slots: dict[str, str] = {}
    for names, pattern in ATTRIBUTES[attribute].items():
        value = WORD.sub(lambda found: str(generator.choice(WORDS[found[1]])), pattern)
        slots |= dict(zip(names.split(", "), value.split(", "), strict=True)) if ", " in names else {names: value}
    return slots


def filled(pattern: str, slots: Mapping[str, str]) -> str:
    """The text, each slot with what stands in it; a sentence begins with a capital."""
    text = SLOT.sub(lambda found: slots[found[1]], pattern)
    return text[0].upper() + text[1:]
