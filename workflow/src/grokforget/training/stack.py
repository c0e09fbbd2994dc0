"""Several small runs that take their steps together: their weights are stacked, and one pass has the gradients of all.

Where a pass of one run leaves a processor waiting for its kernels to be launched, as a small network does on a GPU, those of
many take about as long as one. All else of a run stays its own: optimizer, curve, snapshots, and what it goes on from. The
gradients are those of runs by themselves but for the order in which numbers are added up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.models.linear import twice_differentiable
from grokforget.training.gradient import Gradient
from grokforget.training.loop import Run
from grokforget.training.modes import batch_norms

if TYPE_CHECKING:
    from grokforget.config.training import RecipeSpec
    from grokforget.training.objective import Objective


class Stack(nn.Module):
    """Models of one architecture as one, from inputs (R, N, ...) of R runs to outputs (R, N, ...).

    Its parameters are theirs, stacked: (R, ...). Theirs are views of these from here on, and what changes the ones, an
    optimizer or a state that is loaded, changes the others.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        self.names = [name for name, _ in models[0].named_parameters()]
        for number, name in enumerate(self.names):
            own = [model.get_parameter(name) for model in models]
            stacked = nn.Parameter(torch.stack([parameter.detach() for parameter in own]))
            self.register_parameter(str(number), stacked)
            for parameter, part in zip(own, stacked.detach(), strict=True):
                parameter.data = part
        # Not as a part of this module: its parameters are not what learns.
        self.architecture = (models[0],)

    def forward(self, x: Tensor) -> Tensor:
        def of_one(values: dict[str, Tensor], inputs: Tensor) -> Tensor:
            outputs: Tensor = torch.func.functional_call(self.architecture[0], values, (inputs,))
            return outputs

        # Products that are mapped are PyTorch's own.
        with twice_differentiable():
            outputs: Tensor = torch.func.vmap(of_one)(dict(zip(self.names, self.parameters(), strict=True)), x)
        return outputs


class StackedGradient(Gradient):
    """Puts into ``.grad`` of a stack the gradients of its runs' losses: none has a part in another's, so those of their sum."""

    def __init__(self, stack: Stack, objective: Objective, recipe: RecipeSpec, runs: int) -> None:
        super().__init__(stack, objective, recipe, seed=0, whole=runs)

    def judged(self, outputs: Tensor, targets: Tensor) -> Tensor:
        each: Tensor = torch.func.vmap(self.objective.training_loss)(outputs, targets)
        return each.sum()


def alike(run: Run) -> Hashable:
    """The same of runs that can be stacked with each other; None of one that can be with none: whose model draws in training or
    normalises by its batch, as layers of neither kind can be mapped."""
    model, train = run.state.model, run.splits["train"]
    draws = any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p for module in model.modules())
    if draws or batch_norms(model):
        return None
    shapes = tuple((name, parameter.shape) for name, parameter in model.named_parameters())
    examples = (train.x.shape, train.x.dtype, train.y.shape)
    return type(model), repr(model), shapes, examples, run.whole, run.state.step, run.recipe.precision


def train_stacked(runs: Sequence[Run], on_step: Callable[[], None] = lambda: None) -> None:
    """Take all updates of runs that are ``alike`` and have one objective, and recipes without penalty and SAM, as ``train`` takes
    those of one; ``on_step`` is called behind every step of all."""
    first = runs[0]
    stack = Stack([run.state.model for run in runs])
    gradient = StackedGradient(stack, first.objective, first.recipe, len(runs))
    batch: Examples | None = None
    one_batch = all(run.one_batch for run in runs)
    for run in runs:
        run.begin()
    while any(run.going for run in runs):
        step = next(run.state.step for run in runs if run.going)
        # One that stands still is given a batch of another: its gradient is not used.
        parts = [run.batch()[1] if run.going else None for run in runs]
        some = next(part for part in parts if part is not None)
        if batch is None or not one_batch:
            given = [some if part is None else part for part in parts]
            batch = Examples(torch.stack([part.x for part in given]), torch.stack([part.y for part in given]))
        gradient(batch, step)
        for number, run in enumerate(runs):
            if run.going:
                for own, stacked in zip(run.parameters, stack.parameters(), strict=True):
                    assert stacked.grad is not None
                    own.grad = stacked.grad[number]
                run.update()
        on_step()
    for run in runs:
        run.end()
