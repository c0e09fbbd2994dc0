"""What the models of a run say of every example of the data set: shadow models for membership attacks."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.models.build import build_model
from grokforget.stages.job import Job
from grokforget.stages.load import encoded, use_device
from grokforget.storage import write_tensors
from grokforget.training.evaluate import logits_of
from grokforget.training.state import read_state


def shadow(job: Job) -> None:
    """Cross-entropy of every example under every checkpoint of one run.

    Reads ``examples``, ``split``, ``checkpoints`` and, where the run has one, the ``forget`` set that it was trained without.
    Writes ``losses``: float32 (N,) by checkpoint, in nats, in the order of the data set, and ``member``, uint8 (N,): was the
    example trained on? Spec: ``model``, ``seed``, ``train_set``, ``checkpoints``, ``threads``, ``device``.
    """
    spec = job.spec
    device = use_device(spec)
    table = ExampleTable.read(job.input("examples"))
    model = build_model(spec["model"], table.shape, seed=0).to(device)
    trained = Split.read(job.input("split")).train
    if spec["train_set"] != "full":
        name = spec["train_set"].removeprefix("without-")
        trained = ForgetSplit.read(job.input("forget") / f"{name}.safetensors").retain
    examples = encoded(model, table, np.arange(len(table.labels)), device)
    member = np.zeros(len(table.labels), dtype=np.uint8)
    member[trained] = 1
    arrays = {"member": member}
    for checkpoint in spec["checkpoints"]:
        model.load_state_dict(read_state(job.input("checkpoints"), checkpoint))
        with torch.no_grad():
            loss = functional.cross_entropy(logits_of(model, examples.x), examples.y, reduction="none")
        arrays[f"loss/{checkpoint}"] = loss.cpu().numpy()
    write_tensors(job.outputs["losses"], arrays)
