"""Whose results lie in a study's folder: which study file they were made of."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from grokforget.runtime.files import sha256, write_json
from grokforget.runtime.preflight import CannotRun

NOTE = "study.json"
"""In the study's folder: which file the study is."""


def check_owner(root: Path, study: Path, checkout: Path, begins: bool = False) -> None:
    """Raise CannotRun where the results are those of another study file of the same name; a run that ``begins`` notes whose
    they are.

    One study is what has one place, in the checkout or in the working folder, whoever has edited or moved these; or one
    content, wherever it lies. The note stays that of the file that came first.
    """
    file, place = study.resolve(), str(study.resolve())
    for folder, name in ((Path.cwd(), "the working folder"), (checkout, "the checkout")):
        if file.is_relative_to(folder.resolve()):
            place = f"{file.relative_to(folder.resolve())} of {name}"
    note, now = root / NOTE, {"file": place, "sha256": sha256(file)}
    known: dict[str, str] = {}
    # A note that cannot be read says nothing.
    with suppress(OSError, ValueError, TypeError):
        known |= json.loads(note.read_text(encoding="utf-8"))
    anothers = known.keys() == now.keys() and known["file"] != place
    if anothers and known["sha256"] != now["sha256"]:
        raise CannotRun(
            f"{root} holds the results of another study file, {known['file']}; {place} has the same `study: {root.name}`. "
            "Give it a name of its own there, or with `--config study=NAME`; or, if the results shall become those of this "
            f"file, remove {note}: then what is the same is kept, and the rest made anew."
        )
    if begins and not anothers and known != now:
        write_json(note, now)
