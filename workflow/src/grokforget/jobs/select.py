"""From a run's curves and snapshots to its checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokforget.data.examples import ExampleTable
from grokforget.grokking.checkpoints import match, select_checkpoints
from grokforget.grokking.transition import read_curve
from grokforget.jobs.found import metadata_of
from grokforget.runtime.files import read_table, read_tensors, tensor_groups, write_table, write_tensors
from grokforget.runtime.job import Job
from grokforget.statistics.flags import DIVERGED, flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ModelSpec, SelectSpec

log = logging.getLogger("grokforget")


def select(job: Job[SelectSpec]) -> None:
    """Measure the transition and pick the checkpoints.

    Reads ``examples``, ``curves`` and ``snapshots`` of all segments in order, and where there is a checkpoint ``matched``
    the ``reference``, the table of the setting that this one is a control of. Writes ``table`` (a row a checkpoint: step,
    whether it was found, its flag, its curve values, and the grokking measures of the run) and ``weights``, which say
    which checkpoints were found.
    """
    table = ExampleTable.read(job.input("examples"))
    curve = pd.concat([read_table(path) for path in job.inputs["curves"]], ignore_index=True)
    where = {int(step): path for path in job.inputs["snapshots"] for step in tensor_groups(path)}
    at_snapshots = curve[curve.step.isin(where)]
    spec, settings = job.spec, job.spec.selection
    grokking = read_curve(
        curve.step.to_numpy(),
        curve.train_accuracy.to_numpy(),
        curve.validation_accuracy.to_numpy(),
        chance=table.chance if spec.chance is None else spec.chance,
        settings=settings,
        diverged=bool(curve.diverged.any()),
    )
    log.info("curve: %s", grokking)
    steps, fitted, generalised = (
        at_snapshots[name].to_numpy() for name in ("step", "train_accuracy", "validation_accuracy")
    )
    chosen = select_checkpoints(steps, fitted, generalised, grokking, settings)
    if "matched" in spec.checkpoints:
        reference = read_table(job.input("reference")).set_index("checkpoint")
        wanted = float(reference.validation_accuracy["grokked"])
        step, alike = match(steps, fitted, generalised, fitted=settings.memorised_accuracy, wanted=wanted)
        # What is as accurate as a model that did not grok is no match for one that did.
        chosen["matched"] = step, alike and bool(reference.found["grokked"])
    rows: list[dict[str, Any]] = []
    weights: dict[str, dict[str, np.ndarray]] = {}
    for name in spec.checkpoints:
        if name == "rescaled":
            continue
        step, found = chosen[name]
        values = curve[curve.step == step].iloc[0].drop("step").to_dict()
        flag = flag_of(found, finite=not values.pop("diverged"))
        rows.append({"checkpoint": name, "step": step, "found": found, "flag": flag, **values, **grokking.row()})
        log.info("%s: step %d%s", name, step, "" if found else " (not found: the nearest there is)")
        weights[name], _ = read_tensors(where[step], prefix=f"{step}/")
    if spec.model:  # given where there is a checkpoint of that name
        weights["rescaled"] = rescale(spec.model, table, weights["memorised"], weights["grokked"])
        rows.append(rescaled_row({row["checkpoint"]: row for row in rows}))
    named = {f"{name}/{key}": value for name, state in weights.items() for key, value in state.items()}
    write_tensors(job.outputs["weights"], named, metadata_of({row["checkpoint"]: row["found"] for row in rows}))
    write_table(job.outputs["table"], pd.DataFrame(rows))


def rescale(
    spec: ModelSpec, table: ExampleTable, memorised: Mapping[str, np.ndarray], grokked: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The memorised weights at the norm of the grokked ones."""
    # Only here: no other checkpoint needs torch.
    from grokforget.models.build import build_model
    from grokforget.models.rescale import rescaled_state

    return rescaled_state(build_model(spec, table.shape, seed=0), memorised, grokked)


def rescaled_row(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is known of the rescaled model without running it: its predictions are those of ``memorised``, its norm that of
    ``grokked``, and its losses are neither's."""
    row = {**rows["memorised"], "checkpoint": "rescaled", "weight_norm": rows["grokked"]["weight_norm"]}
    row["found"] = rows["memorised"]["found"] and rows["grokked"]["found"]
    row["flag"] = flag_of(row["found"], finite=DIVERGED not in (rows["memorised"]["flag"], rows["grokked"]["flag"]))
    return {name: math.nan if name.endswith("_loss") else value for name, value in row.items()}
