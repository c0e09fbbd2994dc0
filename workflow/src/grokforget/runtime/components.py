"""Components of a study (data sets, models, forget sets, methods, metrics) as data: the code by name, and its settings.

A job loads a component by the name in its spec, so no job imports a registry, and a new row in one touches no job.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict


def load_implementation(path: str) -> Any:
    """The object that ``package.module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


class ComponentSpec(BaseModel):
    """``package.module:name`` of the code, and the keyword arguments that it is called with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    implementation: str
    settings: dict[str, Any] = {}

    def build(self, *arguments: Any) -> Any:
        """Call the implementation with its settings: a class gives the component, a function its answer."""
        return load_implementation(self.implementation)(*arguments, **self.settings)
