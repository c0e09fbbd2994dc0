"""What a model must know of its data to be built."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DataShape:
    """Shape of one example, number of classes, and for token data the size of the vocabulary (0: the data are no tokens).

    ``mean`` and ``std`` are given where the data are images stored as uint8: what the model normalises them by, a number a
    channel in units of a pixel's whole range, so that it sees (pixel / 255 - mean) / std.
    """

    example: tuple[int, ...]
    n_classes: int
    vocabulary: int = 0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def n_features(self) -> int:
        """Length of one example as a flat vector (one-hot for tokens)."""
        return math.prod(self.example) * (self.vocabulary or 1)

    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width); ValueError where the data are not images."""
        if self.vocabulary or len(self.example) != 3:
            raise ValueError(f"an image model needs examples of shape (channels, height, width), not {self.example}")
        return self.example[0], self.example[1], self.example[2]
