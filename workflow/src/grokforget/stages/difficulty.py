"""How hard each training example was to learn."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch.nn import functional

from grokforget.data.examples import ExampleTable, Split
from grokforget.models.build import build_model
from grokforget.stages.job import Job
from grokforget.stages.load import encoded, use_device
from grokforget.stages.snapshots import chosen
from grokforget.storage import write_tensors
from grokforget.training.evaluate import logits_of
from grokforget.training.state import read_state

log = logging.getLogger("grokforget")


def difficulty(job: Job) -> None:
    """Score every training example by what the run on the full train set made of it, from the first step to the last.

    An example that is learned late, or never, scores high. Such statistics of learning, gathered along one run, stand in for
    the memorisation score (Feldman & Zhang 2020, arXiv 2008.03703) and the consistency score (Jiang et al. 2021, arXiv
    2002.03206), which take thousands of runs.

    Reads ``examples``, ``split`` and ``snapshots`` (all segments). Writes ``difficulty``: ``index`` (n,) int64, the training
    examples, and ``difficulty`` (n,) float64: the mean over about ``snapshots`` snapshots after step 0, log-spaced, of 1 - the
    probability of the right class (``score``: probability), or of the cross-entropy in nats (loss); NaN where the run has
    diverged. Spec: ``model``, ``seed``, ``threads``, ``device``, ``snapshots``, how many, ``score``.
    """
    device = use_device(job.spec)
    table, train = ExampleTable.read(job.input("examples")), Split.read(job.input("split")).train
    model = build_model(job.spec["model"], table.shape, seed=0).to(device)
    examples = encoded(model, table, train, device)
    snapshots = chosen(job.inputs["snapshots"], job.spec["snapshots"])
    total = torch.zeros(len(train), dtype=torch.float64, device=device)
    by_loss = job.spec["score"] == "loss"
    for step, path in snapshots:
        model.load_state_dict(read_state(path, str(step)))
        loss = functional.cross_entropy(logits_of(model, examples.x).double(), examples.y, reduction="none")
        total += loss if by_loss else 1 - torch.exp(-loss)
    scores = (total / len(snapshots)).cpu().numpy()
    log.info("%d snapshots, median %.3g, %d not a number", len(snapshots), np.median(scores), np.isnan(scores).sum())
    write_tensors(job.outputs["difficulty"], {"index": train, "difficulty": scores})
