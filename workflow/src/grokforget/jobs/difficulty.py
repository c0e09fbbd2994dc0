"""How hard each training example was to learn."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from grokforget.data.examples import read_examples
from grokforget.jobs.setup import encoded, use_device
from grokforget.jobs.snapshots import chosen
from grokforget.models.build import build_model
from grokforget.models.states import read_state
from grokforget.runtime.files import write_tensors
from grokforget.runtime.job import Job
from grokforget.training.evaluate import digests_of
from grokforget.training.objective import Objective

if TYPE_CHECKING:
    from grokforget.config.specs.runs import DifficultySpec

log = logging.getLogger("grokforget")


def difficulty(job: Job[DifficultySpec]) -> None:
    """Score every training example by what the run on the full train set made of it, from the first step to the last.

    An example that is learned late, or never, scores high. Such statistics of learning, gathered along one run, stand in for
    the memorisation score (Feldman & Zhang 2020, arXiv 2008.03703) and the consistency score (Jiang et al. 2021, arXiv
    2002.03206), which take thousands of runs.

    Reads ``examples``, ``split`` and ``snapshots`` (all segments). Writes ``difficulty``: ``index`` (n,) int64, the training
    examples, and ``difficulty`` (n,) float64: the mean over about ``snapshots`` snapshots after step 0, log-spaced, of 1 - the
    probability of the right answer (``score``: probability), or of the unlearning loss in nats (loss); NaN where the run has
    diverged.
    """
    spec = job.spec
    device = use_device(spec)
    table, split = read_examples(job.input("examples"), job.input("split"))
    train = split.train
    model = build_model(spec.model, table.shape, seed=0).to(device)
    objective: Objective = spec.objective.build()
    examples = encoded(model, table, train, device)
    snapshots = chosen(job.inputs["snapshots"], spec.snapshots)
    total = torch.zeros(len(train), dtype=torch.float64, device=device)
    for step, path in snapshots:
        model.load_state_dict(read_state(path, str(step)))
        (digests,) = digests_of(model, [examples], objective)
        losses = objective.of_digests.example_losses(digests.double(), examples.y)
        total += losses if spec.score == "loss" else -torch.expm1(-losses)
    scores = (total / len(snapshots)).cpu().numpy()
    log.info("%d snapshots, median %.3g, %d not a number", len(snapshots), np.median(scores), np.isnan(scores).sum())
    write_tensors(job.outputs["difficulty"], {"index": train, "difficulty": scores})
