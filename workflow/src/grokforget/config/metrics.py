"""The metrics of unlearning: one class of settings each. A metric is a function ``(cell, **settings)`` → columns of
``unlearning.parquet``."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry


class Metric(Component):
    """Settings of a metric."""

    objectives: ClassVar[tuple[str, ...]] = ("classification", "language")
    """What models it can measure are trained for."""


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


METRICS = registry(Accuracy, RetrainGap, UES, UpdatesToTarget, Membership, ConfidenceAttack, RequestErrors)
MetricSettings = component_union(METRICS)
