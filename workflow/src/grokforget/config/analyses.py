"""The analyses: one class of settings each. An analysis is a function ``(probe, **settings)`` → ``Value``s, rows of
``analysis.parquet``; ``at`` says of which models: checkpoints before unlearning, results of the methods, or snapshots along
training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Component, component_union, no_repeats, registry
from grokforget.config.models import MODELS, Model
from grokforget.config.work import Request, Work

Moment = Literal["before", "after", "along"]
MODELS_ASKED = (
    "Which models are asked: the checkpoints ``before`` unlearning, what the methods made of them (``after``), snapshots "
    "``along`` training."
)
Moments = Annotated[list[Moment], Field(min_length=1, description=MODELS_ASKED), AfterValidator(no_repeats)]
Names = Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Analysis(Component):
    """Settings of an analysis."""

    needs: ClassVar[str | None] = None
    """``images`` or ``tokens`` where it makes sense for only one of them; it is left out of settings with other data."""
    subject: ClassVar[Literal["request", "run", "either"]] = "request"
    """What it asks about: a ``request`` to forget; the ``run`` itself, once, whatever is forgotten; or ``either``: where nothing
    is forgotten the run itself, whose train set is all retained."""

    at: Moments
    settings: Names | None = None
    """In which settings, or grids of settings; null is all of them."""
    forget_sets: Names | None = None
    """For which of a setting's forget sets; null is all of them."""

    def not_settings(self) -> set[str]:
        """What decides of which models it is done, and not how."""
        return {"at", "settings", "forget_sets"}

    def work(self, request: Request) -> Work:
        """What it computes of one model, about, for the expected cost of a study."""
        return Work(50, 3 * 512)

    def conflict_with(self, model: Model) -> tuple[object, str] | None:
        """What was found and what is allowed, where it cannot ask such a model."""
        return None


class GradientAlignment(Analysis):
    """Cosines between gradients of forget and retain examples, and their norms (Tables 3 and 9)."""

    implementation: ClassVar[str] = "grokforget.analyses.gradient_alignment:gradient_alignment"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["gradient-alignment"] = "gradient-alignment"
    at: Moments = Field(default=["before", "along"])
    examples: Count = 512
    """Examples of either set that the mean gradients are taken over; all where there are no more."""
    batches: Count = 10
    """Mini-batches of either set for the distribution over batches."""
    batch_size: Count = 32
    """Examples of a mini-batch."""
    pairs: Count = 32
    """Examples of either set for the distribution over pairs of examples."""

    def work(self, request: Request) -> Work:
        sets = min(self.examples, request.forget) + min(self.examples, request.retain)
        calls = 2 * (self.batches + self.pairs)
        return Work(calls, 3 * (2 * sets + 2 * self.batches * self.batch_size + 2 * self.pairs))


class CKA(Analysis):
    """Linear CKA between representations of forget and retain examples at every layer (Table 5)."""

    implementation: ClassVar[str] = "grokforget.analyses.cka:cka"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["cka"] = "cka"
    at: Moments = Field(default=["before"])
    examples: Count = 512
    """Rows at most, after matching by class."""
    matchings: Count = 10
    """Random matchings of rows."""


class RepresentationRank(Analysis):
    """Effective rank of the representations of forget and retain examples at every layer."""

    implementation: ClassVar[str] = "grokforget.analyses.representation_rank:representation_rank"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["representation-rank"] = "representation-rank"
    at: Moments = Field(default=["before"])
    examples: Count = 256
    """Rows at most, of both sets as many."""
    draws: Count = 5
    """Random draws from the larger set."""

    def work(self, request: Request) -> Work:
        return Work(4, (1 + self.draws) * min(self.examples, request.forget, request.retain))


class LocalComplexity(Analysis):
    """Local complexity on forget, retain and test points (Table 4; arXiv 2402.15555)."""

    implementation: ClassVar[str] = "grokforget.analyses.local_complexity:local_complexity"
    subject: ClassVar[Literal["request", "run", "either"]] = "either"

    kind: Literal["local-complexity"] = "local-complexity"
    at: Moments = Field(default=["before", "after", "along"])
    points: Count = 64
    """Points of each set; 1024 in arXiv 2402.15555."""
    vertices: int = Field(default=40, ge=2, le=10_000, multiple_of=2)
    """Vertices of the cross-polytope around a point."""
    radius: float = Field(default=0.005, gt=0)
    """Their distance from the point, in units of the model's inputs."""

    def work(self, request: Request) -> Work:
        return Work(6, 3 * self.points * (self.vertices + 1))


class Sharpness(Analysis):
    """How much the loss rises at the distance ρ along its gradient, as sharpness-aware minimisation sees it."""

    implementation: ClassVar[str] = "grokforget.analyses.sharpness:sharpness"
    subject: ClassVar[Literal["request", "run", "either"]] = "either"

    kind: Literal["sharpness"] = "sharpness"
    at: Moments = Field(default=["before", "along"])
    examples: Count = 512
    """Retain examples that the loss is taken over; all where there are no more."""
    radius: float = Field(default=0.05, gt=0)
    """ρ; .05 in arXiv 2010.01412. For the relative measure it is a share of the weight norm."""

    def work(self, request: Request) -> Work:
        return Work(10, 10 * min(self.examples, request.retain))


class OfModules(Analysis):
    """An analysis of a model's modules: of a language model its heads and the neurons of its MLPs."""

    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    def conflict_with(self, model: Model) -> tuple[object, str] | None:
        known = with_heads("language")
        if "language" in model.objectives and model.kind not in known:
            return model.kind, f"a language model whose heads and neurons are known: {', '.join(known)}"
        return None


def with_heads(*objectives: str) -> list[str]:
    """The kinds of models whose heads are modules, for any of these objectives."""
    models = {name: model for name, model in MODELS.items() if getattr(model, "has_heads", False)}
    return [name for name, model in models.items() if set(objectives) & set(model.objectives)]


class ModuleModel(OfModules):
    """Share of active modules p, correlation within a module ρ, and the predicted and the measured correlation of gradients
    (Appendix D)."""

    implementation: ClassVar[str] = "grokforget.analyses.module_model:module_model"

    kind: Literal["module-model"] = "module-model"
    at: Moments = Field(default=["before", "along"])
    module: Literal["unit", "layer"] = "unit"
    """``unit``: a neuron, a channel, an attention head; ``layer``: a whole layer."""
    examples: Count = 32
    """Examples of either set, whose pairs are looked at."""
    active_share: float = Field(default=0.01, ge=0, lt=1)
    """A module is active on an example where its gradient is longer than this share of its longest."""

    def work(self, request: Request) -> Work:
        return Work(4 * self.examples, 12 * self.examples)


class Ablation(OfModules):
    """Accuracy without the modules that are most specific to the forget set, and without as many drawn at random: are they
    independent, as Appendix D assumes?"""

    implementation: ClassVar[str] = "grokforget.analyses.ablation:ablation"

    kind: Literal["ablation"] = "ablation"
    at: Moments = Field(default=["before"])
    units: Annotated[list[Literal["all", "heads", "neurons"]], AfterValidator(no_repeats)] = Field(
        default=["all"], min_length=1
    )
    """Which modules are removed, each by itself: attention heads, neurons (channels among them), all together."""
    shares: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.05, 0.1, 0.2], min_length=1)
    """Shares of all modules to remove."""
    draws: Count = 5
    """Random draws of the baseline."""
    examples: Count = 256
    """Examples of either set that specificity is told from."""
    evaluated: Count = 1024
    """Examples of each set that the accuracy is taken over; all where there are no more."""

    def work(self, request: Request) -> Work:
        looked_at = sum(min(self.evaluated, n) for n in (request.forget, request.retain, request.test))
        calls = 1 + len(self.units) * len(self.shares) * (1 + self.draws)
        return Work(calls, calls * looked_at + 6 * self.examples)

    def conflict_with(self, model: Model) -> tuple[object, str] | None:
        known = with_heads("classification", "language")
        if "heads" in self.units and model.kind not in known:
            return (
                f"units heads of a {model.kind}",
                f"other units, or a model whose heads are modules: {', '.join(known)}",
            )
        return super().conflict_with(model)


class Robustness(Analysis):
    """Accuracy under FGSM and PGD, in float64, and the share of input gradients that are exactly zero."""

    implementation: ClassVar[str] = "grokforget.analyses.robustness:robustness"
    needs: ClassVar[str | None] = "images"

    kind: Literal["robustness"] = "robustness"
    at: Moments = Field(default=["before", "after"])
    radii: Annotated[list[Annotated[float, Field(gt=0)]], AfterValidator(no_repeats)] = Field(
        default=[0.01, 8 / 255], min_length=1
    )
    """ε of the maximum norm, in units of the inputs."""
    steps: Count = 10
    """Of PGD."""
    step_share: float = Field(default=0.25, gt=0)
    """Length of a step of PGD as a share of ε."""
    examples: Count = 128
    """Test examples attacked."""

    def work(self, request: Request) -> Work:
        """In double precision, which takes twice as long."""
        calls = len(self.radii) * (self.steps + 1)
        return Work(2 * calls, 6 * calls * min(self.examples, request.test))


class Relearning(Analysis):
    """Updates of plain training until the forget set is back where the original model had it."""

    implementation: ClassVar[str] = "grokforget.analyses.relearning:relearning"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")

    kind: Literal["relearning"] = "relearning"
    at: Moments = Field(default=["after"])
    updates: Count = 100
    """At most."""
    tolerance: float = Field(default=0.01, ge=0)
    """How far above the original's a forget loss counts as near it, in units of the training loss."""

    def work(self, request: Request) -> Work:
        return Work(self.updates, 4 * self.updates * request.forget)


class Distance(Analysis):
    """Distance to the retrained model: Jensen-Shannon divergence of outputs, and weights."""

    implementation: ClassVar[str] = "grokforget.analyses.distance:distance"

    kind: Literal["distance"] = "distance"
    at: Moments = Field(default=["before", "after"])

    def work(self, request: Request) -> Work:
        return Work(6, 2 * (request.forget + request.retain + request.test))


class OfRun(Analysis):
    """An analysis of snapshots along the run on the full train set: once, also of controls and where nothing is unlearned."""

    subject: ClassVar[Literal["request", "run", "either"]] = "run"

    at: Moments = Field(default=["along"])


class Weights(OfRun):
    """Norm of all weights and of the last layer's; norm, effective and stable rank of every weight matrix."""

    implementation: ClassVar[str] = "grokforget.analyses.weights:weights"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "language", "regression")

    kind: Literal["weights"] = "weights"

    def work(self, request: Request) -> Work:
        return Work(20, 0)


class Fourier(OfRun):
    """Fourier measures of models of modular arithmetic (arXiv 2301.05217): waves in the logits, key frequencies, restricted and
    excluded loss, Gini coefficients."""

    implementation: ClassVar[str] = "grokforget.analyses.fourier:fourier"
    needs: ClassVar[str | None] = "tokens"

    kind: Literal["fourier"] = "fourier"
    share: float = Field(default=0.95, gt=0, le=1)
    """The key frequencies are the fewest that have this share of the power of all waves in the logits of the last snapshot."""

    def work(self, request: Request) -> Work:
        """All pairs twice, and those of the train and test set."""
        pairs = request.classes**2
        return Work(10, 2 * pairs + request.retain + request.test)


class Hessian(OfRun):
    """The largest eigenvalue of the Hessian of the train loss, by power iteration on Hessian-vector products."""

    implementation: ClassVar[str] = "grokforget.analyses.hessian:hessian"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "regression")

    kind: Literal["hessian"] = "hessian"
    examples: Count = 512
    """Training examples that the loss is taken over; all where there are no more."""
    iterations: Count = 100
    """At most; as many once more where they come to a negative curvature, or to none."""
    tolerance: float = Field(default=0.01, gt=0, lt=1)
    """It ends where the eigenvalue is known as exactly as this, relatively."""

    def work(self, request: Request) -> Work:
        """In double precision, which takes twice as long."""
        calls = 2 * self.iterations
        return Work(calls, 6 * calls * min(self.examples, request.retain))


class ActiveUnits(OfRun):
    """The shares of units that are active on an example of the train set and of the test set, and on none of them."""

    implementation: ClassVar[str] = "grokforget.analyses.active_units:active_units"
    objectives: ClassVar[tuple[str, ...]] = ("classification", "regression")

    kind: Literal["active-units"] = "active-units"
    examples: Count = 512
    """Of either set; all where there are no more."""
    threshold: float = Field(default=0.01, ge=0, lt=1)
    """A unit is active where its output's magnitude is above this share of its layer's largest on the example; with 0 where it
    is not 0."""

    def work(self, request: Request) -> Work:
        return Work(4, min(self.examples, request.retain) + min(self.examples, request.test))


ANALYSES = registry(
    GradientAlignment,
    CKA,
    RepresentationRank,
    LocalComplexity,
    Sharpness,
    ModuleModel,
    Ablation,
    Robustness,
    Relearning,
    Distance,
    Weights,
    Fourier,
    Hessian,
    ActiveUnits,
)
AnalysisSettings = component_union(ANALYSES)
