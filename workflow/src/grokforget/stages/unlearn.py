"""Unlearning: one method on one forget set, from every checkpoint of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn
from torch.nn import functional

from grokforget.stages.bench import Bench
from grokforget.stages.job import Job
from grokforget.storage import write_rows
from grokforget.training.evaluate import Examples, logits_of
from grokforget.training.state import State, read_state, write_states


def unlearn_stage(job: Job) -> None:
    """Apply one method to every checkpoint.

    Reads ``examples``, ``split``, ``forget`` and ``checkpoints`` (weights), and ``retrained`` (the checkpoints of the run
    without the forget set) where the spec asks for it. Writes ``models`` (weights by checkpoint), ``trajectory``,
    ``outputs`` (per example: split, label, loss, whether right) and ``diagnostics``. Spec: ``model``, ``method``,
    ``checkpoints``, ``seed``, ``forget_set``, ``stride``, ``threads``, ``device``, and ``retrained``, true for the method
    that is the retrained model; no other gets to see it.
    """
    bench = Bench(job)
    retrained = job.input("retrained") if job.spec.get("retrained") else None
    models: dict[str, State] = {}
    trajectories: list[dict[str, Any]] = []
    diagnostics: list[dict[str, Any]] = []
    outputs: list[dict[str, np.ndarray]] = []
    for checkpoint in job.spec["checkpoints"]:
        weights = read_state(job.input("checkpoints"), checkpoint)
        reference = read_state(retrained, checkpoint) if retrained else {}
        model, record = bench.apply(job.spec["method"], weights, reference, job.spec["stride"])
        models[checkpoint] = {name: value.clone() for name, value in model.state_dict().items()}
        trajectories += [{"checkpoint": checkpoint, **row} for row in record.trajectory]
        diagnostics += [
            {"checkpoint": checkpoint, "measure": name, "value": value} for name, value in record.diagnostics.items()
        ]
        outputs += [
            {
                "checkpoint": np.repeat(checkpoint, len(examples)),
                "split": np.repeat(split, len(examples)),
                **per_example(model, examples),
            }
            for split, examples in bench.examples.items()
        ]
    write_states(job.outputs["models"], models)
    write_rows(job.outputs["trajectory"], trajectories)
    columns = {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}
    write_rows(job.outputs["outputs"], columns)
    write_rows(job.outputs["diagnostics"], diagnostics)


def per_example(model: nn.Module, examples: Examples) -> dict[str, np.ndarray]:
    """Arrays (n,) in the order of the examples: label, cross-entropy (nats, float32) and whether the prediction is
    right."""
    logits = logits_of(model, examples.x)
    columns = {
        "label": examples.y,
        "loss": functional.cross_entropy(logits, examples.y, reduction="none"),
        "correct": logits.argmax(1) == examples.y,
    }
    return {name: value.cpu().numpy() for name, value in columns.items()}
