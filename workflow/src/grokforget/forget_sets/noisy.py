"""A request to forget that names some of the wrong examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from grokforget.data.examples import Request, TrainingExamples
from grokforget.runtime.components import ComponentSpec


def noisy(
    train: TrainingExamples, generator: np.random.Generator, *, wrong: float, intended: Mapping[str, Any]
) -> Request:
    """What another rule (a component) picks, with a share ``wrong`` of it replaced by examples that should be retained.

    The share is rounded to a whole number of at least one, and at most as many as should be retained. Both what is left out
    and what takes its place are drawn at random; the request is as large as what was meant.
    """
    meant = ComponentSpec.model_validate(intended).build(train, generator)
    others = np.setdiff1d(np.arange(len(train)), meant)
    errors = min(max(round(wrong * len(meant)), 1), len(others))
    kept = generator.permutation(meant)[errors:]
    mistaken = generator.permutation(others)[:errors]
    return Request(requested=np.sort(np.concatenate([kept, mistaken])), intended=meant)
