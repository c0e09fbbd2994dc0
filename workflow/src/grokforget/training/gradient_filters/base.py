"""What a gradient filter is, in training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn


class GradientFilter(ABC):
    """Changes the gradients in ``.grad`` before every update. Its constructor takes the settings of its registry entry as
    keyword arguments."""

    memory: dict[str, Tensor]
    """All that it remembers from one update to the next, by name: a part of the running state, with which a run goes on to the
    same bits. Contiguous, for a sum over what lies otherwise in memory has other last bits."""

    def __init__(self) -> None:
        self.memory = {}

    @abstractmethod
    def __call__(self, parameters: Sequence[nn.Parameter]) -> None:
        """Filter the gradients of an update in place: a recorded CUDA graph writes into the same memory again. ``parameters``
        are the model's, the same at every call; those without a gradient are passed over."""
