"""What the settings of several methods share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component
from grokforget.config.work import Request, Work, batches

if TYPE_CHECKING:
    from grokforget.config.models import Model

Rate = Annotated[float, Field(gt=0, le=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Method(Component):
    """Settings of a method."""

    in_common: ClassVar[bool] = False
    """Whether most of its work is done once for all candidates of its hyper-parameter."""

    def work(self, request: Request) -> Work:
        """What it computes from one checkpoint, about, for the expected cost of a study: nothing, or too little to count."""
        return Work(0, 0)

    def conflict_with(self, model: Model) -> tuple[object, str] | None:
        """What was found and what is allowed, where it cannot unlearn such a model."""
        return None


class Steps(Method):
    """The setting that all methods share which move a model in many updates."""

    updates: Count | None = None
    """The result is the model after so many updates; null: what the method leaves at its end. Its trajectory is recorded to
    the end all the same."""

    def not_settings(self) -> set[str]:
        return {"updates"}


class Updates(Steps):
    """Those of them that may meet batch norms: all of classification."""

    passes_over: ClassVar[tuple[Literal["forget", "retain"], ...]] = ("retain",)
    """The sets that an epoch is a pass over, each in batches of its own."""

    batch_statistics: Literal["moving", "frozen"] = "moving"
    """Of batch norms, during updates: ``moving``, they normalise by the batch and move their running statistics, as the
    published code of all methods but ∇τ does; ``frozen``, they normalise by their running statistics, which stay."""

    def work(self, request: Request) -> Work:
        """Of those that have ``epochs`` and one size of batches."""
        epochs = int(getattr(self, "epochs", 1))
        size = int(getattr(self, "batch_size", 0) or getattr(self, "retain_batch_size", 1))
        sets: list[int] = [getattr(request, name) for name in self.passes_over]
        return Work(epochs * sum(batches(n, size) for n in sets), 3 * epochs * sum(sets))
