"""What a model says of every example, as the table that metrics read."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from torch import nn

from grokforget.data.loader import Examples
from grokforget.training.evaluate import logits_of
from grokforget.training.objective import Objective


def outputs_by_split(model: nn.Module, splits: Mapping[str, Examples], objective: Objective) -> pd.DataFrame:
    """A row an example, in the order of the splits and of their examples: ``split``, ``label``, ``loss`` (unlearning loss,
    nats, in the outputs' dtype) and ``correct``.

    For ``metrics.Cell`` the splits are ``forget``, ``retain`` and ``test``. The model's modes stay as they were.
    """
    return pd.concat([_rows(model, split, part, objective) for split, part in splits.items()], ignore_index=True)


def _rows(model: nn.Module, split: str, examples: Examples, objective: Objective) -> pd.DataFrame:
    outputs = logits_of(model, examples.x)
    columns = {
        "label": examples.y,
        "loss": objective.example_losses(outputs, examples.y),
        "correct": objective.correct(outputs, examples.y),
    }
    return pd.DataFrame({"split": split, **{name: value.cpu().numpy() for name, value in columns.items()}})
