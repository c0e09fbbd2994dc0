"""Accuracy, loss and per-example outputs of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.modes import in_eval_mode
from grokforget.training.objective import Objective

BATCH = 512
"""Examples per forward pass on a processor, whose cache then holds what one layer of a small network gives to the next: a
convolutional network takes half of the time that it takes with 4096, an MLP or a transformer the same."""
GPU_BATCH = 1024
"""Examples per forward pass on a GPU, where small networks wait for their kernels to be launched, and large ones take a
megabyte an example."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Outputs and targets of all examples → their mean loss, a scalar: one of an ``Objective``'s."""


@torch.no_grad()
def outputs_of(model: nn.Module, sets: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Outputs (n, ...) of each of the ``sets`` of inputs (n, ...), in eval mode; every module's mode is put back.

    In one pass over all of them, for a set of a few examples takes as long as one of some dozens. A set's outputs depend
    in their last bits on how it falls into batches, so on what stands before it, and are the same whenever that is.
    """
    with in_eval_mode(model):
        outputs = torch.cat([model(batch) for batch in batches(sets)])
    return outputs.split([len(x) for x in sets])


def batches(sets: Sequence[Tensor]) -> Iterator[Tensor]:
    """All examples of the ``sets``, one set behind the other, in batches of one size; the last one may be shorter."""
    size = BATCH if sets[0].device.type == "cpu" else GPU_BATCH
    parts: list[Tensor] = []
    room = size
    for x in sets:
        for part in (x[:room], *x[room:].split(size)) if len(x) > room else (x,):
            parts.append(part)
            room -= len(part)
            if not room:
                yield torch.cat(parts) if len(parts) > 1 else part
                parts, room = [], size
    if parts:
        yield torch.cat(parts) if len(parts) > 1 else parts[0]


def logits_of(model: nn.Module, x: Tensor) -> Tensor:
    """Outputs (N, ...) of inputs (N, ...), logits in classification, as ``outputs_of`` gives them."""
    return outputs_of(model, [x])[0]


def accuracy_of(model: nn.Module, examples: Examples, objective: Objective) -> float:
    """Share of right predictions in [0, 1]."""
    return _share(objective.correct(logits_of(model, examples.x), examples.y))


def accuracy_and_loss(model: nn.Module, examples: Examples, objective: Objective, loss: Loss) -> tuple[float, float]:
    """Share of right predictions in [0, 1] and mean loss; ``loss`` is the objective's training or unlearning loss."""
    outputs = logits_of(model, examples.x)
    return _share(objective.correct(outputs, examples.y)), loss(outputs, examples.y).item()


def evaluate(
    model: nn.Module,
    splits: Mapping[str, Examples],
    objective: Objective,
    loss: Loss,
    outputs_of: Callable[[nn.Module, Sequence[Tensor]], tuple[Tensor, ...]] = outputs_of,
) -> dict[str, float]:
    """``{split}_accuracy`` and ``{split}_loss`` for every split, all in one pass, by a function that is called as
    ``outputs_of``."""
    return judged(outputs_of(model, [examples.x for examples in splits.values()]), splits, objective, loss)


def judged(
    outputs: Sequence[Tensor], splits: Mapping[str, Examples], objective: Objective, loss: Loss
) -> dict[str, float]:
    """What ``evaluate`` says of outputs that are known, those of each split in turn."""
    row: dict[str, float] = {}
    for (name, examples), given in zip(splits.items(), outputs, strict=True):
        row[f"{name}_accuracy"] = _share(objective.correct(given, examples.y))
        row[f"{name}_loss"] = loss(given, examples.y).item()
    return row


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return torch.sqrt(sum((p.detach().double() ** 2).sum() for p in model.parameters())).item()  # type: ignore[arg-type]


def _share(correct: Tensor) -> float:
    """Of no examples NaN."""
    return correct.sum().item() / len(correct) if len(correct) else math.nan
