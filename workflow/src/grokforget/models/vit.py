"""Vision transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), small: patches, blocks with layer norm in front, mean, output.

The mean over positions in place of a class token, as in arXiv 2205.01580. The attention is written out, of linear layers that
see every example: torch's own has weights that no layer's inputs and outputs tell of, and its fast form has no second
derivative.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grokforget.data.shape import DataShape
from grokforget.models.images import ImageModel
from grokforget.models.linear import Linear
from grokforget.models.transformer import Block

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU}


class EncoderBlock(Block):
    """Attention of every position to all, and an MLP, each behind a layer norm and on a residual stream."""

    def __init__(self, width: int, heads: int, mlp_width: int, activation: str) -> None:
        super().__init__(width, heads, mlp_width)
        self.activation = ACTIVATIONS[activation]()  # type: ignore[assignment]
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, last_only: bool = False) -> Tensor:
        """(N, T, width) → (N, T, width)"""
        normed = self.attention_norm(x)
        q, k, v = self.split(self.query(normed)), self.split(self.key(normed)), self.split(self.value(normed))
        shares = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)
        x = x + self.merge((shares @ v).transpose(1, 2).flatten(2))
        return x + self.mlp_out(self.activation(self.mlp_in(self.mlp_norm(x))))


class ViT(ImageModel):
    """``depth`` blocks on the patches of an image, to each of which an embedding of its position is added."""

    output_layer = "output"

    def __init__(
        self, shape: DataShape, *, patch: int, width: int, depth: int, heads: int, mlp_ratio: float, activation: str
    ) -> None:
        super().__init__(shape)
        channels, height, width_in_pixels = shape.image_shape()
        if height % patch or width_in_pixels % patch:
            raise ValueError(
                f"images of {height}x{width_in_pixels} pixels cannot be cut into patches of {patch}x{patch}"
            )
        self.positions = (height // patch) * (width_in_pixels // patch)
        self.patch_size = patch
        self.patch = Linear(channels * patch * patch, width)
        self.position = nn.Embedding(self.positions, width)
        self.blocks = nn.Sequential(
            *(EncoderBlock(width, heads, round(mlp_ratio * width), activation) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.output = Linear(width, shape.n_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform weights and biases of 0 in linear layers, N(0, .02²) in the embedding of positions."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.position.weight, std=0.02)

    def from_embedding(self, x: Tensor) -> Tensor:
        n, size = len(x), self.patch_size
        patches = x.unfold(2, size, size).unfold(3, size, size)  # (N, C, rows, columns, size, size)
        patches = patches.permute(0, 2, 3, 1, 4, 5).reshape(n, self.positions, -1)
        # Every example looks its positions up, so that its gradient is told by the layer's inputs and outputs.
        where = torch.arange(self.positions, device=x.device).expand(n, -1)
        stream = self.blocks(self.patch(patches) + self.position(where))
        return self.output(self.norm(stream).mean(1))

    def chain(self) -> list[nn.Module]:
        """Its parts in the order in which an example passes them."""
        return [self.patch, self.position, *self.blocks, self.norm, self.output]
