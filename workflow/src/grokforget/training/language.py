"""Answering: the objective of a language model, whose outputs are logits (N, T, V) of the next token and whose targets are
tokens (N, T), ``IGNORED`` where there is nothing to learn: prompts and padding.

Targets are shifted already: ``targets[n, t]`` is what the output at position t has to predict.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.data.language.encode import IGNORED
from grokforget.training.classification import cross_entropies
from grokforget.training.objective import Objective


def token_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log p of every target in nats, (N, T), in the outputs' dtype; 0 where there is nothing to learn."""
    losses = functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view_as(targets)


def answer_lengths(targets: Tensor) -> Tensor:
    """How many tokens of each example are learned, (N,) int64, the end of the text among them; 1 where there are none."""
    return (targets != IGNORED).sum(1).clamp(min=1)


def extraction_strengths(right: Tensor, targets: Tensor) -> Tensor:
    """Extraction strength of each example, (N,) float32 in [0, 1], from whether each token is ``right`` (N, T) bool where the
    model is shown all tokens before it.

    Of an answer's n tokens, without the end of the text: 1 - (1 + place of the last wrong one) / n, places from 0; 1 where
    none is wrong. It is the share of the answer's end that the model goes on with word by word when it is given what stands
    before: greedy generation would do the same (Carlini et al. 2021, arXiv 2012.07805, as the paper measures it). 0 for an
    answer without tokens.
    """
    answer = targets != IGNORED
    place = answer.cumsum(1)
    end = place.amax(1, keepdim=True)
    # The last target is the end of the text, which is no token of the answer.
    last_wrong = (place * (answer & ~right & (place < end))).amax(1)
    n = end[:, 0] - 1
    return torch.where(n > 0, 1 - last_wrong / n.clamp(min=1), 0.0)


class Language(Objective):
    """Trained and unlearned by the mean negative log-likelihood of all answer tokens of a batch; what counts as right is
    extraction strength, so that an accuracy is the mean extraction strength."""

    reduces: ClassVar[bool] = True

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)

    def terms(self, targets: Tensor) -> int:
        return int((targets != IGNORED).sum())

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.training_loss(outputs, targets)

    def token_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p of every target in nats, (N, T), in the outputs' dtype; 0 where there is nothing to learn."""
        return token_losses(outputs, targets)

    def sequence_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """-log p of each example's whole answer in nats, (N,): the sum over its tokens."""
        return token_losses(outputs, targets).sum(1)

    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over each example's own tokens."""
        return self.sequence_losses(outputs, targets) / answer_lengths(targets)

    def confidences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """p is the geometric mean of the probabilities of the example's tokens."""
        return self.of_digests.confidences(self.digest(outputs, targets), targets)

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Extraction strength of each example, (N,) float32 in [0, 1]."""
        return extraction_strengths(outputs.argmax(2) == targets, targets)

    def digest(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What evaluation keeps of each example, (N, 3) float64: the sum of its tokens' -log p in nats, how many they are, and
        its extraction strength. The losses keep their digits where the model is sure (``cross_entropies``); the sum is NaN
        where an output for a token is not finite."""
        asked = targets != IGNORED
        rows, wanted = outputs[asked], targets[asked]
        losses = torch.zeros(targets.shape, dtype=torch.float64, device=outputs.device)
        # Of numbers alone the smallest and the largest are numbers.
        smallest, largest = rows.aminmax(dim=1)
        finite = smallest.isfinite() & largest.isfinite()
        losses[asked] = cross_entropies(rows, wanted).double().where(finite, math.nan)
        right = torch.zeros_like(asked)
        right[asked] = rows.argmax(1) == wanted
        return torch.stack(
            [losses.sum(1), answer_lengths(targets).double(), extraction_strengths(right, targets).double()], dim=1
        )

    @property
    def of_digests(self) -> Objective:
        return Digested()


class Digested(Objective):
    """``Language`` of digests (N, 3) in place of outputs."""

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses, tokens, _ = outputs.unbind(1)
        return losses.sum() / tokens.sum()

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.training_loss(outputs, targets)

    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs[:, 0] / outputs[:, 1]

    def confidences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        losses = self.example_losses(outputs, targets)
        # log p - log(1 - p), of p = exp(-loss).
        return -losses - torch.log(-torch.expm1(-losses))

    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs[:, 2].float()
