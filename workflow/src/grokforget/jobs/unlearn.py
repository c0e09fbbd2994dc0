"""Unlearning: one method on one forget set, from every checkpoint of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from torch import nn

from grokforget.jobs.found import is_found, metadata_of
from grokforget.jobs.request import MEASURES, PreparedRequest
from grokforget.methods.runner import LEFT, Record
from grokforget.models.states import State, read_state, state_of, write_states
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.statistics.flags import FLAG, flag_of
from grokforget.training.outputs import per_example

if TYPE_CHECKING:
    from grokforget.config.specs.unlearning import UnlearnSpec

FROZEN = "frozen"
"""The third kind of a result's statistics, beside those of ``Record``: the checkpoint's, which the method may not move."""


def unlearn(job: Job[UnlearnSpec]) -> None:
    """Apply one method to every checkpoint.

    Reads ``examples``, ``split``, ``forget``, ``checkpoints`` (weights), and ``retrained`` (the checkpoints of the run
    without the forget set), which only the method that is the retrained model is given. Writes ``trajectory``, ``outputs``
    (by checkpoint and split, what ``per_example`` gives, or what the spec's ``outputs`` does), ``diagnostics``, and where they
    are among the outputs ``models`` (weights by checkpoint) and ``batch_norm``: the result's accuracies and losses by checkpoint
    and running ``statistics``, no row where the model has none. Trajectory and diagnostics have the ``flag`` of their model.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set, spec.trajectory_examples)
    said = PlainOutputs(request) if spec.outputs is None else spec.outputs.build(request)
    retrained = job.optional("retrained")
    models: dict[str, State] = {}
    found: dict[str, bool] = {}
    trajectories: list[dict[str, Any]] = []
    diagnostics: list[dict[str, Any]] = []
    outputs: list[dict[str, np.ndarray]] = []
    statistics: list[dict[str, Any]] = []
    for checkpoint in spec.checkpoints:
        with noted("checkpoint", checkpoint):
            weights = read_state(job.input("checkpoints"), checkpoint)
            reference = read_state(retrained, checkpoint) if retrained else {}
            # What the retrained reference is at a checkpoint is a matter of its own run.
            found[checkpoint] = is_found(retrained or job.input("checkpoints"), checkpoint)
            model, record = request.apply(spec.method, weights, reference, spec.stride, spec.updates, statistics=True)
        labels = {"checkpoint": checkpoint, "flag": flag_of(found[checkpoint], not record.diagnostics["diverged"])}
        if "models" in job.outputs:
            models[checkpoint] = state_of(model)
        trajectories += [{**labels, **row} for row in record.trajectory]
        diagnostics += [{**labels, "measure": name, "value": value} for name, value in record.diagnostics.items()]
        outputs += [{"checkpoint": np.repeat(checkpoint, len(part["label"])), **part} for part in said.rows(model)]
        if record.statistics:
            with noted("checkpoint", checkpoint):
                frozen = frozen_result(request, spec, weights, reference, record)
            for name, row in {**record.statistics, FROZEN: frozen}.items():
                flag = flag_of(found[checkpoint], all(map(math.isfinite, row.values())))
                statistics.append({"checkpoint": checkpoint, "statistics": name, **row, FLAG: flag})
    if "models" in job.outputs:
        write_states(job.outputs["models"], models, metadata_of(found))
    write_rows(job.outputs["trajectory"], trajectories)
    columns = {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}
    write_rows(job.outputs["outputs"], columns)
    write_rows(job.outputs["diagnostics"], diagnostics)
    if "batch_norm" in job.outputs:
        write_rows(job.outputs["batch_norm"], columns_of(statistics))


class PlainOutputs:
    """What is said of every example of a request."""

    def __init__(self, request: PreparedRequest) -> None:
        self.request = request

    def rows(self, model: nn.Module) -> Iterator[dict[str, np.ndarray]]:
        """Of each set the columns ``split``, ``label`` and those of ``per_example``."""
        for split, examples in self.request.examples.items():
            columns = {"split": np.repeat(split, len(examples)), "label": self.request.labels[split]}
            yield {**columns, **per_example(model, examples, self.request.objective)}


def frozen_result(
    request: PreparedRequest, spec: UnlearnSpec, weights: State, retrained: State, record: Record
) -> Mapping[str, float]:
    """What the method's result would say had its batch norms kept the statistics of the checkpoint: the method once more, or,
    of one that moves none, what it has left."""
    if spec.method.settings.get("batch_statistics") != "moving":
        return record.statistics[LEFT]
    method = spec.method.model_copy(update={"settings": {**spec.method.settings, "batch_statistics": "frozen"}})
    _, again = request.apply(method, weights, retrained, 0, spec.updates)
    return again.statistics[LEFT]


def columns_of(statistics: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """With their types, so that a table without rows goes together with the others."""
    names = {
        "checkpoint": pa.string(),
        "statistics": pa.string(),
        **dict.fromkeys(MEASURES, pa.float64()),
        FLAG: pa.string(),
    }
    return {name: pa.array([row[name] for row in statistics], kind) for name, kind in names.items()}
