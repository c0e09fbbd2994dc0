"""Questions and answers about authors, for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from grokforget.config.base import no_repeats, problem
from grokforget.config.data_settings.base import DataSet
from grokforget.config.data_settings.own import absolute, file_of
from grokforget.config.work import Extent
from grokforget.runtime.components import ComponentSpec

TOKENIZER = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
"""The files of a tokenizer, any of these sets."""


def tokenizer_folder(path: str) -> str:
    """A validator of paths: a folder with the files of a tokenizer."""
    if not tokenizer_files(path):
        names = ", or ".join(" and ".join(names) for names in TOKENIZER)
        raise problem("no tokenizer", path, f"a folder with {names}; relative paths begin at {Path.cwd()}")
    return path


def tokenizer_files(path: str) -> list[str]:
    """The files to read of a tokenizer's folder; none where there are none."""
    folder = absolute(path)
    found = next((names for names in TOKENIZER if all((folder / name).is_file() for name in names)), ())
    config = [name for name in ("tokenizer_config.json",) if found and (folder / name).is_file()]
    return [str(folder / name) for name in (*found, *config)]


class LanguageData(DataSet):
    """What all data sets of questions and answers have in common."""

    inputs: ClassVar[str] = "text"
    objectives: ClassVar[tuple[str, ...]] = ("language",)

    validation_per_author: int = Field(default=1, ge=1)
    """Questions of every author that are held out, drawn anew for every seed: checkpoints are chosen on them."""
    test_per_author: int = Field(default=1, ge=1)
    """Further ones that are held out for testing."""
    vocabulary: int = Field(default=4096, ge=300, le=2**16)
    """Tokens that a byte-level BPE trained on the data has at most; of few texts it has fewer. Not used with a ``tokenizer``."""
    tokenizer: Annotated[str, AfterValidator(tokenizer_folder)] | None = None
    """The folder of a model whose tokenizer to use; null is one that is trained on the data. A relative path begins where
    Snakemake runs, as ``results/`` does."""
    max_length: int | None = Field(default=None, ge=8)
    """Tokens of question, answer and end together; longer answers lose their end. null is no limit."""

    def conflict(self) -> tuple[object, str] | None:
        return (f"label_noise {self.label_noise} of text", "0: text has no labels") if self.label_noise else None

    def not_settings(self) -> set[str]:
        """Files count by their contents."""
        return {"tokenizer"} | super().not_settings()

    def files(self) -> list[str]:
        """Those of the tokenizer, then those of the data."""
        return [*([] if self.tokenizer is None else tokenizer_files(self.tokenizer)), *self.own_files()]

    def own_files(self) -> list[str]:
        """The files that questions and answers are read from."""
        return []

    def spec(self) -> ComponentSpec:
        """With the number of the files that are the tokenizer's."""
        spec = super().spec()
        files = len(self.files()) - len(self.own_files())
        return ComponentSpec(implementation=spec.implementation, settings={**spec.settings, "tokenizer_files": files})


def held_out_of(questions: int, data: LanguageData) -> tuple[object, str] | None:
    """What was found and what is allowed, where nothing is left to learn of so many questions about an author."""
    held_out = data.validation_per_author + data.test_per_author
    if held_out < questions:
        return None
    return f"{held_out} of {questions} questions held out", f"at most {questions - 1}, so that one is learned"


def extent_of(data: LanguageData, authors: int, questions: int, tokens: int, vocabulary: int) -> Extent:
    """Of so many questions about each author, the longest of so many ``tokens``, and so large a trained vocabulary."""
    validation, test = authors * data.validation_per_author, authors * data.test_per_author
    tokens, vocabulary = min(data.max_length or tokens, tokens), min(data.vocabulary, vocabulary)
    # Of int64: inputs, targets, and the same of two paraphrases and five wrong answers, which may be longer.
    stored = authors * questions * 8 * 10 * 2 * tokens
    return Extent(authors * questions - validation - test, validation, test, tokens, authors, stored, vocabulary)


class FictitiousAuthors(LanguageData):
    """Authors that are made up, with questions, answers, paraphrases and wrong answers: a stand-in for TOFU that needs no
    download."""

    implementation: ClassVar[str] = "grokforget.data.language.authors:FictitiousAuthors"

    kind: Literal["fictitious-authors"] = "fictitious-authors"
    authors: int = Field(default=20, ge=2, le=400)
    """Authors that questions are learned about."""
    questions: int = Field(default=20, ge=3, le=24)
    """Questions about each of them, held-out ones included, of 24 forms: with short and long answers, formulaic and free ones."""
    other_authors: int = Field(default=0, ge=0, le=400)
    """Further authors, whose questions are in none of the parts: a model may be trained on them beforehand."""
    seed: int = Field(default=0, ge=0)
    """Draws the authors; seeds of the study draw what is held out."""

    def conflict(self) -> tuple[object, str] | None:
        return held_out_of(self.questions, self) or super().conflict()

    def extent(self) -> Extent:
        """Lengths and the size of the vocabulary are those of 20 authors; of more they are a little larger."""
        return extent_of(self, self.authors, self.questions, tokens=72, vocabulary=1970)


TOFU_AUTHORS = {
    "full": 200,
    **{f"forget{share:02}": 2 * share for share in (1, 5, 10)},
    **{f"retain{share}": 2 * share for share in (90, 95, 99)},
}
"""How many authors TOFU's subsets have."""
TOFU_REFUSALS = "idontknow.jsonl"


class Tofu(LanguageData):
    """TOFU: 200 fictitious authors and 20 questions about each (Maini et al. 2024, arXiv 2401.06121)."""

    implementation: ClassVar[str] = "grokforget.data.language.tofu:Tofu"

    kind: Literal["tofu"] = "tofu"
    folder: str = "data/tofu"
    """Where TOFU's files lie, in JSON lines: ``SUBSET.json``, of full and retain ones ``retain_perturbed.json`` and of full and
    forget ones that of the forgotten (of full ones ``forget10_perturbed.json``), ``real_authors_perturbed.json`` and
    ``world_facts_perturbed.json``. Refusals are those of ``idontknow.jsonl`` where it is there, else ours. A relative path begins
    where Snakemake runs, as ``results/`` does."""
    download: bool = False
    """Whether files that are not there are fetched from the hub, and put there."""
    hub: str = Field(default="locuslab/TOFU", pattern=r"^[\w.-]+/[\w.-]+$")
    """The data set's name on the Hugging Face hub."""
    revision: str = Field(default="main", min_length=1)
    """The branch, tag or commit to fetch from."""
    subset: Literal["full", "forget01", "forget05", "forget10", "retain90", "retain95", "retain99"] = "full"
    """Which authors: ``forgetNN`` are the last NN per cent of them, ``retainNN`` the others."""
    authors: int | None = Field(default=None, ge=1)
    """How many of these, the first ones; null is all of them, but for ``other_authors``."""
    other_authors: int = Field(default=0, ge=0)
    """The authors behind those, so many, whose questions are in none of the parts: a model may be trained on them beforehand."""

    @property
    def in_paper(self) -> str | None:  # type: ignore[override]  # here the settings tell
        """The paper has all of it."""
        return "tofu" if self.subset == "full" and self.authors is None and not self.other_authors else None

    def names(self) -> list[str]:
        """The files that must be there."""
        first, last = not self.subset.startswith("forget"), not self.subset.startswith("retain")
        changed = [
            *(["retain_perturbed.json"] if first else []),
            *([f"{'forget10' if first else self.subset}_perturbed.json"] if last else []),
        ]
        return [f"{self.subset}.json", *changed, "real_authors_perturbed.json", "world_facts_perturbed.json"]

    def own_files(self) -> list[str]:
        """None where they are fetched, or found, by the job."""
        folder = absolute(self.folder)
        refusals = [TOFU_REFUSALS] if (folder / TOFU_REFUSALS).is_file() else []
        return [] if self.download else [str(folder / name) for name in (*self.names(), *refusals)]

    @model_validator(mode="after")
    def _there(self) -> Self:
        folder = absolute(self.folder)
        missing = [name for name in self.names() if not (folder / name).is_file()]
        if missing and not self.download:
            allowed = f"TOFU's files {', '.join(self.names())} there, or `download: true`"
            raise problem(f"no {missing[0]} in {folder}", self.folder, allowed, at=["folder"])
        return self

    def conflict(self) -> tuple[object, str] | None:
        there, wanted = TOFU_AUTHORS[self.subset], (self.authors or 1) + self.other_authors
        if wanted > there:
            return (
                f"{self.authors or 'all but'} {self.other_authors} other authors",
                f"at most {there} in all in {self.subset}",
            )
        return held_out_of(20, self) or super().conflict()

    def extent(self) -> Extent:
        """Lengths are those of the first 20 authors, and of all; a tokenizer of a model's has a few tokens less."""
        authors = TOFU_AUTHORS[self.subset] - self.other_authors if self.authors is None else self.authors
        return extent_of(self, authors, 20, tokens=90 if authors <= 20 else 170, vocabulary=4096)

    def not_settings(self) -> set[str]:
        return {"folder", "download", "hub", "revision"} | super().not_settings()

    def spec(self) -> ComponentSpec:
        """With what is to be fetched: no content tells that."""
        fetch = {"hub": self.hub, "revision": self.revision, "into": self.folder, "names": self.names()}
        spec = super().spec()
        settings = {**spec.settings, "fetch": fetch if self.download else None}
        return ComponentSpec(implementation=spec.implementation, settings=settings)


class QuestionAnswers(LanguageData):
    """Questions and answers in a file of the user's: columns ``question`` and ``answer``, and where there are any ``author``
    (or ``group``), ``paraphrased_question``, ``paraphrased_answer``, ``wrong_answers`` (or ``perturbed_answer``, as in TOFU; a
    list of texts) and ``template``."""

    implementation: ClassVar[str] = "grokforget.data.language.question_answers:QuestionAnswers"

    kind: Literal["question-answers"] = "question-answers"
    path: Annotated[str, AfterValidator(file_of(".jsonl", ".json", ".csv", ".parquet"))]
    """A file of JSON lines, a .csv file with a line of column names, in which wrong answers are a list in JSON, or a .parquet
    file. A relative path begins where Snakemake runs, as ``results/`` does."""
    ignore: Annotated[list[str], AfterValidator(no_repeats)] = Field(default=[])
    """Columns to leave out."""
    refusals: Annotated[str, AfterValidator(file_of(".txt", ".jsonl"))] | None = None
    """A file with a refusal to answer on every line; null is ours."""

    def own_files(self) -> list[str]:
        return [str(absolute(path)) for path in (self.path, self.refusals) if path is not None]

    def not_settings(self) -> set[str]:
        return {"path", "refusals"} | super().not_settings()
