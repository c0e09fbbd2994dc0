"""A loss against how much there is to know: the ratio to a text's compressed size (Carlini et al. 2021, arXiv 2012.07805)."""

from __future__ import annotations

import zlib

import numpy as np


def compressed_bytes(text: str) -> int:
    """Size of a text in UTF-8 as zlib compresses it."""
    return len(zlib.compress(text.encode()))


def zlib_ratio(losses: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """An answer's mean -log p a token, nats, over its compressed size in bytes, as open-unlearning has it: low where the model
    has seen it, as the loss is, but not for being monotonous."""
    return losses / sizes
