"""How hard each training example was to learn."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokforget.data.examples import read_examples
from grokforget.data.loader import Examples
from grokforget.jobs.setup import encoded, use_device
from grokforget.jobs.snapshots import chosen
from grokforget.models.build import build_model
from grokforget.models.states import read_state
from grokforget.runtime.files import write_tensors
from grokforget.runtime.job import Job
from grokforget.training.evaluate import digests_of
from grokforget.training.objective import Objective

if TYPE_CHECKING:
    from grokforget.config.specs.runs import DifficultySpec, LossesSpec

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
    run = FullRun(job)
    snapshots = chosen(job.inputs["snapshots"], job.spec.snapshots)
    total = torch.zeros(len(run.train), dtype=torch.float64, device=run.device)
    for losses in run.losses(snapshots, run.examples):
        total += losses if job.spec.score == "loss" else -torch.expm1(-losses)
    scores = (total / len(snapshots)).cpu().numpy()
    log.info("%d snapshots, median %.3g, %d not a number", len(snapshots), np.median(scores), np.isnan(scores).sum())
    write_tensors(job.outputs["difficulty"], {"index": run.train, "difficulty": scores})


class FullRun:
    """The training examples of a run, and a model to load its snapshots into."""

    def __init__(self, job: Job[DifficultySpec] | Job[LossesSpec]) -> None:
        self.device = use_device(job.spec)
        self.table, split = read_examples(job.input("examples"), job.input("split"))
        self.train = split.train
        self.model = build_model(job.spec.model, self.table.shape, seed=0, files=job.inputs.get("model", ())).to(
            self.device
        )
        self.objective: Objective = job.spec.objective.build()
        self.examples = encoded(self.model, self.table, self.train, self.device)

    def losses(self, snapshots: Sequence[tuple[int, Path]], examples: Examples) -> Iterator[Tensor]:
        """The unlearning loss of each of the examples, (n,) float64, nats, by each snapshot in turn."""
        for step, path in snapshots:
            self.model.load_state_dict(read_state(path, str(step)))
            (digests,) = digests_of(self.model, [examples], self.objective)
            yield self.objective.of_digests.example_losses(digests.double(), examples.y)
