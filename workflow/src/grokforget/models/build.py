"""Models from their specs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from grokforget.data.shape import DataShape

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ModelSpec


def build_model(spec: ModelSpec, shape: DataShape, seed: int, files: Sequence[Path] = ()) -> nn.Module:
    """Build and initialise a model, on the CPU, from its ``files`` where it is read from some.

    ``spec.alpha`` is the factor on every initial weight and bias (Omnigrok, arXiv 2210.01117). The weights depend on
    ``seed`` alone; the caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = spec.build(shape, *files)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(spec.alpha)
    return model
