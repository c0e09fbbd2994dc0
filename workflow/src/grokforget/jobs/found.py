"""Whether a checkpoint is what its name says: noted with its weights, and handed on with what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from grokforget.runtime.files import read_metadata

FOUND = "found"


def metadata_of(found: Mapping[str, bool]) -> dict[str, dict[str, bool]]:
    """The metadata of a file of weights by checkpoint."""
    return {FOUND: {checkpoint: bool(one) for checkpoint, one in found.items()}}


def is_found(weights: Path, checkpoint: str) -> bool:
    """Of a checkpoint in a file of weights, or of the models that a method made of the checkpoints."""
    found: dict[str, bool] = read_metadata(weights)[FOUND]
    return found[checkpoint]
