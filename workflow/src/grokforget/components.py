"""Components of a study (data sets, models, forget sets, methods, measures) from their specs.

A spec names the code as ``package.module:name`` beside the keyword arguments, so that stages need no registry, and a
new entry in a registry touches no stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def load_implementation(path: str) -> Any:
    """The object that ``package.module:name`` names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def build(spec: Mapping[str, Any], *arguments: Any) -> Any:
    """Call the implementation with its settings."""
    return load_implementation(spec["implementation"])(*arguments, **spec["settings"])
