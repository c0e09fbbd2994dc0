"""Multi-layer perceptron on images or on one-hot encoded tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.shape import DataShape
from grokforget.models.images import ImageModel
from grokforget.models.linear import Linear


class Square(nn.Module):
    """x², the activation with which a two-layer net can do modular addition exactly (Gromov 2023, arXiv 2301.02679)."""

    degree = 2
    """(s x)² = s² x²; see ``models/rescale.py``."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "quadratic": Square}


class MLP(ImageModel):
    """``len(hidden)`` hidden layers of one activation, then a linear output layer.

    ``initialisation``: ``default`` is PyTorch's (uniform, 1/√fan_in); ``normal`` is N(0, 1)/√fan_in, without bias.
    """

    output_layer = "output"

    def __init__(
        self, shape: DataShape, *, hidden: Sequence[int], activation: str, bias: bool, initialisation: str
    ) -> None:
        super().__init__(shape)
        self.vocabulary = shape.vocabulary
        widths = [shape.n_features, *hidden]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [Linear(n_in, n_out, bias=bias), ACTIVATIONS[activation]()]
        self.features = nn.Sequential(*layers)
        self.output = Linear(widths[-1], shape.n_classes, bias=bias)
        self.initialisation = initialisation
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw what the layers do not draw by themselves."""
        if self.initialisation == "normal":
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features))

    def encode(self, x: Tensor) -> Tensor:
        """Inputs as stored, (N, ...) floats or (N, 2) tokens, to float32 (N, n_features); uint8 images as they are."""
        if self.vocabulary:
            x = functional.one_hot(x.long(), self.vocabulary)
        return x if x.dtype is torch.uint8 else x.flatten(1).to(torch.float32)

    def from_embedding(self, x: Tensor) -> Tensor:
        return self.output(self.features(x.flatten(1)))

    def chain(self) -> list[nn.Module]:
        """All modules in the order in which an example passes them."""
        return [*self.features, self.output]
