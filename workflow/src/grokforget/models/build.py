"""Models from their specs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from grokforget.components import build
from grokforget.data.shape import DataShape


def build_model(spec: Mapping[str, Any], shape: DataShape, seed: int) -> nn.Module:
    """Build and initialise a model, on the CPU.

    ``spec`` is a component's with ``alpha`` added, the factor on every initial weight and bias (Omnigrok, arXiv
    2210.01117). The weights depend on ``seed`` alone; the caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = build(spec, shape)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(spec["alpha"])
    return model
