"""One method applied to snapshots along training (figure 1b)."""

from __future__ import annotations

from grokforget.stages.bench import FINAL_ONLY, Bench
from grokforget.stages.job import Job
from grokforget.stages.snapshots import chosen
from grokforget.storage import write_rows
from grokforget.training.state import read_state


def sweep(job: Job) -> None:
    """Apply one method to snapshots along training (figure 1b).

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: per snapshot the
    accuracies and losses before (``original_...``) and after. Spec: as ``unlearn_stage``, with ``snapshots``, how many.
    """
    bench = Bench(job)
    rows = []
    for step, path in chosen(job.inputs["snapshots"], job.spec["snapshots"]):
        _, record = bench.apply(job.spec["method"], read_state(path, str(step)), {}, stride=FINAL_ONLY)
        before, after = record.trajectory[0], record.trajectory[-1]
        measures = [key for key in after if key.endswith(("accuracy", "loss"))]
        rows.append(
            {
                "step": step,
                **{f"original_{key}": before[key] for key in measures},
                **{key: after[key] for key in measures},
            }
        )
    write_rows(job.outputs["table"], rows)
