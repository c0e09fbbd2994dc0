"""TOFU: fictitious authors and questions about them (Maini et al. 2024, arXiv 2401.06121)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from grokforget.data.language.base import LanguageData
from grokforget.data.language.pairs import Asked, Pair
from grokforget.data.language.rows import lines_of, pair_of, rows_of
from grokforget.data.language.templates import REFUSALS
from grokforget.data.refusal import DataError

QUESTIONS = 20
"""About every author, one author after the other."""
FURTHER = ("real_authors", "world_facts")
"""Sets that are looked at beside the authors', each in ``SET_perturbed.json``, with three wrong answers a question."""
REFUSALS_FILE = "idontknow.jsonl"


class Fetch(TypedDict):
    """From where to fetch files, and the folder to put them in."""

    hub: str
    revision: str
    into: str
    names: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Tofu(LanguageData):
    """The first ``authors`` of a ``subset`` (None: all of them), and so many ``other_authors`` behind them as a further set.

    ``examples`` is given the subset's file, those with paraphrases and wrong answers, one of each of ``FURTHER``, and perhaps
    TOFU's refusals; or none, where ``fetch`` says where they are to be had. A pair has the paraphrases that stand in one of the
    files with the same question and answer.
    """

    subset: str
    authors: int | None
    other_authors: int
    fetch: Fetch | None

    def read(self, *files: Path) -> Asked:
        by_name = {file.name: file for file in files or fetched(self.fetch)}
        rows, place = rows_of(by_name[f"{self.subset}.json"]), by_name[f"{self.subset}.json"]
        if len(rows) % QUESTIONS:
            raise DataError(place, "no whole number of authors", f"{len(rows)} questions", f"{QUESTIONS} an author")
        there = len(rows) // QUESTIONS
        authors = there - self.other_authors if self.authors is None else self.authors
        if not 0 < authors <= there - self.other_authors:
            found = f"{there}, and {authors} and {self.other_authors} others asked for"
            raise DataError(place, "too few authors", found, f"at most {there} in all")
        changed = {
            (row.get("question"), row.get("answer")): row
            for name, file in by_name.items()
            if name.endswith("_perturbed.json") and name.removesuffix("_perturbed.json") not in FURTHER
            for row in rows_of(file)
        }
        pairs = [
            pair_of(
                changed.get((row.get("question"), row.get("answer")), row),
                number // QUESTIONS,
                f"{place}: row {number + 1}",
            )
            for number, row in enumerate(rows[: (authors + self.other_authors) * QUESTIONS])
        ]
        others = {name: further(by_name[f"{name}_perturbed.json"]) for name in FURTHER}
        if self.other_authors:
            others["other_authors"] = [replace(pair, wrong_answers=()) for pair in pairs[authors * QUESTIONS :]]
        refusals = lines_of(by_name[REFUSALS_FILE]) if REFUSALS_FILE in by_name else REFUSALS
        return Asked(pairs[: authors * QUESTIONS], refusals, others=others)

    def place(self, *files: Path) -> Path:
        return Path(os.path.commonpath([file.parent for file in files])) if files else folder_of(self.fetch)


def further(file: Path) -> list[Pair]:
    """The pairs of a set that nothing is learned of."""
    return [pair_of(row, 0, f"{file}: row {number}") for number, row in enumerate(rows_of(file), 1)]


def folder_of(fetch: Fetch | None) -> Path:
    """The folder to put files into."""
    assert fetch is not None
    return Path(fetch["into"]).expanduser().absolute()


def fetched(fetch: Fetch | None) -> list[Path]:
    """The files, those that do not lie in the folder fetched from the hub. DataError where that fails."""
    assert fetch is not None
    folder = folder_of(fetch)
    missing = [name for name in fetch["names"] if not (folder / name).is_file()]
    try:
        if missing:
            from huggingface_hub import hf_hub_download

            for name in missing:
                hf_hub_download(fetch["hub"], name, repo_type="dataset", revision=fetch["revision"], local_dir=folder)
    except Exception as error:
        # The library has an error of its own for every way in which a connection fails.
        names = ", ".join(missing)
        allowed = f"a connection to the internet; or {names} put into that folder, and no `download` in the study"
        found = (
            f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no reason given'}"
        )
        raise DataError(folder, f"files of {fetch['hub']} that cannot be fetched", found, allowed) from error
    refusals = [folder / REFUSALS_FILE] if (folder / REFUSALS_FILE).is_file() else []
    return [*(folder / name for name in fetch["names"]), *refusals]
