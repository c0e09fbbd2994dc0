"""What an augmentation of images is, in training: another view of every batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Augmentation(ABC):
    """Makes of the images of a batch those that a model is trained on. Its constructor takes the settings of its registry
    entry as keyword arguments."""

    @abstractmethod
    def __call__(self, images: Tensor, *, seed: int, step: int) -> Tensor:
        """Images (n, C, H, W) as they are stored, before a model normalises them, for update number ``step`` (from 0) of the
        run with ``seed``: others of the same shape, dtype, device and memory format.

        What it draws depends on ``seed``, ``step`` and n alone and is drawn on the CPU: so a run goes on from any step to
        the same bits, and a GPU sees the same images. Nothing waits for a GPU.
        """
