"""Every candidate value of a hyper-parameter of a method."""

from __future__ import annotations

from itertools import product

from grokforget.stages.bench import FINAL_ONLY, Bench
from grokforget.stages.job import Job
from grokforget.storage import write_rows
from grokforget.training.state import read_state


def tune(job: Job) -> None:
    """Try every candidate value of one method's hyper-parameter, on every forget set of the spec, from every checkpoint.

    Reads ``examples``, ``split``, ``checkpoints`` and one ``forget`` file a forget set, in the order of the spec.
    Writes ``table``: a row a (candidate, forget set, checkpoint). Spec: as ``unlearn_stage``, with ``parameter``,
    ``candidates`` and ``forget_sets``.
    """
    rows = []
    for forget_set, path in zip(job.spec["forget_sets"], job.inputs["forget"], strict=True):
        inputs = {**job.inputs, "forget": [path]}
        bench = Bench(Job(inputs, job.outputs, {**job.spec, "forget_set": forget_set}))
        for value, checkpoint in product(job.spec["candidates"], job.spec["checkpoints"]):
            method = {
                **job.spec["method"],
                "settings": {**job.spec["method"]["settings"], job.spec["parameter"]: value},
            }
            _, record = bench.apply(method, read_state(job.input("checkpoints"), checkpoint), {}, stride=FINAL_ONLY)
            before, after = record.trajectory[0], record.trajectory[-1]
            row = {
                "forget_set": forget_set,
                "checkpoint": checkpoint,
                "parameter": job.spec["parameter"],
                # A candidate may be written as a whole number in one list and not in the other.
                "value": float(value),
            }
            for split in ("forget", "retain", "test"):
                row |= {
                    f"{split}_accuracy_before": before[f"{split}_accuracy"],
                    f"{split}_accuracy": after[f"{split}_accuracy"],
                }
            rows.append(row | {"diverged": bool(record.diagnostics["diverged"])})
    write_rows(job.outputs["table"], rows)
