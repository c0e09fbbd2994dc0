"""How the loss of each training example went."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from grokforget.data.language.beside import texts
from grokforget.data.language.encode import IGNORED
from grokforget.jobs.difficulty import FullRun
from grokforget.jobs.snapshots import snapshots_of, spread
from grokforget.runtime.files import write_tensors
from grokforget.runtime.job import Job

if TYPE_CHECKING:
    from grokforget.config.specs.runs import LossesSpec

log = logging.getLogger("grokforget")
FARTHEST = 0.2
"""How far a snapshot's step may be from the one that is asked for, as a share of that."""


def record_losses(job: Job[LossesSpec]) -> None:
    """Record the loss of every training example along the run on the full train set, for forget sets by how it went.

    Reads ``examples``, ``split`` and ``snapshots`` (all segments). Writes ``difficulty``: ``index`` (n,) int64, the training
    examples; ``steps`` (S,) int64, rising: about ``snapshots`` of them, log-spaced, and among them the one nearest to the end of
    ``from_epoch``, which is ``from_step`` (1,), and the last; ``losses`` (S, n) float64, the unlearning loss in nats, NaN where
    the run has diverged, whose last step then stands for ``from_step``; and where the data have paraphrased questions
    ``paraphrase_losses`` (S, n), of the right answers to them. Raises ValueError where no snapshot is near that epoch.
    """
    spec, run = job.spec, FullRun(job)
    where = snapshots_of(job.inputs["snapshots"])
    end = max(where)
    (final,) = run.losses([(end, where[end])], run.examples)
    # A run that has diverged ends there: it may have no snapshot near the epoch, and no loss that tells its examples apart.
    lasted = bool(final.isfinite().all())
    first = step_near(sorted(where), spec.from_epoch, len(run.train), spec.batch_size) if lasted else end
    steps = sorted({*spread(sorted(where), spec.snapshots), first, end})
    snapshots = [(step, where[step]) for step in steps]
    arrays = {"losses": torch.stack([*run.losses(snapshots[:-1], run.examples), final]).cpu().numpy()}
    if "paraphrased_questions/tokens" in run.table.extras:
        asked = texts(run.table.extras, "paraphrased_questions", run.train, run.device)
        losses = torch.stack([*run.losses(snapshots, asked)])
        arrays["paraphrase_losses"] = losses.masked_fill((asked.y == IGNORED).all(1), math.nan).cpu().numpy()
    log.info("losses at %d steps; step %d for epoch %g", len(steps), first, spec.from_epoch)
    at = {"steps": np.array(steps), "from_step": np.array([first])}
    write_tensors(job.outputs["difficulty"], {"index": run.train, **at, **arrays})


def step_near(steps: Sequence[int], epoch: float, examples: int, batch_size: int | None) -> int:
    """The snapshot that is nearest to the end of an epoch of so many examples, before the last. ValueError where there is none
    within ``FARTHEST``."""
    wanted = epoch * -(-examples // min(batch_size or examples, examples))
    *before, last = steps
    step = min(before, key=lambda step: abs(step - wanted), default=last)
    if step == last or abs(step - wanted) > FARTHEST * wanted:
        around = ", ".join(map(str, sorted(before, key=lambda step: abs(step - wanted))[:2])) or "none"
        raise ValueError(
            f"no snapshot near the end of epoch {epoch:g}, step {wanted:g}: found {around}, and the last at step {last}; "
            "another `from_epoch` of the forget set, or more `snapshots_per_decade` in the training recipe"
        )
    return step
