"""Every candidate value of a hyper-parameter of a method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from grokforget.data.examples import ExampleTable
from grokforget.jobs.found import is_found
from grokforget.jobs.request import PreparedRequest
from grokforget.models.states import read_state
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, REFERENCE_FLAG, flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import TuneSpec

SPLITS = ("forget", "retain", "test")
LABELS = ("forget_set", "checkpoint", "parameter", "value", "update", "final")


def tune(job: Job[TuneSpec]) -> None:
    """Try every candidate value of one method's hyper-parameter, on every forget set of the spec, from every checkpoint.

    Reads ``examples``, ``split``, ``checkpoints`` and, a file a forget set in the order of the spec, ``forget`` and
    ``retrained``, the checkpoints of the run without it. Writes ``table``, a row a (forget set, candidate, checkpoint) with
    the accuracies of the result, of the checkpoint before, and of the retrained reference; and ``trajectory``, the
    accuracies of each at the updates by which its forget accuracy changes, as long as all outputs are finite. All of them are
    of the same examples (``trajectory_examples``).
    """
    spec = job.spec
    rows: list[dict[str, Any]] = []
    trajectory: list[dict[str, Any]] = []
    chance = ExampleTable.read(job.input("examples")).chance
    found = {checkpoint: is_found(job.input("checkpoints"), checkpoint) for checkpoint in spec.checkpoints}
    for forget_set, forget, retrained in zip(
        spec.forget_sets, job.inputs["forget"], job.inputs["retrained"], strict=True
    ):
        request = PreparedRequest(job, forget, forget_set, spec.trajectory_examples)
        references = {name: request.accuracies(read_state(retrained, name)) for name in spec.checkpoints}
        shared: dict[str, dict[str, Any]] = {checkpoint: {} for checkpoint in spec.checkpoints}
        for value, checkpoint in product(spec.candidates, spec.checkpoints):
            method = spec.method.model_copy(update={"settings": {**spec.method.settings, spec.parameter: value}})
            with noted(f"{forget_set}, {spec.parameter} {value}, checkpoint", checkpoint):
                weights = read_state(job.input("checkpoints"), checkpoint)
                _, record = request.apply(method, weights, {}, stride=None, shared=shared[checkpoint])
            labels: dict[str, Any] = {
                "forget_set": forget_set,
                "checkpoint": checkpoint,
                "parameter": spec.parameter,
                # A candidate may be written as a whole number in one list and not in the other.
                "value": float(value),
            }
            known = flag_of(found[checkpoint], finite=True)
            rows.append(
                labels
                | accuracies(record.trajectory[0], "_before")
                | accuracies(record.trajectory[-1])
                | accuracies(references[checkpoint], "_retrained")
                | {"updates": int(record.diagnostics["updates"]), "chance": chance}
                | {FLAG: flag_of(found[checkpoint], not record.diagnostics["diverged"])}
                | {REFERENCE_FLAG: flag_of(is_found(retrained, checkpoint), finite=True)}
            )
            trajectory += [
                {**labels, "update": row["update"], "final": row["final"], **accuracies(row), FLAG: known}
                for row in record.trajectory
                if all(math.isfinite(row[f"{split}_loss"]) for split in SPLITS)
            ]
    write_rows(job.outputs["table"], rows)
    # By columns, so that a table without rows, of runs that have all diverged, goes together with the others.
    columns = (*LABELS, *(f"{split}_accuracy" for split in SPLITS), FLAG)
    write_rows(job.outputs["trajectory"], {name: [row[name] for row in trajectory] for name in columns})


def accuracies(row: Mapping[str, float], suffix: str = "") -> dict[str, float]:
    """Those of forget, retain and test set, in [0, 1], under names with a suffix."""
    return {f"{split}_accuracy{suffix}": row[f"{split}_accuracy"] for split in SPLITS}
