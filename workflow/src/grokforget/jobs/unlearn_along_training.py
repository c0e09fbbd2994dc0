"""One method applied to snapshots along training (figure 1b)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.jobs.request import FINAL_ONLY, PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.models.states import read_state
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import UnlearnAlongTrainingSpec


def unlearn_along_training(job: Job[UnlearnAlongTrainingSpec]) -> None:
    """Apply one method to snapshots along training.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: per snapshot the
    accuracies and losses before (``original_...``) and after, and its flag.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    rows = []
    for step, path in chosen(job.inputs["snapshots"], spec.snapshots):
        _, record = request.apply(spec.method, read_state(path, str(step)), {}, stride=FINAL_ONLY)
        before, after = record.trajectory[0], record.trajectory[-1]
        measures = [name for name in after if name.endswith(("accuracy", "loss"))]
        rows.append(
            {
                "step": step,
                "flag": flag_of(found=True, finite=not record.diagnostics["diverged"]),
                **{f"original_{name}": before[name] for name in measures},
                **{name: after[name] for name in measures},
            }
        )
    write_rows(job.outputs["table"], rows)
