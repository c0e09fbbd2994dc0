"""Examples as tensors, and the loader that gives training and unlearning their batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from grokforget.data.language.encode import IGNORED
from grokforget.runtime.seeds import derive_seed


def on_device(drawn: Tensor, device: torch.device) -> Tensor:
    """What was drawn on the CPU, on the device, without waiting for what a GPU has still to do."""
    return drawn if device.type == "cpu" else drawn.pin_memory().to(device, non_blocking=True)


@dataclass(frozen=True)
class Examples:
    """Encoded inputs (N, ...) and targets (N, ...), int64 class labels (N,) in classification, float32 numbers (N, 1) in
    regression, on the model's device.

    Where the targets are tokens, (N, T) int64, what is taken out of the examples is trimmed to the longest of it: so every batch
    is.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: Tensor | slice) -> Examples:
        x, y = self.x[index], self.y[index]
        if y.dim() == 1 or y.is_floating_point():
            # Labels, or distributions over classes.
            return Examples(x, y)
        longest = int(lengths_of(y).amax()) if len(y) else 1
        return Examples(x[:, :longest], y[:, :longest])


def lengths_of(targets: Tensor) -> Tensor:
    """How many positions each example of targets (N, T) has up to the last that is learned, (N,) int64, at least 1: what
    stands behind it has no part in anything."""
    place = torch.arange(1, targets.shape[1] + 1, device=targets.device)
    return (place * (targets != IGNORED)).amax(1).clamp(min=1)


class Loader(Protocol):
    """Gives the batches of a data set, wherever its examples lie.

    What is in a batch depends on what the loader was made with and on the number asked for, and on nothing that was asked
    before: so a run goes on from any step to the same bits.
    """

    def batch(self, step: int) -> Examples:
        """The batch of update number ``step`` (from 0), one epoch following another without end."""

    def epoch(self, number: int) -> Iterator[Examples]:
        """All batches of an epoch (from 0); together they hold every example once."""


class DeviceLoader:
    """A loader of examples that lie on the model's device as a whole.

    Epoch e is the permutation of the generator seeded by ``derive_seed(seed, *labels, e)``, cut into batches of
    ``batch_size``; the last, shorter one is kept, unless it holds fewer than ``fewest``: then it joins the one before. With a
    batch size of None every batch is all examples in their own order.
    """

    def __init__(self, examples: Examples, batch_size: int | None, seed: int, *labels: object, fewest: int = 1) -> None:
        self.examples, self.batch_size, self.seed, self.labels = examples, batch_size, seed, labels
        self.per_epoch = 1 if batch_size is None else -(-len(examples) // batch_size)
        if batch_size and self.per_epoch > 1 and 0 < len(examples) % batch_size < fewest:
            self.per_epoch -= 1
        self.current: tuple[int, tuple[Tensor, ...]] | None = None
        """The epoch that was asked for last, and the positions of its batches: drawn once an epoch, not once a step."""

    def batch(self, step: int) -> Examples:
        if self.batch_size is None:
            return self.examples
        number, position = divmod(step, self.per_epoch)
        if self.current is None or self.current[0] != number:
            self.current = number, self.order(number)
        return self.examples[self.current[1][position]]

    def epoch(self, number: int) -> Iterator[Examples]:
        if self.batch_size is None:
            return iter([self.examples])
        return (self.examples[index] for index in self.order(number))

    def order(self, number: int) -> tuple[Tensor, ...]:
        """The positions of an epoch's batches, int64 on the examples' device. Drawn on the CPU, so that a GPU run draws the
        same numbers, and moved once an epoch."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, *self.labels, number))
        order = on_device(torch.randperm(len(self.examples), generator=generator), self.examples.y.device)
        ends = [(self.batch_size or 1) * number for number in range(1, self.per_epoch)]
        return order.tensor_split(ends)


def training_loader(examples: Examples, batch_size: int | None, seed: int, fewest: int = 1) -> Loader:
    """The loader of a training run. A batch as large as the train set is the full batch, which needs no order."""
    whole = batch_size is None or batch_size >= len(examples)
    return DeviceLoader(examples, None if whole else batch_size, seed, "order", fewest=fewest)
