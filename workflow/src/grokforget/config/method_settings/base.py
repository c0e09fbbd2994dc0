"""What the settings of several methods share."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from grokforget.config.base import Component

Rate = Annotated[float, Field(gt=0, le=100)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Updates(Component):
    """The settings that all methods share which move a model in many updates."""

    batch_statistics: Literal["moving", "frozen"] = "moving"
    """Of batch norms, during updates: ``moving``, they normalise by the batch and move their running statistics, as the
    published code of all methods but ∇τ does; ``frozen``, they normalise by their running statistics, which stay."""
    updates: Count | None = None
    """The result is the model after so many updates; null: what the method leaves at its end. Its trajectory is recorded to
    the end all the same."""

    def not_settings(self) -> set[str]:
        return {"updates"}
