"""Unlearning: one method on one forget set, from every checkpoint of a run."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from torch import nn
from torch.nn import functional

from grokforget.stages.bench import Bench
from grokforget.stages.job import Job
from grokforget.storage import write_table
from grokforget.training.evaluate import Examples, logits_of
from grokforget.training.state import read_state, write_states


def unlearn_stage(job: Job) -> None:
    """Apply one method to every checkpoint.

    Reads ``examples``, ``split``, ``forget``, ``checkpoints`` (weights) and, for the retrained reference, ``retrained`` (weights of the run
    without the forget set). Writes ``models`` (weights by checkpoint), ``trajectory``, ``outputs`` (per example: split, label, loss, whether
    right) and ``diagnostics``. Spec: ``model``, ``method``, ``checkpoints``, ``seed``, ``forget_set``, ``stride``, ``threads``, ``device``.
    """
    bench = Bench(job)
    retrained = job.optional("retrained")
    models, trajectories, outputs, diagnostics = {}, [], [], []
    for checkpoint in job.spec["checkpoints"]:
        weights = read_state(job.input("checkpoints"), checkpoint)
        reference = read_state(retrained, checkpoint) if retrained else {}
        model, record = bench.apply(job.spec["method"], weights, reference, job.spec["stride"])
        models[checkpoint] = {name: value.clone() for name, value in model.state_dict().items()}
        trajectories.append(pd.DataFrame(record.trajectory).assign(checkpoint=checkpoint))
        outputs.append(per_example(model, bench.examples).assign(checkpoint=checkpoint))
        diagnostics += [
            {"checkpoint": checkpoint, "measure": measure, "value": value} for measure, value in record.diagnostics.items()
        ]
    write_states(job.outputs["models"], models)
    write_table(job.outputs["trajectory"], pd.concat(trajectories, ignore_index=True))
    write_table(job.outputs["outputs"], pd.concat(outputs, ignore_index=True))
    write_table(job.outputs["diagnostics"], pd.DataFrame(diagnostics))


def per_example(model: nn.Module, splits: Mapping[str, Examples]) -> pd.DataFrame:
    """One row an example, in the order of the split: split, label, cross-entropy (nats, float32) and whether the prediction is right."""
    frames = []
    for name, examples in splits.items():
        logits = logits_of(model, examples.x)
        loss = functional.cross_entropy(logits, examples.y, reduction="none")
        right = logits.argmax(1) == examples.y
        columns = {"label": examples.y, "loss": loss, "correct": right}
        frames.append(pd.DataFrame({key: value.cpu().numpy() for key, value in columns.items()}).assign(split=name))
    return pd.concat(frames, ignore_index=True)
