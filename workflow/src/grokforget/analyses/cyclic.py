"""Data that are pairs of elements of a cyclic group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe


@dataclass(frozen=True)
class Cyclic:
    """The answer to a pair of tokens with places i and j in Z_n stands at i + ``sign``·j.

    ``tokens`` (n,) int64 is the token at each place, ``places`` (tokens,) int64 the place of each token, -1 where it has none.
    """

    tokens: Tensor
    places: Tensor
    sign: int

    @property
    def n(self) -> int:
        return len(self.tokens)

    def answer(self, pairs: Tensor) -> Tensor:
        """The answer's place, (N,), of pairs of places (N, 2)."""
        return (pairs[:, 0] + self.sign * pairs[:, 1]) % self.n


def cyclic_task(probe: Probe) -> Cyclic | None:
    """The group of which all validation and test examples are, whose labels have no noise; None where there is none.

    Tried are a + b and a - b of residues modulo the number of tokens, and where that is a prime p, a·b and a/b of those that are
    not 0, of which g^i, g being the smallest primitive root, has the place i in Z_(p-1). Pairs with a token without a place tell
    nothing.
    """
    known = [probe.examples[name] for name in ("validation", "test") if len(probe.examples[name])]
    vocabulary = getattr(probe.model, "vocabulary", 0)
    if not known or vocabulary < 3 or tokens_of(probe.model, known[0].x).shape[1:] != (2,):
        return None
    tokens = torch.cat([tokens_of(probe.model, part.x) for part in known]).cpu()
    labels = torch.cat([part.y for part in known]).cpu()
    for task in tasks(vocabulary):
        pairs = task.places[tokens]
        told = (pairs >= 0).all(1)
        if told.any() and (task.tokens[task.answer(pairs[told])] == labels[told]).all():
            return task
    return None


def tasks(p: int) -> Iterator[Cyclic]:
    """All that are tried of so many tokens."""
    residues = torch.arange(p)
    powers = powers_of_primitive_root(p)
    orders = [residues] + ([torch.tensor(powers)] if powers else [])
    for order in orders:
        places = torch.full((p,), -1)
        places[order] = torch.arange(len(order))
        yield from (Cyclic(order, places, sign) for sign in (1, -1))


def powers_of_primitive_root(p: int) -> list[int]:
    """g^0, ..., g^(p-2) modulo a prime p for the smallest g of which they are all residues but 0; nothing for other p."""
    for g in range(2, p):
        powers = [1]
        while (power := powers[-1] * g % p) not in (0, 1) and len(powers) < p:
            powers.append(power)
        if len(powers) == p - 1:
            return powers
    return []


def tokens_of(model: nn.Module, x: Tensor) -> Tensor:
    """Tokens (N, T) int64 of inputs as a model has encoded them: as they are, or one-hot vectors in a row."""
    if not x.is_floating_point():
        return x
    vocabulary = int(getattr(model, "vocabulary", 0))
    if not vocabulary or x.dim() != 2 or x.shape[1] % vocabulary:
        return x.new_zeros(len(x), 0, dtype=torch.int64)
    return x.unflatten(1, (-1, vocabulary)).argmax(-1)
