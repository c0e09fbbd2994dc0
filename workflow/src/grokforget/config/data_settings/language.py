"""Questions and answers about authors, for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import problem
from grokforget.config.data_settings.base import DataSet
from grokforget.config.data_settings.own import absolute
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
        held_out = self.validation_per_author + self.test_per_author
        if held_out >= self.questions:
            return (
                f"{held_out} of {self.questions} questions held out",
                f"at most {self.questions - 1}, so that one is learned",
            )
        return super().conflict()

    def extent(self) -> Extent:
        """Lengths and the size of the vocabulary are those of the default; others differ by a few per cent."""
        tokens, vocabulary, seen = 72, min(self.vocabulary, 1900), 1000
        pairs = self.authors * self.questions
        validation, test = (self.authors * n for n in (self.validation_per_author, self.test_per_author))
        stored = 8 * pairs * seen
        return Extent(pairs - validation - test, validation, test, tokens, self.authors, stored, vocabulary)
