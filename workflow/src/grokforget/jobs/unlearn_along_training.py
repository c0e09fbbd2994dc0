"""One method applied to snapshots along training (figure 1b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from grokforget.jobs.request import FINAL_ONLY, PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.models.states import read_state
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import UnlearnAlongTrainingSpec

MEASURES = [f"{split}_{measure}" for split in ("forget", "retain", "test") for measure in ("accuracy", "loss")]


def unlearn_along_training(job: Job[UnlearnAlongTrainingSpec]) -> None:
    """Apply one method to snapshots along training.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: per snapshot the
    accuracies and losses before (``original_...``) and after, and its flag; no row, but all columns with their types, where the
    run diverged before its first update.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    rows = []
    for step, path in chosen(job.inputs["snapshots"], spec.snapshots):
        with noted("snapshot", step):
            _, record = request.apply(spec.method, read_state(path, str(step)), {}, stride=FINAL_ONLY)
        before, after = record.trajectory[0], record.trajectory[-1]
        flag = flag_of(found=True, finite=not record.diagnostics["diverged"])
        rows.append([step, flag, *(before[name] for name in MEASURES), *(after[name] for name in MEASURES)])
    columns = {name: pa.float64() for name in (*(f"original_{name}" for name in MEASURES), *MEASURES)}
    schema = {"step": pa.int64(), FLAG: pa.string(), **columns}
    write_rows(
        job.outputs["table"],
        {name: pa.array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(schema.items())},
    )
