"""Random numbers derived from names: the same (seed, purpose) gives the same stream on every machine, and no two
purposes share one."""

from __future__ import annotations

import hashlib

import numpy as np


def derive_seed(seed: int, *labels: object) -> int:
    """Return a 63-bit seed that depends only on ``seed`` and the labels, in order.

    SHA-256 rather than ``hash``: the latter differs from one Python process to the next.
    """
    text = "\x1f".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, *labels: object) -> np.random.Generator:
    """A NumPy generator for one purpose, e.g. ``numpy_generator(0, "split", "digits")``."""
    return np.random.Generator(np.random.PCG64(derive_seed(seed, *labels)))
