"""One method applied to snapshots along training (figure 1b)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grokforget.data.examples import ExampleTable
from grokforget.jobs.request import MEASURES, PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.models.states import read_state
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, flag_of
from grokforget.statistics.levels import crossing

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import UnlearnAlongTrainingSpec

AT_CHANCE = {
    "updates_to_chance": "update",
    "retain_accuracy_at_chance": "retain_accuracy",
    "test_accuracy_at_chance": "test_accuracy",
}
"""What is said of the update at which the forget accuracy has fallen to chance: a column, and what it is in a trajectory."""


def unlearn_along_training(job: Job[UnlearnAlongTrainingSpec]) -> None:
    """Apply one method to snapshots along training.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: per snapshot the
    accuracies and losses before (``original_...``) and after, its flag, and ``AT_CHANCE`` (``statistics.levels``; NaN where
    that is never reached); no row, but all columns with their types, where the run diverged before its first update.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set, spec.trajectory_examples)
    chance = ExampleTable.read(job.input("examples")).chance
    rows = []
    for step, path in chosen(job.inputs["snapshots"], spec.snapshots):
        with noted("snapshot", step):
            _, record = request.apply(spec.method, read_state(path, str(step)), {}, stride=None)
        before, after = record.trajectory[0], record.trajectory[-1]
        flag = flag_of(found=True, finite=not record.diagnostics["diverged"])
        there = at_chance(record.trajectory, chance)
        rows.append([step, flag, *(row[name] for row in (before, after) for name in MEASURES), *there])
    columns = {name: pa.float64() for name in (*(f"original_{name}" for name in MEASURES), *MEASURES, *AT_CHANCE)}
    schema = {"step": pa.int64(), FLAG: pa.string(), **columns}
    write_rows(
        job.outputs["table"],
        {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(schema.items())},
    )


def at_chance(trajectory: Sequence[Mapping[str, Any]], chance: float) -> list[float]:
    """The values of ``AT_CHANCE``; a model that has diverged reaches nothing."""
    rows = [row for row in trajectory if not row["final"] and math.isfinite(row["forget_loss"])]
    found = crossing([row["forget_accuracy"] for row in rows], chance)
    return [found.of([row[name] for row in rows]) if found else math.nan for name in AT_CHANCE.values()]
