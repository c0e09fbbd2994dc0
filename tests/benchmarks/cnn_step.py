"""A training step of the digits CNN against plain torch with its fused optimizer: what is left is the convolutions'."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.timing import fastest
from grokforget.data.digits import Digits
from grokforget.models.cnn import CNN
from grokforget.training.classification import Classification
from grokforget.training.optimizers import adamw

BATCH = 256


def run() -> str:
    """The least processor time of 15 steps each, in turn: ours, plain ones, and their forward and backward passes alone."""
    torch.manual_seed(0)
    table = Digits(train=BATCH, validation=500).examples()
    ours, plain, alone = (CNN(table.shape, channels=[32, 32], kernel_size=3, hidden=128) for _ in range(3))
    x, y = ours.encode(torch.from_numpy(table.inputs[:BATCH])), torch.from_numpy(table.labels[:BATCH])
    objective = Classification(loss="cross-entropy")
    mine = stepping(ours, adamw(ours.parameters(), 1e-3, 0.1), objective.training_loss, x, y)
    fused = torch.optim.AdamW(plain.parameters(), 1e-3, weight_decay=0.1, fused=True)
    theirs = stepping(plain, fused, nn.functional.cross_entropy, x, y)

    def passes() -> None:
        alone.zero_grad()
        nn.functional.cross_entropy(alone(x), y).backward()

    took, plain_took, passes_took = fastest([mine, theirs, passes], 15)
    return (
        f"CNN step, batch {BATCH}: {1e3 * took:.1f} ms, plain torch with fused AdamW {1e3 * plain_took:.1f} ms, ratio "
        f"{plain_took / took:.2f}; the passes alone, torch's own in both, {1e3 * passes_took:.1f} ms, so that at most "
        f"{plain_took / passes_took:.2f} can be reached"
    )


def stepping(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    return step
