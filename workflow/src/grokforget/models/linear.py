"""A linear layer that lets the faster of PyTorch's two libraries multiply its matrices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST = 5_000_000
"""Multiplications from which on the other library is worth the way to it, forwards and backwards together."""
LEAST_INPUTS = 64
"""Below so many the way there and back, which goes by inputs and outputs, costs more than any product saves: a language model's
output layer of 48 inputs and 1,000 outputs takes twice the time in oneDNN, and five times without a gradient."""
ZEN_5 = 26
"""AMD's number of the family; that of Zen 3 and Zen 4 is 25."""
LEAST_ROWS = 32
"""So that a function of one example (``torch.func``) is left as it is."""
_allowed = True


class Linear(nn.Linear):
    """``nn.Linear``, whose large products in float32 are oneDNN's where MKL, PyTorch's own choice, is slow.

    That is on AMD's processors that compute 512 bits at once, of which MKL uses the half: there an MLP's layer of 200 on 300
    examples takes .7 of the time, forwards and backwards, a transformer's MLP on 924 examples .54; on those that take AVX-512
    in halves themselves (Zen 4) a training step of the digits MLP takes 1.16. The sums are added in another order, so
    the last bits differ from MKL's; they are the same on every such processor. oneDNN's gradient has no gradient itself:
    what needs that is done within ``twice_differentiable``.
    """

    def forward(self, x: Tensor) -> Tensor:
        large = x.dim() > 1 and len(x) >= LEAST_ROWS and x.numel() * self.out_features >= LEAST
        large = large and self.in_features >= LEAST_INPUTS
        if large and _allowed and suits(x, self.weight):
            return functional.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()
        return super().forward(x)


def suits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can multiply the two, and faster than MKL; under autocast PyTorch has it multiply in bfloat16 itself."""
    both = (x, weight)
    if torch.is_autocast_enabled("cpu"):
        return False
    return onednn_is_faster() and all(t.dtype is torch.float32 and t.device.type == "cpu" for t in both)


@cache
def onednn_is_faster() -> bool:
    """Whether this processor is one of AMD's that computes 512 bits at once."""
    cpuinfo = Path("/proc/cpuinfo")
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.mkl.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and cpuinfo.exists()
        and is_wide_amd(cpuinfo.read_text(encoding="utf-8"))
    )


def is_wide_amd(cpuinfo: str) -> bool:
    """Whether that is what Linux tells of a processor of AMD's of Zen 5 or later."""
    family = re.search(r"^cpu family\s*: (\d+)$", cpuinfo, re.MULTILINE)
    return "AuthenticAMD" in cpuinfo and family is not None and int(family[1]) >= ZEN_5


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Meanwhile all layers compute as ``nn.Linear`` does, so that gradients of gradients can be taken."""
    global _allowed
    before, _allowed = _allowed, False
    try:
        yield
    finally:
        _allowed = before
