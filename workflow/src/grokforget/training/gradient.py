"""The gradient that one update of training follows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.cuda_graph import RecordedGradient
from grokforget.training.data_parallel import ALONE, Group
from grokforget.training.objective import Objective
from grokforget.training.penalties.base import Penalty
from grokforget.training.sam import sharpness_aware

if TYPE_CHECKING:
    from grokforget.config.training import RecipeSpec

log = logging.getLogger("grokforget")


class Gradient:
    """Puts into ``.grad`` the gradient of the recipe's loss, its penalty included, where SAM takes it.

    Under ``bfloat16`` the model alone computes in it, by autocast: the loss is that of its outputs in float32, and a penalty
    passes through the model in float32. On a GPU, without penalty and SAM, the passes of all batches of ``whole`` examples
    are recorded as a CUDA graph; the last batch of an epoch may hold others. In a group every process is given its part of
    a batch, and has the gradient of the whole.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        recipe: RecipeSpec,
        seed: int,
        whole: int,
        group: Group = ALONE,
    ) -> None:
        self.group, self.share = group, 1.0
        self.model, self.objective, self.recipe, self.seed, self.whole = model, objective, recipe, seed, whole
        self.penalty: Penalty | None = recipe.penalty.build() if recipe.penalty else None
        # Batches of text are of many lengths, and a recording is of one.
        plain = not (recipe.penalty or recipe.optimizer.sam_rho or group.size > 1 or objective.reduces)
        self.recordable = recipe.cuda_graph and plain
        self.recorded: RecordedGradient | None = None

    def __call__(self, batch: Examples, step: int, of: int | None = None) -> None:
        """Of the batch of update number ``step`` (from 0), or of one whose loss is the mean ``of`` so many terms, of which
        ``batch`` is this process's part."""
        self.share = 1.0 if of is None else self.objective.terms(batch.y) / of
        if self.recordable and len(batch) == self.whole and batch.x.is_cuda:
            self.record(batch)
        if self.recorded and len(batch) == self.whole:
            self.recorded(batch)
        elif self.recipe.optimizer.sam_rho:
            sharpness_aware(self.model, self.recipe.optimizer.sam_rho, lambda: self.passes(batch, step))
        else:
            self.passes(batch, step)

    def passes(self, batch: Examples, step: int) -> None:
        """Forward and backward at the weights as they are."""
        self.model.zero_grad()
        loss = self.loss(batch)
        if self.penalty:
            loss = loss + self.penalty(self.model, batch, seed=self.seed, step=step)
        if self.group.size > 1:
            # Not the gradient: what one process's loss is to another one's statistics goes through the backward pass. Of no
            # examples the loss is NaN and its gradient 0.
            loss = loss * self.share
        loss.backward()
        self.group.sum_gradients(self.model)

    def loss(self, batch: Examples) -> Tensor:
        """The training loss, a scalar, float32."""
        if self.recipe.precision == "float32":
            return self.judged(self.objective.outputs(self.model, batch), batch.y)
        with torch.autocast(batch.x.device.type, getattr(torch, self.recipe.precision)):
            outputs = self.objective.outputs(self.model, batch)
        return self.judged(outputs.float(), batch.y)

    def judged(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss of outputs."""
        return self.objective.training_loss(outputs, targets)

    def record(self, batch: Examples) -> None:
        """Once, also where a run goes on from a shorter batch. A model that cannot be recorded is trained kernel by kernel,
        slower and no other."""
        self.recordable = False
        try:
            self.recorded = RecordedGradient(self.model, self.loss, batch)
        except RuntimeError as error:
            log.warning("no CUDA graph of this model, whose steps are launched kernel by kernel: %s", error)
