"""What an augmentation of images is, in training: another view of every batch."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from grokforget.data.loader import on_device


class Augmentation(ABC):
    """Makes of the images of a batch those that a model is trained on. Its constructor takes the settings of its registry
    entry as keyword arguments."""

    @abstractmethod
    def draw(self, n: int, seed: int, step: int) -> Tensor:
        """What is drawn for n images, for update number ``step`` (from 0) of the run with ``seed``: (draws, n), on the CPU.

        It depends on these three alone: so a run goes on from any step to the same bits, and a GPU sees the same images.
        """

    @abstractmethod
    def apply(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Images (n, C, H, W) as they are stored, before a model normalises them, and what was drawn for them, on their
        device: others of the same shape, dtype, device and memory format. Nothing waits for a GPU."""

    def __call__(
        self, images: Tensor, *, seed: int, step: int, part: slice = slice(None), of: int | None = None
    ) -> Tensor:
        """Another view of a batch, or of the images that are the ``part`` of a batch of so many."""
        drawn = self.draw(len(images) if of is None else of, seed, step)[:, part]
        return self.apply(images, on_device(drawn, images.device))
