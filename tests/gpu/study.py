"""A small unlearning study on real images, scikit-learn's digits: through Snakemake where it is installed, and else by the
functions that its jobs call."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from gpu.parts import ADAMW, DEVICE, OBJECTIVE, Run, crops, recipe, weights
from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.methods.descent import FineTune, GradientAscent
from grokforget.methods.runner import unlearn

STUDY = """
study: gpu-check
seeds: [0]
device: {device}
jobs_per_gpu: 2
data:
  digits: {{kind: digits, train: 500, validation: 300}}
settings:
  digits-cnn:
    data: digits
    model: {{kind: cnn, channels: [32, 32], hidden: 64}}
    training:
      loss: cross-entropy
      optimizer: {{name: adamw, learning_rate: 1e-3, weight_decay: 0.1}}
      batch_size: 64
      precision: bfloat16
      augmentation: {{kind: crop-flip, padding: 1, flip: false}}
      steps: {steps}
      segment_steps: {half}
      evaluate_every: 50
    selection: {{transition: plateau, memorised_accuracy: 0.9, fitted_accuracy: 0.95}}
forget_sets:
  within-50: {{kind: within-classes, class_share: 0.2, fraction: 0.5}}
methods:
  original: {{kind: original}}
  retrain: {{kind: retrain}}
  gradient-ascent: {{kind: gradient-ascent, learning_rate: 1e-3}}
  fine-tune: {{kind: fine-tune, learning_rate: 1e-2, epochs: 3}}
metrics:
  accuracy: {{kind: accuracy}}
  retrain-gap: {{kind: retrain-gap}}
"""
METHODS: dict[str, tuple[type[Method], dict[str, Any]]] = {
    "gradient-ascent": (GradientAscent, {"learning_rate": 1e-3, "epochs": 5}),
    "fine-tune": (FineTune, {"learning_rate": 1e-2, "epochs": 3}),
}
HEADER = "| | forget | retain | test |\n|---|--:|--:|--:|"


def through_snakemake(steps: int) -> str:
    """The table of accuracies that the study writes, and that a second run has nothing to do."""
    from snakemake_runs import Workspace

    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.yaml"
        study.write_text(STUDY.format(device=DEVICE, steps=steps, half=steps // 2))
        workspace = Workspace(Path(folder))
        for _ in range(2):
            output = workspace.snakemake("--resources", "gpu=2", study=study, cores=os.cpu_count() or 2).stdout
        assert "Nothing to be done" in output, output
        import pandas

        table = pandas.read_parquet(Path(folder) / "results" / "gpu-check" / "tables" / "unlearning.parquet")
    accuracies = [f"{part}_accuracy" for part in ("forget", "retain", "test")]
    text = table[["checkpoint", "method", *accuracies, "flag"]].round(3).to_markdown(index=False)
    return f"Through Snakemake, two jobs at once on the GPU.\n\n{text}"


def plainly(steps: int) -> str:
    """Trained on everything and on what is retained, unlearned by two methods; a table of accuracies in Markdown."""
    spec = recipe(ADAMW, precision="bfloat16", augmentation=crops())
    run = Run("cnn", spec, DEVICE)
    full, retrained = run.begin(), run.begin()
    run.go(full, steps)
    splits = run.splits(full.model)
    train = splits["train"]
    forgotten = (train.y < 2) & (torch.arange(len(train), device=train.y.device) % 2 == 0)
    forget, retain = (Examples(train.x[chosen], train.y[chosen]) for chosen in (forgotten, ~forgotten))
    from grokforget.training.evaluate import accuracy_of
    from grokforget.training.loop import train as trained

    trained(retrained, {**splits, "train": retain}, spec, OBJECTIVE, seed=0, stop=steps)
    parts = {"forget": forget, "retain": retain, "test": splits["test"]}
    rows = {
        name: [accuracy_of(state.model, part, OBJECTIVE) for part in parts.values()]
        for name, state in (("trained", full), ("retrained without", retrained))
    }
    for name, (kind, settings) in METHODS.items():
        model = run.build(0)
        model.load_state_dict(weights(full.model))
        method: Any = kind(
            **{"momentum": 0.9, "weight_decay": 5e-4, "batch_size": 64}, **settings, batch_statistics="moving"
        )  # type: ignore[call-arg]
        record = unlearn(
            method, Problem(model, forget, retain, splits["validation"], OBJECTIVE, 0), parts["test"], stride=1
        )
        rows[name] = [record.trajectory[-1][f"{part}_accuracy"] for part in parts]
    lines = [f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |" for name, values in rows.items()]
    return "\n".join([HEADER, *lines])


def report(steps: int = 1000) -> str:
    """Whichever can be run here."""
    if importlib.util.find_spec("snakemake") and importlib.util.find_spec("pydantic"):
        return through_snakemake(steps)
    return f"Snakemake or pydantic is not installed: by the jobs' own functions, without Snakemake.\n\n{plainly(steps)}"


if __name__ == "__main__":
    print(plainly(20) if "--rehearse" in sys.argv else report())
