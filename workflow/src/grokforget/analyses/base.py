"""What an analysis is given, and what it gives back."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.runtime.seeds import derive_seed
from grokforget.training.evaluate import MOST_TEXTS, digests_of
from grokforget.training.objective import Objective

if TYPE_CHECKING:
    from grokforget.config.training import RecipeSpec


LOOKED_AT = 1024
"""Examples of a set whose outputs tell whether a model is finite: all of a small one, while a pass over all images of a large
one would take longer than many an analysis."""


class Value(NamedTuple):
    """One number of an analysis: ``part`` says of what (a layer's name, say), and is empty for the whole."""

    measure: str
    part: str
    value: float


@dataclass(frozen=True)
class Probe:
    """A model, and the data of the request that it is looked at for.

    ``model`` is in eval mode and float32; an analysis leaves its weights, its mode and its hooks as they were.
    ``examples`` holds ``forget``, ``retain``, ``validation`` and ``test``. ``seed`` is the same for all checkpoints,
    snapshots and methods of a request, so that they are compared on the same draws. ``objective`` and
    ``recipe`` are the setting's. ``original`` is the state before unlearning and ``retrained`` that of the retrained
    reference; both are empty for a snapshot along training.
    """

    model: nn.Module
    examples: Mapping[str, Examples]
    objective: Objective
    seed: int
    recipe: RecipeSpec
    original: Mapping[str, Tensor] = field(default_factory=dict)
    retrained: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Mapping[str, Tensor] = field(default_factory=dict)
    """Of texts by split whom each is about, (N,) int64 on the CPU; of examples with classes their targets say it."""

    def generator(self, *purpose: object) -> torch.Generator:
        """A CPU generator for one purpose, so that a GPU run draws the same numbers."""
        return torch.Generator().manual_seed(derive_seed(self.seed, "analysis", *purpose))

    def some(self, split: str, n: int) -> Examples:
        """``n`` examples of a split drawn without replacement, or all in their order where there are no more than that."""
        examples = self.examples[split]
        return examples if len(examples) <= n else examples[self.sample(split, n)]

    def sample(self, split: str, n: int) -> Tensor:
        """Where the examples that ``some`` gives stand in the split: indices in their order, on the CPU."""
        size = len(self.examples[split])
        if size <= n:
            return torch.arange(size)
        return torch.randperm(size, generator=self.generator(split))[:n].sort().values

    def classes(self, split: str) -> Tensor:
        """The class of each example of a split, (N,) int64: its target, or whom a text is about."""
        examples = self.examples[split]
        return self.labels[split].to(examples.y.device) if are_texts(examples) else examples.y

    @functools.cached_property
    def finite(self) -> bool:
        """Whether every weight of the model is finite, and every output on ``LOOKED_AT`` examples of each set of the request."""
        tensors = [
            *self.model.parameters(),
            *digests_of(self.model, [part[:LOOKED_AT] for part in self.examples.values()], self.objective),
        ]
        return all(bool(tensor.isfinite().all()) for tensor in tensors)

    def double(self) -> nn.Module:
        """A copy of the model in float64 and eval mode."""
        return copy.deepcopy(self.model).double().eval()


def as_double(examples: Examples) -> Examples:
    """Float inputs in float64; tokens as they are."""
    return Examples(examples.x.double() if examples.x.is_floating_point() else examples.x, examples.y)


def are_texts(examples: Examples) -> bool:
    """Whether the targets are tokens (N, T)."""
    return examples.y.dim() > 1 and not examples.y.is_floating_point()


def in_batches(examples: Examples, size: int) -> Iterator[Examples]:
    """All examples in their order, at most ``size`` at a time and of texts ``MOST_TEXTS``, each batch trimmed to its longest; of
    no examples one batch without any."""
    size = min(size, MOST_TEXTS) if are_texts(examples) else size
    return (examples[start : start + size] for start in range(0, max(len(examples), 1), size))


def joined(sets: Sequence[Examples]) -> Examples:
    """One set behind the other; texts are padded to the longest, on the right, where no answer sees what stands there."""
    if not are_texts(sets[0]):
        return Examples(torch.cat([part.x for part in sets]), torch.cat([part.y for part in sets]))
    longest = max(part.y.shape[1] for part in sets)
    x, y = (
        torch.cat([functional.pad(tokens, (0, longest - tokens.shape[1]), value=value) for tokens in kind])
        for kind, value in (([part.x for part in sets], 0), ([part.y for part in sets], IGNORED))
    )
    return Examples(x, y)


def nan_where_diverged(analysis: Callable[..., list[Value]]) -> Callable[..., list[Value]]:
    """An analysis ``(probe, **settings)`` that gives its usual rows with NaN for a model that is not ``finite``.

    Comparisons with NaN are false, and what is counted from them is a number like any other: no neuron changes its sign, and
    every prediction is wrong or right by chance.
    """

    @functools.wraps(analysis)
    def known(probe: Probe, **settings: object) -> list[Value]:
        values = analysis(probe, **settings)
        return values if probe.finite else [value._replace(value=math.nan) for value in values]

    return known
