"""A causal language model of a few weights, and pairs of random tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples

VOCABULARY, END, PAD = 13, 0, 1


class TinyCausal(nn.Module):
    """What comes next by all tokens so far, the last ones most; ``shapes`` are those of the inputs that it was given."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = nn.Parameter(torch.randn(VOCABULARY, 16, generator=generator))
        self.output = nn.Parameter(torch.randn(16, VOCABULARY, generator=generator))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        state, states = torch.zeros(len(x), 16), []
        for token in x.T:
            state = torch.tanh(0.7 * state + self.embedding[token])
            states.append(state)
        return torch.stack(states, 1) @ self.output


def generated(model: nn.Module, tokens: list[int], most: int) -> list[int]:
    """Greedy generation, a token and a pass at a time, up to ``END``, with it, or to ``most`` tokens."""
    said: list[int] = []
    while len(said) < most and END not in said:
        said.append(int(model(torch.tensor([tokens + said]))[0, -1].argmax()))
    return said


def pairs_of(prompts: list[list[int]], answers: list[list[int]]) -> Examples:
    """Encoded as a data set does it: ``END`` behind every answer, padded on the right, targets shifted."""
    longest = max(len(prompt) + len(answer) + 1 for prompt, answer in zip(prompts, answers, strict=True))
    x, y = torch.full((len(prompts), longest), PAD), torch.full((len(prompts), longest), IGNORED)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        both = [*prompt, *answer, END]
        x[row, : len(both)] = torch.tensor(both)
        y[row, len(prompt) - 1 : len(both) - 1] = torch.tensor(both[len(prompt) :])
    return Examples(x, y)


def some_pairs(model: nn.Module, n: int, known: float, seed: int = 0) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts of 1 to 4 tokens and answers of 1 to 7: random ones, each token of a share ``known`` being what the model would
    say there."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    prompts, answers = [], []
    for _ in range(n):
        prompt, answer = [draw(2, VOCABULARY) for _ in range(draw(1, 5))], []
        for _ in range(draw(1, 8)):
            token = draw(2, VOCABULARY)
            if draw(0, 1000) < 1000 * known:
                token = max(int(model(torch.tensor([prompt + answer]))[0, -1, 2:].argmax()) + 2, 2)
            answer.append(token)
        prompts.append(prompt)
        answers.append(answer)
    return prompts, answers
