"""The unlearning methods: one class of settings each. The defaults are the published ones, with their source beside
them.

A study sets what it changes; ``workflow/studies/tuning.md`` says how the laptop study's values were chosen.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import component_union, registry
from grokforget.config.method_settings.base import Count, Decay, Method, Rate, Updates
from grokforget.config.method_settings.language import (
    DPO,
    KL,
    NPO,
    RMU,
    GradientDifference,
    LanguageGradientAscent,
    Preference,
    SimNPO,
    TaskVector,
    Undial,
)
from grokforget.config.method_settings.one_shot import Influence, SelectiveSynapticDampening
from grokforget.config.method_settings.retained import CatastrophicForgetting, ExactUnlearning, L1Sparse, NegGradPlus
from grokforget.config.method_settings.targets import BadTeacher, BoundaryShrink, Delete, RandomLabels, SalUn
from grokforget.config.work import Request, Work, batches


class Original(Method):
    """Nothing is done: the checkpoint as it is."""

    implementation: ClassVar[str] = "grokforget.methods.references:Original"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["original"] = "original"


class Retrain(Method):
    """The reference: the same recipe from scratch on the retain set, at the checkpoint that the same rule selects in
    that run."""

    implementation: ClassVar[str] = "grokforget.methods.references:Retrain"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["retrain"] = "retrain"


class GradientAscent(Updates):
    """Maximise the cross-entropy of the forget set (published: SGD .9 / 5e-4, lr 1e-4, 5 epochs, batch 256)."""

    implementation: ClassVar[str] = "grokforget.methods.descent:GradientAscent"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget",)

    kind: Literal["gradient-ascent"] = "gradient-ascent"
    learning_rate: Rate = 1e-4
    """Of SGD."""
    momentum: Decay = 0.9
    """Of SGD."""
    weight_decay: Decay = 5e-4
    """L2 term of the gradient."""
    epochs: Count = 5
    """Passes over the forget set."""
    batch_size: Count = 256
    """Forget examples of an update."""


class NablaTau(Updates):
    """∇τ (Trippa et al. 2024, arXiv 2403.14339): gradient ascent that stops by itself at the validation loss."""

    implementation: ClassVar[str] = "grokforget.methods.nabla_tau:NablaTau"

    kind: Literal["nabla-tau"] = "nabla-tau"
    learning_rate: Rate = 1e-3
    """AdamW; falls linearly to a tenth over the epochs."""
    weight_decay: Decay = 0.01
    """Decoupled, of AdamW."""
    alpha_factor: float = Field(default=5 / 3, gt=0)
    """α_0 is this times |D_f| / |D|."""
    refresh_epochs: Count = 5
    """Epochs between two measurements of the validation loss."""
    batch_size: Count = 256
    """Forget examples of an update, and as many retain examples."""
    batch_statistics: Literal["moving", "frozen"] = "frozen"
    """As ``moving`` is of other methods; published: ``frozen``, with the whole model in eval mode."""

    def work(self, request: Request) -> Work:
        updates, retain = (batches(n, self.batch_size) for n in (request.forget, request.retain))
        # As many epochs as the method's ``n_epochs``.
        calls = updates * max(3 * retain // updates, 1)
        return Work(calls, 6 * calls * min(self.batch_size, request.forget))


class Scrub(Updates):
    """SCRUB and SCRUB+R (Kurmanji et al. 2023, arXiv 2302.09880); the defaults are the published small-scale setting."""

    implementation: ClassVar[str] = "grokforget.methods.scrub:Scrub"

    kind: Literal["scrub"] = "scrub"
    optimizer: Literal["adam", "sgd"] = "adam"
    """``sgd`` has momentum 0.9."""
    learning_rate: Rate = 5e-4
    """At the start; see ``decay_after``."""
    weight_decay: Decay = 0.1
    """L2 term of the gradient."""
    epochs: Count = 10
    """Passes over the retain set."""
    max_epochs: Count = 3
    """msteps: the first so many epochs begin with a pass over the forget set that drives the student away from the
    teacher."""
    gamma: float = Field(default=1.0, ge=0)
    """γ, weight of the cross-entropy on the retain set."""
    alpha: float = Field(default=0.5, ge=0)
    """α, weight of the distillation on the retain set."""
    temperature: float = Field(default=2.0, gt=0)
    """T, of the distillation."""
    decay_after: list[Count] = Field(default=[5, 8, 9])
    """The learning rate falls to a tenth after each of these epochs, counted from 1."""
    retain_batch_size: Count = 32
    """Retain examples of an update."""
    forget_batch_size: Count = 64
    """Forget examples of an update."""
    rewind: bool = True
    """SCRUB+R: return the epoch whose forget error is closest to the final model's error on the validation examples of
    those classes."""
    ties: Literal["first", "last"] = "first"
    """Of epochs equally close SCRUB+R takes the first, as the authors' code does, or the last."""

    def work(self, request: Request) -> Work:
        calls = self.epochs * batches(request.retain, self.retain_batch_size)
        calls += self.max_epochs * batches(request.forget, self.forget_batch_size)
        # The teacher's pass is a fourth.
        return Work(calls, 4 * (self.epochs * request.retain + self.max_epochs * request.forget))


class FisherForgetting(Method):
    """Fisher forgetting (Golatkar et al. 2020, arXiv 1911.04933): noise in inverse proportion to the retain set's
    Fisher information."""

    implementation: ClassVar[str] = "grokforget.methods.fisher:FisherForgetting"
    in_common: ClassVar[bool] = True

    kind: Literal["fisher"] = "fisher"
    alpha: float = Field(default=1e-6, gt=0)
    """α, scale of the noise variance; published sweep 1e-8 to 1e-5."""
    examples: Count | None = None
    """Retain examples, drawn once, that the Fisher information is taken over, for large data; published: all, null."""

    def work(self, request: Request) -> Work:
        """A pass back for every class."""
        examples = min(self.examples or request.retain, request.retain)
        return Work(request.classes, 3 * request.classes * examples)


class FineTune(Updates):
    """Go on training with cross-entropy on the retain set (published: SGD, lr 0.01, 10 epochs; or .9 / 5e-4 added)."""

    implementation: ClassVar[str] = "grokforget.methods.descent:FineTune"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["fine-tune"] = "fine-tune"
    learning_rate: Rate = 0.01
    """Of SGD."""
    momentum: Decay = 0.0
    """Of SGD."""
    weight_decay: Decay = 0.0
    """L2 term of the gradient."""
    epochs: Count = 10
    """Passes over the retain set."""
    batch_size: Count = 256
    """Retain examples of an update."""


class RelativeAscent(Updates):
    """Gradient ascent on the forget set whose every update is as long as a share of the current weight norm: a control
    beside ``gradient-ascent``, in which neither weight norm nor gradient size decides how far a model moves."""

    implementation: ClassVar[str] = "grokforget.methods.relative_ascent:RelativeAscent"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")
    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("forget",)

    kind: Literal["relative-ascent"] = "relative-ascent"
    share: float = Field(default=0.01, gt=0, le=1)
    """Length of an update as a share of the weight norm."""
    epochs: Count = 5
    """Passes over the forget set."""
    batch_size: Count = 256
    """Forget examples of an update."""


REFERENCES = ("original", "retrain")
"""The kinds that unlearn nothing: a study has each once, under whatever name."""
METHODS = registry(
    Original,
    Retrain,
    GradientAscent,
    NablaTau,
    Scrub,
    FisherForgetting,
    FineTune,
    RelativeAscent,
    RandomLabels,
    SalUn,
    BadTeacher,
    BoundaryShrink,
    Delete,
    NegGradPlus,
    L1Sparse,
    CatastrophicForgetting,
    ExactUnlearning,
    SelectiveSynapticDampening,
    Influence,
    LanguageGradientAscent,
    GradientDifference,
    KL,
    Preference,
    DPO,
    NPO,
    SimNPO,
    RMU,
    Undial,
    TaskVector,
)
MethodSettings = component_union(METHODS)
