"""Transformer for token pairs (a, b, =) that answers at the last position (Nanda et al. 2023, arXiv 2301.05217).

Only the last position is read out, so the last layer computes only that position: one query, and the MLP on one
position. In the first layer keys and values depend on (token, position) alone, so they are computed once per token and
gathered. With one layer both hold and a training step costs less than a quarter of the all-positions computation
(``tests/benchmarks``). ``forward_plain`` is that plain computation with the same parameters: the tests' reference, and
the form whose layers see examples one by one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from grokforget.data.shape import DataShape
from grokforget.models.linear import Linear


class Block(nn.Module):
    """Causal attention and ReLU MLP, each on a residual stream; no layer norm."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width, bias=False)
        self.key = Linear(width, width, bias=False)
        self.value = Linear(width, width, bias=False)
        self.merge = Linear(width, width, bias=False)
        self.mlp_in = Linear(width, mlp_width)
        self.activation = nn.ReLU()
        self.mlp_out = Linear(mlp_width, width)

    def mlp(self, x: Tensor) -> Tensor:
        return x + self.mlp_out(self.activation(self.mlp_in(x)))

    def split(self, x: Tensor) -> Tensor:
        """(..., T, width) → (..., heads, T, width/heads)"""
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def forward(self, x: Tensor, last_only: bool) -> Tensor:
        """(N, T, width) → (N, T, width), or (N, 1, width) with ``last_only``."""
        length = x.shape[1]
        queries = x[:, -1:] if last_only else x
        q, k, v = self.split(self.query(queries)), self.split(self.key(x)), self.split(self.value(x))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if not last_only:
            future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = scores.masked_fill(future, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.mlp(queries + self.merge(mixed))


class Transformer(nn.Module):
    """``layers`` blocks on token pairs; the "=" of the third position is token number ``vocabulary``."""

    output_layer = "output"

    def __init__(self, shape: DataShape, *, layers: int, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        if not shape.vocabulary:
            raise ValueError("a transformer needs token data, e.g. `modular`; this data set holds images")
        if width % heads:
            raise ValueError(f"width {width} is not divisible by heads {heads}")
        self.length = math.prod(shape.example) + 1
        self.vocabulary = shape.vocabulary
        self.token = nn.Embedding(shape.vocabulary + 1, width)
        self.position = nn.Embedding(self.length, width)
        self.blocks = nn.ModuleList(Block(width, heads, mlp_width) for _ in range(layers))
        self.output = Linear(width, shape.n_classes, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Biases 0, all else N(0, 1/width), whatever the layers draw by themselves."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.normal_(parameter, std=1 / math.sqrt(self.token.embedding_dim))

    def encode(self, x: Tensor) -> Tensor:
        """Tokens as stored, (N, T-1), to int64."""
        return x.long()

    def forward(self, x: Tensor) -> Tensor:
        return self._gathered(x) if len(self.blocks) == 1 else self._layers(x, last_only=True)

    def forward_plain(self, x: Tensor) -> Tensor:
        """The same function, every layer at every position: (N, T-1) → (N, n_classes)."""
        return self._layers(x, last_only=False)

    def per_example_forward(self, x: Tensor) -> Tensor:
        """The same function without tables shared between examples, for per-example gradients."""
        return self._layers(x, last_only=True)

    def embed(self, x: Tensor) -> Tensor:
        """What enters the first block, (N, T, width)."""
        equals = x.new_full((len(x), 1), self.vocabulary)
        position = torch.arange(self.length, device=x.device).expand(len(x), -1)
        embedded: Tensor = self.token(torch.cat([x, equals], dim=1)) + self.position(position)
        return embedded

    def from_embedding(self, stream: Tensor) -> Tensor:
        """Logits from ``embed``'s points."""
        return self._blocks(stream, last_only=True)

    def _layers(self, x: Tensor, last_only: bool) -> Tensor:
        return self._blocks(self.embed(x), last_only)

    def _blocks(self, stream: Tensor, last_only: bool) -> Tensor:
        for number, block in enumerate(self.blocks, start=1):
            stream = block(stream, last_only and number == len(self.blocks))
        return self.output(stream[:, -1:] if last_only else stream)[:, -1]

    def _gathered(self, x: Tensor) -> Tensor:
        """One layer: attention by look-up in tables of V rows a position.

        The query stands at "=" whatever the pair, so the scores too are one number per (token, position, head).
        """
        block: Block = self.blocks[0]  # type: ignore[assignment]
        positions = self.length - 1
        equals = self.token.weight[-1] + self.position.weight[-1]
        tables = self.token.weight[:-1] + self.position.weight[:-1, None]  # (T-1, V, width)
        rows = torch.cat([tables.flatten(0, 1), equals[None]])  # ((T-1) V + 1, width)
        query = block.query(equals).unflatten(0, (block.heads, -1))  # (heads, d)
        keys = block.key(rows).unflatten(-1, (block.heads, -1))
        scores = (keys * query).sum(-1) / math.sqrt(query.shape[-1])  # (rows, heads)
        values = block.value(rows)  # (rows, width)

        offset = torch.arange(positions, device=x.device) * self.vocabulary
        index = torch.cat([x + offset, x.new_full((len(x), 1), len(rows) - 1)], dim=1)  # (N, T)
        attention = nn.functional.embedding(index, scores).softmax(1)  # (N, T, heads)
        gathered = nn.functional.embedding(index, values).unflatten(-1, (block.heads, -1))  # (N, T, heads, d)
        mixed = (attention[..., None] * gathered).sum(1).flatten(1)
        return self.output(block.mlp(equals + block.merge(mixed)))
