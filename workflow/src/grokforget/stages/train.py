"""One segment of a training run."""

from __future__ import annotations

from typing import Any

import torch

from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.models.build import build_model
from grokforget.progress import progress
from grokforget.seeds import derive_seed
from grokforget.stages.job import Job
from grokforget.stages.load import encoded, use_device
from grokforget.storage import write_rows
from grokforget.training.loop import start, train
from grokforget.training.state import load_training, save_training, write_states


def train_segment(job: Job) -> None:
    """Train from the previous segment's state, or from the initialisation, to ``stop`` updates.

    Reads ``examples``, ``split``, and where they are given ``forget`` (train on its retain set) and ``state``. Writes
    ``state``, ``snapshots`` (weights by step) and ``curve`` (one row an evaluation). Spec: ``model`` (a component with
    ``alpha``), ``training``, ``seed``, ``stop``, ``threads``, ``device``.
    """
    spec = job.spec
    device = use_device(spec)
    table = ExampleTable.read(job.input("examples"))
    model = build_model(spec["model"], table.shape, derive_seed(spec["seed"], "initialisation")).to(device)
    splits = Split.read(job.input("split"))
    forget = job.optional("forget")
    indices = vars(splits) | ({"train": ForgetSplit.read(forget).retain} if forget else {})
    examples = {name: encoded(model, table, index, device) for name, index in indices.items()}

    optimizer = spec["training"]["optimizer"]
    previous = job.optional("state")
    if previous:
        state = load_training(previous, model, optimizer)
    else:
        torch.manual_seed(derive_seed(spec["seed"], "training"))
        state = start(model, optimizer)
    with progress("train", spec["stop"], state.step) as show:

        def on_evaluation(row: dict[str, Any]) -> None:
            show(row["step"], f"train {row['train_accuracy']:.3f} validation {row['validation_accuracy']:.3f}")

        segment = train(
            state, examples, spec["training"], seed=spec["seed"], stop=spec["stop"], on_evaluation=on_evaluation
        )
    save_training(job.outputs["state"], state)
    write_states(job.outputs["snapshots"], {str(step): weights for step, weights in segment.snapshots.items()})
    write_rows(job.outputs["curve"], segment.curve)
