"""Settings of the methods that give the forget examples other targets: labels, or a teacher's distribution over classes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.method_settings.base import Count, Decay, Rate, Updates
from grokforget.config.work import Request, Work, batches


class RandomLabels(Updates):
    """Learn wrong labels for the forget set and the right ones for the retain set, in turns. The defaults are those of
    SalUn's authors' code (github.com/OPTML-Group/Unlearn-Saliency), which draws anew in every epoch, and from all classes;
    here as in Graves et al. 2021 (arXiv 2010.10981) the true one is never drawn."""

    implementation: ClassVar[str] = "grokforget.methods.random_labels:RandomLabels"
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget", "retain")

    kind: Literal["random-labels"] = "random-labels"
    learning_rate: Rate = 0.01
    """Of SGD."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: Decay = 5e-4
    """L2 term of the gradient."""
    epochs: Count = 10
    """Each a pass over the forget set, with labels of its own, and then one over the retain set."""
    batch_size: Count = 256
    """Examples of an update, of the one set or the other."""


class SalUn(Updates):
    """SalUn (Fan et al. 2024, arXiv 2310.12508): random labels, learned by those weights alone on which the forget loss
    depends most."""

    implementation: ClassVar[str] = "grokforget.methods.salun:SalUn"
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget", "retain")

    kind: Literal["salun"] = "salun"
    salient_share: float = Field(default=0.5, gt=0, le=1)
    """Share of all weights that may move: those with the largest gradient of the forget loss. Published: 0.5."""
    learning_rate: Rate = 0.013
    """Of SGD."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: Decay = 5e-4
    """L2 term of the gradient, of the weights that may move."""
    epochs: Count = 10
    """Each a pass over the forget set, with labels of its own, and then one over the retain set."""
    batch_size: Count = 256
    """Examples of an update, of the one set or the other."""


class BadTeacher(Updates):
    """Bad teacher (Chundawat et al. 2023, arXiv 2205.08096): the student learns the outputs of a network that was never
    trained on the forget set, and the original's on a part of the retain set."""

    implementation: ClassVar[str] = "grokforget.methods.bad_teacher:BadTeacher"

    kind: Literal["bad-teacher"] = "bad-teacher"
    learning_rate: Rate = 1e-4
    """Of Adam."""
    epochs: Count = 1
    """Passes over the forget set and the part of the retain set together."""
    retain_share: float = Field(default=0.3, ge=0, le=1)
    """Share of the retain set that takes part, the same in all epochs. Published: 0.3."""
    batch_size: Count = 256
    """Examples of an update, of both sets mixed."""

    def work(self, request: Request) -> Work:
        examples = request.forget + int(self.retain_share * request.retain)
        # The two teachers' passes are a fourth and a fifth.
        return Work(self.epochs * batches(examples, self.batch_size), 5 * self.epochs * examples)


class BoundaryShrink(Updates):
    """Boundary shrink (Chen et al. 2023, arXiv 2303.11570): learn for every forget example the wrong class nearest to it.
    The defaults are those of the authors' code."""

    implementation: ClassVar[str] = "grokforget.methods.boundary_shrink:BoundaryShrink"
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget",)

    kind: Literal["boundary-shrink"] = "boundary-shrink"
    bound: float = Field(default=0.1, gt=0, le=1)
    """Length of the step towards the neighbour, in every input, as a share of the inputs' range (of their channel's, for
    images). Published: 0.1 in pixels from 0 to 1."""
    learning_rate: Rate = 1e-5
    """Of SGD."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: Decay = 0.0
    """L2 term of the gradient."""
    epochs: Count = 10
    """Passes over the forget set."""
    batch_size: Count = 64
    """Forget examples of an update."""


class Delete(Updates):
    """DELETE (Zhou et al. 2025, arXiv 2503.23751): learn for the forget set what the original says of the other classes,
    its own class left out. The defaults are those of the authors' code for CIFAR-10 (github.com/shaaaaron/DELETE)."""

    implementation: ClassVar[str] = "grokforget.methods.delete:Delete"
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget",)

    kind: Literal["delete"] = "delete"
    learning_rate: Rate = 1e-3
    """Of SGD."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: Decay = 0.0
    """L2 term of the gradient."""
    epochs: Count = 20
    """Passes over the forget set."""
    batch_size: Count = 128
    """Forget examples of an update."""
