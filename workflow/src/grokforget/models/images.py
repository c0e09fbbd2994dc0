"""What all models have in common that take images: pixels stay as they are stored until the model normalises them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from grokforget.data.shape import DataShape


class ImageModel(nn.Module, ABC):
    """A model of inputs (N, ...) in float32, or of images (N, C, H, W) in uint8, which take a quarter of the memory.

    Of uint8 a model makes points of a real vector space itself, in its own dtype: ``embed`` gives them, ``from_embedding``
    the logits of such points. Floats are points already. The constants are those of the data (``DataShape``) and no part of
    the weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: DataShape) -> None:
        super().__init__()
        for name, values in (("mean", shape.mean), ("std", shape.std)):
            # In units of a pixel, of which there are 256.
            self.register_buffer(name, 255 * torch.tensor(values)[:, None, None], persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """Inputs as stored to inputs as ``forward`` takes them; done once, not every step."""
        return x if x.dtype is torch.uint8 else x.to(torch.float32)

    def embed(self, x: Tensor) -> Tensor:
        """Inputs as points, (N, ...): pixels normalised, floats as they are."""
        return (x.to(self.mean.dtype) - self.mean) / self.std if x.dtype is torch.uint8 else x

    @abstractmethod
    def from_embedding(self, x: Tensor) -> Tensor:
        """Logits (N, K) of points (N, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embedding(self.embed(x))


class ConvolutionalModel(ImageModel):
    """An image model of convolutions, which are faster with channels last: on the digits by a quarter of a training step."""

    def encode(self, x: Tensor) -> Tensor:
        """Images as stored, (N, C, H, W), floats as float32, channels last."""
        return super().encode(x).contiguous(memory_format=torch.channels_last)

    def channels_last(self) -> None:
        """Lay the weights out in memory as the images are; called by the constructor of a model that has all of them."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
