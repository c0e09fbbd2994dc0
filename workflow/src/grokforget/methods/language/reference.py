"""What the model says before any update, once a request: in eval mode, and in batches trimmed to their longest example."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.language.paired import language_of
from grokforget.training.evaluate import MOST_TEXTS, reduced
from grokforget.training.modes import in_eval_mode


def log_likelihoods(problem: Problem, examples: Examples) -> Tensor:
    """log p_ref of each whole answer, (N,)."""
    return -reduced(problem.model, examples, language_of(problem).sequence_losses)


States = Mapping[int, Tensor]
"""By row of a set of examples, what a module was given or gave at each of the example's answer tokens, (tokens, width)."""


def gathered(found: States, rows: Tensor) -> Tensor:
    """Of all answer tokens of these rows, one example behind the other, (tokens, width)."""
    return torch.cat([found[row] for row in rows.tolist()])


@torch.no_grad()
def states(model: nn.Module, examples: Examples, rows: Tensor, module: str, side: Literal["input", "output"]) -> States:
    """What the ``module`` of that name is given, or gives, at the answer tokens of the examples in these rows."""
    found: dict[int, Tensor] = {}
    with in_eval_mode(model), watched(model, module, side) as seen:
        for some in rows.unique().split(MOST_TEXTS):
            part = examples[some]
            model(part.x)
            answer = part.y != IGNORED
            # Copies, or each would hold the whole batch.
            kept = [one.clone() for one in seen.pop()[answer].split(answer.sum(1).tolist())]
            found |= dict(zip(some.tolist(), kept, strict=True))
    return found


class OutputStates:
    """Logits of the model as it was, at answer tokens, from what its output layer was given there: a vocabulary's width takes
    a hundred times the memory of a layer's, and one layer's pass is a small part of the model's."""

    def __init__(self, model: nn.Module, examples: Examples, rows: Tensor) -> None:
        name = str(model.output_layer)
        self.layer = copy.deepcopy(model.get_submodule(name)).eval().requires_grad_(False)
        self.states = states(model, examples, rows, name, "input")
        self.check(model, examples[rows[:1]], rows[:1])

    @torch.no_grad()
    def check(self, model: nn.Module, example: Examples, row: Tensor) -> None:
        """Raise TypeError where something comes behind the output layer."""
        with in_eval_mode(model):
            outputs = model(example.x)[example.y != IGNORED]
        if not torch.allclose(outputs, self.logits(row), rtol=1e-3, atol=1e-4, equal_nan=True):
            raise TypeError(f"the outputs of {type(model).__name__} are not those of its output layer")

    @torch.no_grad()
    def logits(self, rows: Tensor) -> Tensor:
        """At all answer tokens of these rows, one example behind the other, (tokens, vocabulary)."""
        logits: Tensor = self.layer(gathered(self.states, rows))
        return logits


@contextmanager
def watched(model: nn.Module, name: str, side: Literal["input", "output"]) -> Iterator[list[Tensor]]:
    """A list that the first input, or output, of the module of that name is appended to at every forward pass. Raises
    ValueError where there is no such module."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Tensor, ...], output: Tensor | tuple[Tensor, ...]) -> None:
        value = given if side == "input" else output
        seen.append(value[0] if isinstance(value, tuple) else value)

    modules = dict(model.named_modules())
    if name not in modules:
        blocks = [one for one in modules if one.rpartition(".")[2].isdigit()]
        raise ValueError(
            f"module: found {name!r}, which {type(model).__name__} does not have; allowed: {', '.join(blocks)}"
        )
    handle = modules[name].register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
