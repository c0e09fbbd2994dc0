"""What a model, a method or an analysis computes, in numbers from which its cost is estimated before anything runs."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import NamedTuple


class Extent(NamedTuple):
    """How large a data set is: examples of each part, numbers of an example (one-hot ones of pairs of tokens, the tokens of
    texts) and classes, the bytes of its file, and of texts the vocabulary."""

    train: int
    validation: int
    test: int
    features: int
    classes: int
    stored: int
    vocabulary: int = 0

    @property
    def evaluated(self) -> int:
        """Examples that an evaluation during training is of."""
        return self.train + self.validation + self.test


@dataclass(frozen=True)
class ModelWork:
    """What a model computes of one example: ``flops`` (multiplications and additions of a forward pass), ``parameters``,
    ``kept`` (numbers that the backward pass needs of the forward pass, at least), ``layers`` with weights, and ``frozen``, how
    many of the parameters do not learn and are in no file that is written."""

    flops: int = 0
    parameters: int = 0
    kept: int = 0
    layers: int = 0
    frozen: int = 0

    def __add__(self, other: ModelWork) -> ModelWork:
        return ModelWork(*(ours + theirs for ours, theirs in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> ModelWork:
        return ModelWork(*(number * times for number in astuple(self)))


def linear(n_in: int, n_out: int, *, bias: bool = True, positions: int = 1) -> ModelWork:
    """A linear layer that sees an example at so many positions."""
    return ModelWork(2 * n_in * n_out * positions, n_in * n_out + n_out * bias, n_out * positions, 1)


def convolution(n_in: int, n_out: int, size: int, side: int, *, bias: bool = False) -> ModelWork:
    """A convolution whose outputs are (n_out, side, side)."""
    return linear(n_in * size**2, n_out, bias=bias, positions=side**2)


def norm(channels: int, positions: int) -> ModelWork:
    """A normalisation with weights, which keeps what it is given."""
    return ModelWork(0, 2 * channels, channels * positions, 1)


class Request(NamedTuple):
    """The examples of a request to forget some, and how many classes there are."""

    forget: int
    retain: int
    test: int
    classes: int


class Work(NamedTuple):
    """What a method or an analysis computes of one model: ``calls`` of it, each with a cost of its own however few examples
    there are, and ``passes``, forward passes of one example; a forward and backward pass counts as three."""

    calls: int
    passes: int


def batches(examples: int, size: int) -> int:
    """Batches of a pass over so many examples."""
    return -(-examples // size)
