"""What a model says of every example, as attacks and metrics read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.loader import Examples
from grokforget.training.evaluate import digests_of
from grokforget.training.objective import Objective

if TYPE_CHECKING:
    import pandas as pd


def outputs_by_split(model: nn.Module, splits: Mapping[str, Examples], objective: Objective) -> pd.DataFrame:
    """A row an example, in the order of the splits and of their examples: ``split``, ``label`` and the columns of
    ``per_example``.

    For ``metrics.Cell`` the splits are ``forget``, ``retain`` and ``test``. The model's modes stay as they were.
    """
    import pandas as pd

    parts = [
        pd.DataFrame({"split": split, "label": examples.y.cpu(), **per_example(model, examples, objective)})
        for split, examples in splits.items()
    ]
    return pd.concat(parts, ignore_index=True)


def per_example(model: nn.Module, examples: Examples, objective: Objective) -> dict[str, np.ndarray]:
    """Arrays (n,) in the order of the examples: ``confidence``, float64; ``loss``, the unlearning loss in nats, float64; and
    ``correct``, whether the prediction is right, or how much of it.

    ``confidence`` is φ = log(p / (1 - p)), p being the probability of the right answer, and the loss -log p =
    log(1 + exp(-φ)), which so has all its digits where p is near 1. Both are NaN where an output is not finite.
    """
    (digests,) = digests_of(model, [examples], objective)
    confidence = confidences(digests, examples.y, objective)
    columns = {
        "confidence": confidence,
        # Above the threshold, where exp(-φ) is nothing beside it, softplus is its argument.
        "loss": functional.softplus(-confidence, threshold=40),
        "correct": objective.of_digests.correct(digests, examples.y),
    }
    return {name: value.cpu().numpy() for name, value in columns.items()}


def confidences(digests: Tensor, targets: Tensor, objective: Objective) -> Tensor:
    """φ of each example, (N,) float64; NaN where an output of it is not finite."""
    finite = digests.isfinite().flatten(1).all(1)
    return torch.where(finite, objective.of_digests.confidences(digests, targets), math.nan)
