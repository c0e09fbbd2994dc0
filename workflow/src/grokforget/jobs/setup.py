"""What all jobs that run a model begin with: the device, how the processor computes, and the data as the model takes them."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from grokforget.data.examples import ExampleTable
from grokforget.data.loader import Examples

if TYPE_CHECKING:
    from grokforget.config.specs.runs import ComputeSpec

MALLOPT = {"M_TRIM_THRESHOLD": (-1, 2**30), "M_MMAP_THRESHOLD": (-3, 2**25)}
"""Parameters of glibc's ``mallopt`` and their values, bytes; 32 MB is the most that every version takes for the second."""


def use_device(spec: ComputeSpec) -> torch.device:
    """The device of the spec, with its number of threads set.

    Numbers too small for float32's full precision (below 1.2e-38) become 0 where the processor can do that: the moments
    of AdamW get there where a weight has no gradient, as behind a pixel that is always empty, and many processors compute
    with them a hundred times slower. No weight of the laptop study's recipes differs in a bit for it.
    """
    torch.set_num_threads(spec.threads)
    torch.set_flush_denormal(True)
    keep_freed_memory()
    if spec.device == "cuda":
        compute_exactly()
    return torch.device(spec.device)


def compute_exactly() -> None:
    """Have a GPU compute in the precision that is asked for, and the same every time.

    cuDNN would by itself compute float32 convolutions in TF32, with 10 bits of mantissa: then neither forgetting nor a
    gradient were those of a CPU within any useful tolerance. Of its algorithms it takes those that add up in one order, and
    chooses them by rule: timing them (``benchmark``) may choose others in every process, and a resumed run were another.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def keep_freed_memory() -> None:
    """Let the process keep the memory that tensors leave behind, for the next ones, where the C library is glibc.

    By itself it gives freed memory back to the system, which then has to clear it, page by page, for the same tensors of
    the next step: 500 page faults in every training step of the laptop study's CNN, up to a quarter of its time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for parameter, value in MALLOPT.values():
        mallopt(parameter, value)


def encoded(model: Any, table: ExampleTable, index: np.ndarray, device: torch.device) -> Examples:
    """Part of the data set as the model takes it, on the device, with its targets: the labels where it has no others."""
    x = model.encode(torch.from_numpy(table.inputs[index]))
    targets = table.labels if table.targets is None else table.targets
    return Examples(x.to(device), torch.from_numpy(targets[index]).to(device))
