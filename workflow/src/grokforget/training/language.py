"""Answering: the objective of a language model, whose outputs are logits (N, T, V) of the next token and whose targets are
tokens (N, T), ``IGNORED`` where there is nothing to learn: prompts and padding.

Targets are shifted already: ``targets[n, t]`` is what the output at position t has to predict. Outputs may be those of the
tokens to learn alone, (tokens, V), one text behind the other: ``outputs`` asks the model for no others.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.metrics.language.answers import without_end
from grokforget.metrics.language.extraction_strength import extraction_strength
from grokforget.training.answer_logits import answer_logits, rows_of
from grokforget.training.classification import surprise
from grokforget.training.objective import Objective


def token_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """-log p of every target in nats, (N, T), in the outputs' dtype; 0 where there is nothing to learn."""
    asked = targets != IGNORED
    losses = functional.cross_entropy(rows_of(outputs, asked), targets[asked], reduction="none")
    return torch.zeros_like(targets, dtype=losses.dtype).masked_scatter(asked, losses)


def answer_lengths(targets: Tensor) -> Tensor:
    """How many tokens of each example are learned, (N,) int64, the end of the text among them; 1 where there are none."""
    return (targets != IGNORED).sum(1).clamp(min=1)


def judged_tokens(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Of every target its -log p in nats, (N, T) float64, and whether it is the likeliest token, (N, T) bool; 0 and False where
    there is nothing to learn. The losses keep their digits where the model is sure (``cross_entropies``), and are NaN where an
    output for the token is not finite."""
    asked = targets != IGNORED
    rows, wanted = rows_of(outputs, asked), targets[asked]
    own = rows.gather(1, wanted[:, None])
    others = rows.scatter(1, wanted[:, None], -math.inf)
    # Of numbers alone the sum is a number, but where it is too large for one: no output of use is.
    finite = rows.sum(1).isfinite()
    losses = torch.zeros(targets.shape, dtype=torch.float64, device=outputs.device)
    losses[asked] = surprise(own[:, 0], others).double().where(finite, math.nan)
    largest = others.amax(1)
    likeliest = own[:, 0] > largest
    # Of equal ones the first counts, as ``argmax`` has it.
    equal = (own[:, 0] == largest).nonzero()[:, 0]
    likeliest[equal] = rows[equal].argmax(1) == wanted[equal]
    right = torch.zeros_like(asked)
    right[asked] = likeliest
    return losses, right


class Language(Objective):
    """Trained and unlearned by the mean negative log-likelihood of all answer tokens of a batch; what counts as right is
    extraction strength, so that an accuracy is the mean extraction strength."""

    reduces: ClassVar[bool] = True

    def outputs(self, model: nn.Module, examples: Examples) -> Tensor:
        return answer_logits(model, examples.x, examples.y != IGNORED)

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        asked = targets != IGNORED
        return functional.cross_entropy(rows_of(outputs, asked), targets[asked])

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
        return extraction_strength(judged_tokens(outputs, targets)[1], without_end(targets != IGNORED))

    def digest(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What evaluation keeps of each example, (N, 3) float64: the sum of its tokens' -log p in nats, how many they are, and
        its extraction strength. The sum is NaN where an output for a token is not finite."""
        losses, right = judged_tokens(outputs, targets)
        strengths = extraction_strength(right, without_end(targets != IGNORED))
        return torch.stack([losses.sum(1), answer_lengths(targets).double(), strengths.double()], dim=1)

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
