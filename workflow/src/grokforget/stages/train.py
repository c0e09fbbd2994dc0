"""One segment of a training run."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.interruption import asked, saving, stop_if_asked
from grokforget.models.build import build_model
from grokforget.progress import progress
from grokforget.seal import DamagedFile
from grokforget.seeds import derive_seed
from grokforget.stages.job import Job
from grokforget.stages.load import encoded, use_device
from grokforget.storage import write_rows
from grokforget.training.loop import Segment, TrainingState, start, train
from grokforget.training.state import load_partial, load_training, save_partial, save_training, write_states

log = logging.getLogger("grokforget")
SAVE_SECONDS = 300.0
"""Between two savings of a running segment: what is lost where a machine fails without a warning."""


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

    partial = job.scratch / "partial.safetensors" if job.scratch else None
    state, done = begin(model, spec, job.optional("state"), partial)
    saved = time.monotonic()

    def on_step(segment: Segment) -> None:
        nonlocal saved
        if partial and (asked() or time.monotonic() - saved > SAVE_SECONDS):
            save_partial(partial, state, segment)
            saved = time.monotonic()
            log.info("saved at step %d", state.step)
        stop_if_asked()

    with progress("train", spec["stop"], state.step) as show, saving():

        def on_evaluation(row: dict[str, Any]) -> None:
            show(row["step"], f"train {row['train_accuracy']:.3f} validation {row['validation_accuracy']:.3f}")

        segment = train(
            state,
            examples,
            spec["training"],
            seed=spec["seed"],
            stop=spec["stop"],
            on_evaluation=on_evaluation,
            on_step=on_step,
            done=done,
        )
    save_training(job.outputs["state"], state)
    write_states(job.outputs["snapshots"], {str(step): weights for step, weights in segment.snapshots.items()})
    write_rows(job.outputs["curve"], segment.curve)


def begin(
    model: nn.Module, spec: Any, previous: Path | None, partial: Path | None
) -> tuple[TrainingState, Segment | None]:
    """Where the segment was interrupted, or else where the one before ended, or else the initialisation."""
    optimizer = spec["training"]["optimizer"]
    if partial and partial.exists():
        try:
            state, done = load_partial(partial, model, optimizer)
            log.info("going on from step %d, where this segment was interrupted", state.step)
            return state, done
        except DamagedFile as damage:
            log.warning("%s; the segment is trained from its start", damage)
    if previous:
        return load_training(previous, model, optimizer), None
    torch.manual_seed(derive_seed(spec["seed"], "training"))
    return start(model, optimizer), None
