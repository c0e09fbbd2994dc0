"""The metrics of unlearning: one class of settings each. A metric is a function ``(cell, **settings)`` → columns of
``unlearning.parquet``."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Component, component_union, no_repeats, registry
from grokforget.runtime.components import ComponentSpec


class Metric(Component):
    """Settings of a metric."""

    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")
    """What models it can measure are trained for."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """The libraries beside numpy that decide its numbers."""

    def asks(self) -> dict[str, Any]:
        """What it asks of a language model beside the pairs themselves: settings of ``LanguageOutputs``."""
        return {}


class Accuracy(Metric):
    """Accuracy and mean loss on the forget, retain and test set after unlearning, and the accuracies' drop from the
    original model. The accuracy of a language model is its mean extraction strength."""

    implementation: ClassVar[str] = "grokforget.metrics.accuracy:measure"

    kind: Literal["accuracy"] = "accuracy"


class RetrainGap(Metric):
    """Distance to the retrained reference: mean absolute difference of the three accuracies, and ToW."""

    implementation: ClassVar[str] = "grokforget.metrics.retrain_gap:measure"

    kind: Literal["retrain-gap"] = "retrain-gap"


class UES(Metric):
    """The paper's Unlearning Effectiveness Score, as printed, and its components."""

    implementation: ClassVar[str] = "grokforget.metrics.ues:measure"

    kind: Literal["ues"] = "ues"


class UpdatesToTarget(Metric):
    """Updates until the forget accuracy is at chance, or at the retrained model's, and retain and test accuracy at that
    moment."""

    implementation: ClassVar[str] = "grokforget.metrics.updates_to_target:measure"

    kind: Literal["updates-to-target"] = "updates-to-target"


class Membership(Metric):
    """Loss-based membership inference (SCRUB, arXiv 2302.09880)."""

    implementation: ClassVar[str] = "grokforget.metrics.mia_loss:measure"

    kind: Literal["membership"] = "membership"
    splits: int = Field(default=10, ge=2, le=100)
    """Stratified cross-validation splits; fewer where there are fewer examples."""
    clip: float = Field(default=100.0, gt=0)
    """Losses are clipped to ± this, nats."""


class RequestErrors(Metric):
    """Accuracy on the examples that an erroneous request left out, and on those that it asked for by mistake."""

    implementation: ClassVar[str] = "grokforget.metrics.request_errors:measure"

    kind: Literal["request"] = "request"


class ConfidenceAttack(Metric):
    """Membership inference by a support vector machine on confidences (SalUn, arXiv 2310.12508)."""

    implementation: ClassVar[str] = "grokforget.metrics.mia_confidence:measure"

    kind: Literal["confidence-attack"] = "confidence-attack"
    examples: int = Field(default=200, ge=2, le=20_000)
    """Retain and test examples that it learns from, at most so many of either; the cost grows with their square."""
    folds: int = Field(default=5, ge=2, le=100)
    """Of the cross-validation that tells how good it is."""


class LanguageMetric(Metric):
    """Settings of a metric of answers."""

    objectives: ClassVar[tuple[str, ...]] = ("language",)


class ExtractionStrength(LanguageMetric):
    """Share of an answer's end that is said word by word once what stands before it is given (arXiv 2012.07805)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.extraction_strength:measure"

    kind: Literal["extraction-strength"] = "extraction-strength"


class ExactMemorisation(LanguageMetric):
    """Share of an answer's tokens that are the likeliest after those before them (arXiv 2205.10770)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.exact_memorisation:measure"

    kind: Literal["exact-memorisation"] = "exact-memorisation"


class AnswerProbability(LanguageMetric):
    """Probability of the right answer, normalised by its length (TOFU, arXiv 2401.06121)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.answer_probability:measure"

    kind: Literal["answer-probability"] = "answer-probability"


class Perplexity(LanguageMetric):
    """Perplexity on the answers of the retain set, of held-out questions and of the forget set."""

    implementation: ClassVar[str] = "grokforget.metrics.language.perplexity:measure"

    kind: Literal["perplexity"] = "perplexity"


class Paraphrases(LanguageMetric):
    """Loss and extraction strength of the right answers to paraphrased questions."""

    implementation: ClassVar[str] = "grokforget.metrics.language.paraphrases:measure"

    kind: Literal["paraphrases"] = "paraphrases"

    def asks(self) -> dict[str, Any]:
        return {"paraphrased_questions": True}


class Answering(LanguageMetric):
    """Settings of a metric of what a model says by itself."""

    examples: int = Field(default=40, ge=1)
    """How many pairs of each set, drawn once a request, the model is asked; each takes as many passes as it says tokens. The
    most that any metric asks for counts."""
    stemmer: bool = False
    """Whether words are compared by their stems, as in TOFU's code; needs the library ``rouge-score``. Of all metrics or none."""

    def asks(self) -> dict[str, Any]:
        return {"answered": self.examples, "stemmer": self.stemmer}

    def not_settings(self) -> set[str]:
        """They are of what the model is asked, not of what is made of it."""
        return {"examples", "stemmer"}

    def conflict(self) -> tuple[object, str] | None:
        if self.stemmer and find_spec("rouge_score") is None:
            return (
                "stemmer true without the library rouge-score",
                "stemmer false, which needs no library; or `pip install rouge-score`",
            )
        return None


class RougeL(Answering):
    """Share of the right answer's words that stand, in their order, in what the model says (ROUGE-L recall)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.rouge_l:measure"

    kind: Literal["rouge-l"] = "rouge-l"


Mean = Literal["geometric", "arithmetic"]
WrongAnswers = Annotated[int, Field(ge=1)]


class TruthRatio(LanguageMetric):
    """Whether wrong answers are likelier than the right one in other words (TOFU, arXiv 2401.06121)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.truth_ratio:measure"

    kind: Literal["truth-ratio"] = "truth-ratio"
    mean: Mean = "geometric"
    """Of the wrong answers' probabilities. TOFU's code and open-unlearning's take the geometric mean, the paper's formula says
    the arithmetic one."""
    pairs: WrongAnswers = 400
    """Of how many pairs of each set, drawn once a request, the wrong answers are asked (open-unlearning: 400). The most that
    any metric asks for counts."""

    def asks(self) -> dict[str, Any]:
        return {"wrong_answers": self.pairs}

    def not_settings(self) -> set[str]:
        """It is of what the model is asked, not of what is made of it."""
        return {"pairs"}


class ForgetQuality(TruthRatio):
    """Kolmogorov-Smirnov test of the truth ratios on the forget set against the retrained model's (TOFU, arXiv 2401.06121)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.forget_quality:measure"
    libraries: ClassVar[tuple[str, ...]] = ("scipy",)

    kind: Literal["forget-quality"] = "forget-quality"  # type: ignore[assignment]


class ModelUtility(Answering):
    """Harmonic mean of probability, ROUGE-L recall and truth ratio on what was not to be forgotten (TOFU, arXiv 2401.06121)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.model_utility:measure"

    kind: Literal["model-utility"] = "model-utility"
    splits: Annotated[list[Literal["retain", "test", "real_authors", "world_facts"]], AfterValidator(no_repeats)] = (
        Field(default=["retain", "real_authors", "world_facts"], min_length=1)
    )
    """On which sets. Published: the default; of data without questions about real authors and the world, ``retain`` and
    ``test``."""
    mean: Mean = "geometric"
    """As of ``truth-ratio``."""
    pairs: WrongAnswers = 400
    """As of ``truth-ratio``."""

    def asks(self) -> dict[str, Any]:
        return {**super().asks(), "wrong_answers": self.pairs}

    def not_settings(self) -> set[str]:
        return super().not_settings() | {"pairs"}


class LanguageMembership(LanguageMetric):
    """Membership inference without shadow models: by loss, Min-k % (arXiv 2310.16789), Min-k %++ (arXiv 2404.02936) and the
    ratio to the compressed size (arXiv 2012.07805)."""

    implementation: ClassVar[str] = "grokforget.metrics.language.membership:measure"

    kind: Literal["language-membership"] = "language-membership"
    k: float = Field(default=0.2, gt=0, le=1)
    """Share of an answer's tokens, the least expected ones, that the two look at. Published: .2; open-unlearning on TOFU: .4."""

    def asks(self) -> dict[str, Any]:
        return {"k": self.k}

    def not_settings(self) -> set[str]:
        """It is of what is kept of the model's outputs."""
        return {"k"}


def language_outputs(metrics: Iterable[Metric]) -> ComponentSpec:
    """What the metrics ask of a language model, together. Where two ask for the same, it is the most."""
    settings: dict[str, Any] = {}
    for metric in metrics:
        settings |= {name: max(value, settings.get(name, value)) for name, value in metric.asks().items()}
    return ComponentSpec(implementation="grokforget.jobs.pairs:AskedPairs", settings=settings)


METRICS = registry(
    Accuracy,
    RetrainGap,
    UES,
    UpdatesToTarget,
    Membership,
    ConfidenceAttack,
    RequestErrors,
    ExtractionStrength,
    ExactMemorisation,
    AnswerProbability,
    Perplexity,
    Paraphrases,
    RougeL,
    TruthRatio,
    ForgetQuality,
    ModelUtility,
    LanguageMembership,
)
MetricSettings = component_union(METRICS)
