"""The Phi architecture (Microsoft's Phi-1.5, arXiv 2309.05463): a decoder whose attention and MLP stand side by side.

Names and shapes of the weights are those of ``PhiForCausalLM`` of ``transformers``, and so are the outputs: weights go from
one to the other. Pads stand on the right, where the causal attention of what comes before never sees them: there is no mask.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.shape import DataShape
from grokforget.models.linear import Linear

DEVIATION = 0.02
"""Standard deviation of all initial weights."""
THETA = 10_000.0
"""Base of the rotary embedding's wavelengths (Su et al. 2021, arXiv 2104.09864)."""
EPSILON = 1e-5
"""Of the layer norms."""


def rotation(positions: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (positions, size) of the rotary embedding's angles, each for both halves."""
    frequencies = 1 / THETA ** (torch.arange(0, size, 2, device=device).float() / size)
    angles = torch.arange(positions, device=device).float()[:, None] * frequencies
    both = torch.cat([angles, angles], dim=1)
    return both.cos(), both.sin()


def rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """x (N, heads, T, d) with the first numbers of every head turned by their position's angles, the others as they are."""
    turned, kept = x.tensor_split([cosine.shape[1]], dim=-1)
    first, second = turned.chunk(2, dim=-1)
    return torch.cat([turned * cosine + torch.cat([-second, first], dim=-1) * sine, kept], dim=-1)


class Attention(nn.Module):
    """Causal attention with rotary positions in a part of every head."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.dense = (Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        q, k, v = (
            project(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(q, cosine, sine), rotated(k, cosine, sine)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        merged: Tensor = self.dense(mixed.transpose(1, 2).flatten(2))
        return merged


class MLP(nn.Module):
    """One hidden layer with GELU in its approximation by tanh."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.activation_fn, self.fc2 = (
            Linear(width, hidden),
            nn.GELU(approximate="tanh"),
            Linear(hidden, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.activation_fn(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention and MLP of the same normalised stream, both added to it."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(width, heads), MLP(width, hidden)
        self.input_layernorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        entering = self.input_layernorm(x)
        after: Tensor = x + self.self_attn(entering, cosine, sine) + self.mlp(entering)
        return after


class Decoder(nn.Module):
    """All but the output layer: tokens (N, T) to (N, T, width)."""

    def __init__(self, vocabulary: int, layers: int, width: int, heads: int, hidden: int, rotary: int) -> None:
        super().__init__()
        self.rotary = rotary
        self.embed_tokens = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
        self.final_layernorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, embedded: Tensor) -> Tensor:
        cosine, sine = (part.to(embedded.dtype) for part in rotation(embedded.shape[1], self.rotary, embedded.device))
        for layer in self.layers:
            embedded = layer(embedded, cosine, sine)
        out: Tensor = self.final_layernorm(embedded)
        return out


class Phi(nn.Module):
    """A language model of texts: tokens (N, T) to logits (N, T, V) of the next one."""

    output_layer = "lm_head"

    def __init__(
        self, shape: DataShape, *, layers: int, width: int, heads: int, mlp_width: int, partial_rotary: float
    ) -> None:
        super().__init__()
        if not shape.vocabulary:
            raise ValueError("a language model needs texts as tokens; this data set holds none")
        if width % heads or int(partial_rotary * (width // heads)) % 2:
            raise ValueError(
                f"width {width} must be divisible by heads {heads}, and partial_rotary {partial_rotary} of a head even"
            )
        self.model = Decoder(shape.vocabulary, layers, width, heads, mlp_width, int(partial_rotary * (width // heads)))
        self.lm_head = Linear(width, shape.vocabulary)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As ``transformers`` draws them: biases 0, norms 1, all else N(0, ``DEVIATION``²)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=DEVIATION)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def encode(self, x: Tensor) -> Tensor:
        """Tokens as stored, (N, T), to int64."""
        return x.long()

    def embed(self, x: Tensor) -> Tensor:
        """What enters the first block, (N, T, width)."""
        embedded: Tensor = self.model.embed_tokens(x)
        return embedded

    def from_embedding(self, embedded: Tensor) -> Tensor:
        """Logits from ``embed``'s points."""
        logits: Tensor = self.lm_head(self.model(embedded))
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.from_embedding(self.embed(x))
