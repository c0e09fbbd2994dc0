"""What a setting's model is trained for: the only place that knows what outputs and targets mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from grokforget.data.loader import Examples


class Objective(ABC):
    """The losses of a model's outputs (N, ...) for targets (N, ...), and what counts as right.

    Training, evaluation, unlearning and the jobs know outputs and targets through it alone. What is by its definition about
    classes reads ``outputs`` as logits (N, K) and ``targets`` as labels (N,) itself, and serves classification only:
    SCRUB's reference error, the distillation of distributions over classes (SCRUB, bad teacher, DELETE), other labels for
    forget examples (random labels, SalUn, boundary shrink), the Fisher diagonal and whole-class forgetting, and the analyses
    of margins, attacks, output distributions, representations by class and single examples' gradients.
    """

    reduces: ClassVar[bool] = False
    """Whether evaluation keeps ``digest``s of a few outputs at a time: of outputs of which a whole set's are too large."""

    def outputs(self, model: nn.Module, examples: Examples) -> Tensor:
        """All of a model's outputs for examples that the losses read, (N, ...)."""
        outputs: Tensor = model(examples.x)
        return outputs

    @abstractmethod
    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the recipe minimises, mean over the examples (of texts over their tokens), a scalar."""

    def terms(self, targets: Tensor) -> int:
        """How many terms the training loss of a batch is the mean of."""
        return len(targets)

    @abstractmethod
    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What unlearning methods ascend and descend, whatever the training loss: the mean negative log-likelihood, nats, a
        scalar."""

    @abstractmethod
    def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The unlearning loss of each example, (N,), in the outputs' dtype: -log p of its target, as membership attacks and
        difficulty read it."""

    @abstractmethod
    def confidences(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """φ = log(p / (1 - p)) of each example, (N,), p being the probability of its target: float64 whatever the outputs'
        dtype, and formed without p, which is 1 to the last digit from φ = 37 on (in float32 from 16)."""

    @abstractmethod
    def correct(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Whether each example is predicted rightly, (N,) bool; or how much of it, float32 in [0, 1]."""

    def digest(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """All that evaluation has to know of outputs, (N, ...)."""
        return outputs

    @property
    def of_digests(self) -> Objective:
        """The same objective, given digests in place of outputs."""
        return self
