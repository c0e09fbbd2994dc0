"""What all jobs that run a model begin with: the device, and the data as the model takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grokforget.data.examples import ExampleTable
from grokforget.data.loader import Examples

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ComputeSpec


def use_device(spec: ComputeSpec) -> torch.device:
    """The device of the spec, with its number of threads set."""
    torch.set_num_threads(spec.threads)
    return torch.device(spec.device)


def encoded(model: Any, table: ExampleTable, index: np.ndarray, device: torch.device) -> Examples:
    """Part of the data set as the model takes it, on the device."""
    x = model.encode(torch.from_numpy(table.inputs[index]))
    return Examples(x.to(device), torch.from_numpy(table.labels[index]).to(device))
