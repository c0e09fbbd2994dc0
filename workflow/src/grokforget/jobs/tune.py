"""Every candidate value of a hyper-parameter of a method."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from grokforget.jobs.found import is_found
from grokforget.jobs.request import FINAL_ONLY, PreparedRequest
from grokforget.models.states import read_state
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import TuneSpec


def tune(job: Job[TuneSpec]) -> None:
    """Try every candidate value of one method's hyper-parameter, on every forget set of the spec, from every checkpoint.

    Reads ``examples``, ``split``, ``checkpoints`` and one ``forget`` file a forget set, in the order of the spec.
    Writes ``table``: a row a (forget set, candidate, checkpoint).
    """
    spec = job.spec
    rows = []
    found = {checkpoint: is_found(job.input("checkpoints"), checkpoint) for checkpoint in spec.checkpoints}
    for forget_set, path in zip(spec.forget_sets, job.inputs["forget"], strict=True):
        request = PreparedRequest(job, path, forget_set)
        for value, checkpoint in product(spec.candidates, spec.checkpoints):
            method = spec.method.model_copy(update={"settings": {**spec.method.settings, spec.parameter: value}})
            with noted(f"{forget_set}, {spec.parameter} {value}, checkpoint", checkpoint):
                _, record = request.apply(
                    method, read_state(job.input("checkpoints"), checkpoint), {}, stride=FINAL_ONLY
                )
            before, after = record.trajectory[0], record.trajectory[-1]
            row = {
                "forget_set": forget_set,
                "checkpoint": checkpoint,
                "parameter": spec.parameter,
                # A candidate may be written as a whole number in one list and not in the other.
                "value": float(value),
            }
            for split in ("forget", "retain", "test"):
                row |= {
                    f"{split}_accuracy_before": before[f"{split}_accuracy"],
                    f"{split}_accuracy": after[f"{split}_accuracy"],
                }
            rows.append(row | {"flag": flag_of(found[checkpoint], not record.diagnostics["diverged"])})
    write_rows(job.outputs["table"], rows)
