"""The penalties that a recipe can add to its loss: one class of settings each."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component, component_union, registry

Strength = Annotated[float, Field(gt=0, le=1_000_000)]


class TemplateOrthogonality(Component):
    """Orthogonal rows of the output layer, the templates of a max-affine-spline network (Balestriero & Baraniuk 2018, arXiv
    1805.06576)."""

    implementation: ClassVar[str] = "grokforget.training.penalties.template_orthogonality:TemplateOrthogonality"

    kind: Literal["template-orthogonality"] = "template-orthogonality"
    strength: Strength
    """λ."""


class Jacobian(Component):
    """A small Jacobian of the logits at the training inputs (GrokAlign, Walker et al. 2025, arXiv 2506.12284)."""

    implementation: ClassVar[str] = "grokforget.training.penalties.jacobian:Jacobian"

    kind: Literal["jacobian"] = "jacobian"
    strength: Strength
    """λ; published: 1e-3 with cross-entropy, 1e-4 with MSE."""


PENALTIES = registry(TemplateOrthogonality, Jacobian)
PenaltySettings = component_union(PENALTIES)
