"""A small causal language model, and questions with answers of several lengths that it can be given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples

VOCABULARY, PAD = 11, 0


class Block(nn.Module):
    """To every token what the mean of the tokens up to it says."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.linear, self.dropout = nn.Linear(width, width), nn.Dropout(dropout)

    def forward(self, h: Tensor) -> Tensor:
        before = torch.arange(1, h.shape[1] + 1, dtype=h.dtype, device=h.device)[:, None]
        return h + self.dropout(torch.tanh(self.linear(h.cumsum(1) / before)))


class TinyLM(nn.Module):
    """Embeddings, two blocks and a linear output layer: what it says at a token depends on that and on those before it."""

    output_layer = "lm_head"

    def __init__(self, width: int = 6, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(2))
        self.lm_head = nn.Linear(width, VOCABULARY)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)

    def encode(self, x: Tensor) -> Tensor:
        return x.to(torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x)
        for block in self.blocks:
            h = block(h)
        return self.lm_head(h)


def texts(n: int, seed: int, longest: int = 6, width: int | None = None, pad: int = PAD) -> Examples:
    """So many examples of a prompt of 1 to 3 tokens and an answer of 1 to ``longest`` tokens, the last its end; padded on the
    right by ``pad`` to the longest that there could be, or to a ``width``."""
    generator = torch.Generator().manual_seed(seed)
    width = width or 3 + longest
    x = torch.full((n, width), pad)
    y = torch.full((n, width), IGNORED)
    for row in range(n):
        prompt, answer = (int(torch.randint(1, most + 1, (), generator=generator)) for most in (3, longest))
        tokens = torch.randint(1, VOCABULARY, (prompt + answer,), generator=generator)
        x[row, : len(tokens)] = tokens
        # The output at the last token of the prompt has to predict the first of the answer.
        y[row, prompt - 1 : len(tokens) - 1] = tokens[prompt:]
    return Examples(x, y)


def refused(forget: Examples, refusals: int, seed: int) -> Examples:
    """The prompt of each forget example with each of so many answers: example f with answer r is row f · refusals + r."""
    generator = torch.Generator().manual_seed(seed)
    answers = [torch.randint(1, VOCABULARY, (2 + number % 3,), generator=generator) for number in range(refusals)]
    width = forget.x.shape[1] + 4
    x = torch.full((len(forget) * refusals, width), PAD)
    y = torch.full((len(forget) * refusals, width), IGNORED)
    for f in range(len(forget)):
        prompt = forget.x[f, : int((forget.y[f] != IGNORED).nonzero()[0]) + 1]
        for r, answer in enumerate(answers):
            row, n = f * refusals + r, len(prompt) + len(answer)
            x[row, :n] = torch.cat([prompt, answer])
            y[row, len(prompt) - 1 : n - 1] = answer
    return Examples(x, y)
