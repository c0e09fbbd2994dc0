"""What a penalty on a model is, in training: a term beside the loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from grokforget.data.loader import Examples


class Penalty(ABC):
    """A differentiable term that is added to the training loss. Its constructor takes the settings of its registry entry
    as keyword arguments."""

    @abstractmethod
    def __call__(self, model: nn.Module, batch: Examples, *, seed: int, step: int) -> Tensor:
        """The term, a scalar, for update number ``step`` (from 0) of the run with ``seed``: what it draws depends on these
        two alone, so that a run goes on from any step to the same bits."""
