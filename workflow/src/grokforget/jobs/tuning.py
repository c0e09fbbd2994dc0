"""Which hyper-parameters are chosen, and how the checkpoints compare at their own best ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.jobs.text_files import write_text
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.tables import matched, tuning
from grokforget.tables.untried import untried

if TYPE_CHECKING:
    from grokforget.config.specs.tables import ChooseSpec, MatchedSpec, TunedSpec


def tuned(job: Job[TunedSpec]) -> None:
    """Reads ``tuning``; writes ``table``, the reported cells at the chosen values."""
    spec = job.spec
    write_table(job.outputs["table"], tuning.tuned(read_table(job.input("tuning")), spec.seed))


def match(job: Job[MatchedSpec]) -> None:
    """Reads ``labels`` (a file a setting of the spec, a line a class), where candidates are tried ``tuning`` and
    ``tuning_trajectories``, and where there are methods without any ``unlearning`` and ``trajectories``; writes ``matched``
    and ``fronts``, of the reported seeds."""
    spec = job.spec
    tables = {name: read_table(files[0]) for name, files in job.inputs.items() if name != "labels"}
    tried, paths = tables.get("tuning"), tables.get("tuning_trajectories")
    if "unlearning" in tables:
        classes = [len(pd.read_csv(path)) for path in job.inputs["labels"]]
        chance = {setting: 1 / number for setting, number in zip(spec.settings, classes, strict=True)}
        chance |= dict.fromkeys(spec.languages, 0.0)
        own = untried(
            tables["unlearning"],
            tables["trajectories"],
            tried,
            chance=chance,
            original=spec.original,
            retrain=spec.retrain,
        )
        tried, paths = (pd.concat(parts, ignore_index=True) for parts in zip((tried, paths), own, strict=True))
    write_table(job.outputs["matched"], matched.matched(tried, paths, spec.seed))
    write_table(job.outputs["fronts"], matched.fronts(tried, paths, spec.seed))


def choose(job: Job[ChooseSpec]) -> None:
    """Reads ``parts`` and ``trajectories`` of the candidates that were tried; writes ``candidates`` (all of them) and
    ``choice``, as CSV."""
    tried, trajectories = (
        pd.concat(
            [read_table(path).assign(**labels) for path, labels in zip(job.inputs[name], job.spec.parts, strict=True)],
            ignore_index=True,
        )
        for name in ("parts", "trajectories")
    )
    written = {
        "candidates": tuning.candidates(tried),
        "choice": tuning.forgetting(tried, trajectories, ends=job.spec.updates == "all"),
    }
    for name, table in written.items():
        write_text(job.outputs[name], table.to_csv(index=False, float_format="%.4g", lineterminator="\n"))
