"""Small convolutional network: (convolution, ReLU, 2x2 max pool) blocks, one hidden layer, linear output."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from grokforget.data.shape import DataShape
from grokforget.models.images import ConvolutionalModel
from grokforget.models.linear import Linear


class CNN(ConvolutionalModel):
    """No batch norm: its statistics would make the initialisation scale meaningless and unlearning in train mode leak."""

    output_layer = "output"

    def __init__(self, shape: DataShape, *, channels: Sequence[int], kernel_size: int, hidden: int) -> None:
        super().__init__(shape)
        n_channels, height, width = shape.image_shape()
        blocks: list[nn.Module] = []
        for n_out in channels:
            blocks += [nn.Conv2d(n_channels, n_out, kernel_size, padding=kernel_size // 2), nn.ReLU(), nn.MaxPool2d(2)]
            n_channels, height, width = n_out, height // 2, width // 2
        if not height or not width:
            raise ValueError(f"{len(channels)} poolings leave nothing of a {shape.image_shape()} image: fewer channels")
        self.features = nn.Sequential(*blocks, nn.Flatten(), Linear(n_channels * height * width, hidden), nn.ReLU())
        self.output = Linear(hidden, shape.n_classes)
        self.channels_last()

    def from_embedding(self, x: Tensor) -> Tensor:
        return self.output(self.features(x))

    def chain(self) -> list[nn.Module]:
        """All modules in the order in which an example passes them."""
        return [*self.features, self.output]
