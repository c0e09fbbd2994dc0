"""The exact Fisher diagonal on the digits CNN: K batched backward passes against one for every example and class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.timing import seconds
from grokforget.data.digits import Digits
from grokforget.data.loader import Examples
from grokforget.methods.fisher_diagonal import fisher_diagonal
from grokforget.models.cnn import CNN

EXAMPLES = 200


def run() -> str:
    """Medians: 5 calls of the batched one, one call of the loop."""
    torch.manual_seed(0)
    table = Digits(train=EXAMPLES, validation=500).examples()
    model = CNN(table.shape, channels=[32, 32], kernel_size=3, hidden=128)
    x = model.encode(torch.from_numpy(table.inputs[:EXAMPLES]))
    examples = Examples(x, torch.from_numpy(table.labels[:EXAMPLES]))
    batched, loop = fisher_diagonal(model, examples), looped(model, x)
    error = max(((batched[name] - value).norm() / value.norm()).item() for name, value in loop.items())
    fast, plain = seconds(lambda: fisher_diagonal(model, examples), 5), seconds(lambda: looped(model, x), 1)
    return (
        f"exact Fisher diagonal, digits CNN, n = {EXAMPLES}: batched {fast:.2f} s, loop {plain:.2f} s, "
        f"ratio {fast / plain:.3f} (at most 0.2), largest relative difference {error:.1e}"
    )


def looped(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """1/N Σ_x Σ_y p(y|x) (∂ log p(y|x))², one backward pass a pair (x, y)."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for example in x.split(1):
        log_p = functional.log_softmax(model(example), 1)[0]
        for value in log_p:
            gradients = torch.autograd.grad(value, parameters, retain_graph=True)
            for sum_, gradient in zip(total, gradients, strict=True):
                sum_ += value.exp().detach() * gradient**2
    return {name: sum_ / len(x) for name, sum_ in zip(names, total, strict=True)}
