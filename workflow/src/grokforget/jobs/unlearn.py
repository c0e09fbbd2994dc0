"""Unlearning: one method on one forget set, from every checkpoint of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grokforget.jobs.found import is_found, metadata_of
from grokforget.jobs.request import PreparedRequest
from grokforget.models.states import State, read_state, state_of, write_states
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import flag_of
from grokforget.training.outputs import per_example

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import UnlearnSpec


def unlearn(job: Job[UnlearnSpec]) -> None:
    """Apply one method to every checkpoint.

    Reads ``examples``, ``split``, ``forget``, ``checkpoints`` (weights), and ``retrained`` (the checkpoints of the run
    without the forget set), which only the method that is the retrained model is given. Writes ``trajectory``, ``outputs``
    (by checkpoint and split, what ``per_example`` gives), ``diagnostics``, and where it is among the outputs ``models``
    (weights by checkpoint). Trajectory and diagnostics have the ``flag`` of their model.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    retrained = job.optional("retrained")
    models: dict[str, State] = {}
    found: dict[str, bool] = {}
    trajectories: list[dict[str, Any]] = []
    diagnostics: list[dict[str, Any]] = []
    outputs: list[dict[str, np.ndarray]] = []
    for checkpoint in spec.checkpoints:
        with noted("checkpoint", checkpoint):
            weights = read_state(job.input("checkpoints"), checkpoint)
            reference = read_state(retrained, checkpoint) if retrained else {}
            # What the retrained reference is at a checkpoint is a matter of its own run.
            found[checkpoint] = is_found(retrained or job.input("checkpoints"), checkpoint)
            model, record = request.apply(spec.method, weights, reference, spec.stride, spec.updates)
        labels = {"checkpoint": checkpoint, "flag": flag_of(found[checkpoint], not record.diagnostics["diverged"])}
        if "models" in job.outputs:
            models[checkpoint] = state_of(model)
        trajectories += [{**labels, **row} for row in record.trajectory]
        diagnostics += [{**labels, "measure": name, "value": value} for name, value in record.diagnostics.items()]
        outputs += [
            {
                "checkpoint": np.repeat(checkpoint, len(examples)),
                "split": np.repeat(split, len(examples)),
                **per_example(model, examples, request.objective),
            }
            for split, examples in request.examples.items()
        ]
    if "models" in job.outputs:
        write_states(job.outputs["models"], models, metadata_of(found))
    write_rows(job.outputs["trajectory"], trajectories)
    columns = {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}
    write_rows(job.outputs["outputs"], columns)
    write_rows(job.outputs["diagnostics"], diagnostics)
