"""Several processes that train one model together: each takes its part of every batch, and all take the same step.

Gradients are summed in one buffer after the backward pass, in the order of the parameters. (torch's
``DistributedDataParallel`` sums them in buckets during it, and lays these out anew after a process's first step: with three
processes and more a sum's last bits depend on where in its bucket a number lies, and a run that goes on were another one.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from grokforget.data.loader import Examples
from grokforget.training.evaluate import digests_of
from grokforget.training.modes import batch_norms
from grokforget.training.objective import Objective


@dataclass(frozen=True)
class Group:
    """Which of how many processes this one is, from 0. Whatever is called on all of them is called on all in one order."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """This process's part of n things: one behind the other, as even as can be; of fewer than processes some have none."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def sum_gradients(self, model: nn.Module) -> None:
        """The sum over the processes in every process's ``.grad``, the same bits in each."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    @torch.no_grad()
    def digests_of(self, model: nn.Module, sets: Sequence[Examples], objective: Objective) -> tuple[Tensor, ...]:
        """``evaluate.digests_of`` of the whole ``sets``, in every process, each having computed its part."""
        if self.size == 1:
            return digests_of(model, sets, objective)
        found = []
        parts = [examples[self.part(len(examples))] for examples in sets]
        for examples, digests in zip(sets, digests_of(model, parts, objective), strict=True):
            whole = digests.new_zeros(len(examples), *digests.shape[1:])
            whole[self.part(len(examples))] = digests
            distributed.all_reduce(whole)
            found.append(whole)
        return tuple(found)

    def agreed(self, *values: float) -> list[Any]:
        """What the first process says, in all of them, each number of its own type: what decides where the loop goes on is
        computed alike in all, and told all the same, since processes that disagree wait for each other for ever."""
        if self.size == 1:
            return list(values)
        told = torch.tensor([float(value) for value in values], dtype=torch.float64)
        distributed.broadcast(told, src=0)
        return [type(value)(number) for value, number in zip(values, told.tolist(), strict=True)]


ALONE = Group()


@contextmanager
def joined(rank: int, size: int, meeting: Path, device: str) -> Iterator[Group]:
    """A group of processes of one machine, which all give the path of a file that is not there yet, on a local disk. With the
    device ``cuda`` each takes the GPU of its own number.

    After an error the group is not taken apart, which would wait for the others.
    """
    backend = "gloo"
    if device == "cuda":
        # What is on the CPU, as what they agree on, does not wait for the GPU.
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(rank)
    store = distributed.FileStore(str(meeting), size)  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    yield Group(rank, size)
    distributed.destroy_process_group()


class _Sum(torch.autograd.Function):
    """The sum over the processes of a tensor, in each of them. The loss is the sum of all processes' losses: so the gradient
    of what one gave is the sum of the gradients of what all were given."""

    @staticmethod
    def forward(ctx: Any, given: Tensor) -> Tensor:
        summed = given.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


def synchronise_batch_norms(model: nn.Module) -> None:
    """Have batch norms in train mode normalise by the whole batch, of which every process holds a part, as one process does.

    (torch's ``SyncBatchNorm`` computes on GPUs alone.)
    """
    for norm in batch_norms(model):
        norm.forward = partial(_by_whole_batch, norm, norm.forward)  # type: ignore[method-assign]


def _by_whole_batch(norm: _BatchNorm, plain: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """x (n, C, ...), n this process's part, normalised; statistics in float32 at least.

    One exchange a pass: the moments are taken about the running mean, which is the same everywhere and near the batch's, so
    that little is lost where they are subtracted.
    """
    if not norm.training:
        return plain(x)
    axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    about = wide.new_zeros(x.shape[1]) if norm.running_mean is None else norm.running_mean
    centred = wide - about.view(shape)
    count = centred.new_full((1,), x.numel() // x.shape[1])
    sums = _Sum.apply(torch.cat([centred.sum(axes), centred.square().sum(axes), count]))
    mean, square = sums[:-1].view(2, -1) / sums[-1]
    variance = (square - mean.square()).clamp(min=0)
    if norm.track_running_stats and norm.running_mean is not None:
        _move_statistics(norm, (about + mean).detach(), variance.detach(), sums[-1].detach())
    normalised = (centred - mean.view(shape)) * (variance + norm.eps).rsqrt().view(shape)
    if norm.affine:
        normalised = normalised * norm.weight.view(shape) + norm.bias.view(shape)
    return normalised.to(x.dtype)


@torch.no_grad()
def _move_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: Tensor) -> None:
    """As a batch norm itself does: the variance of the running statistics is the unbiased one."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1 / int(norm.num_batches_tracked)
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * count / (count - 1), momentum)
