"""Accuracy, loss and per-example outputs of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, lengths_of
from grokforget.training.answer_logits import answer_logits
from grokforget.training.modes import in_eval_mode
from grokforget.training.objective import Objective

BATCH = 512
"""Examples per forward pass on a processor, whose cache then holds what one layer of a small network gives to the next: a
convolutional network takes half of the time that it takes with 4096, an MLP or a transformer the same."""
GPU_BATCH = 1024
"""Examples per forward pass on a GPU, where small networks wait for their kernels to be launched, and large ones take a
megabyte an example."""

MOST_TEXTS = 32
"""Examples per forward pass where outputs are reduced: the logits of a text take a megabyte and more."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Digests of outputs and targets of all examples → their mean loss, a scalar: one of ``Objective.of_digests``'s."""


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


def digests_of(model: nn.Module, sets: Sequence[Examples], objective: Objective) -> tuple[Tensor, ...]:
    """What evaluation knows of each of the ``sets``, (n, ...), in eval mode: ``Objective.digest`` of the model's outputs."""
    if objective.reduces:
        return tuple(reduced(model, examples, objective.digest) for examples in sets)
    return outputs_of(model, [examples.x for examples in sets])


@torch.no_grad()
def reduced(model: nn.Module, examples: Examples, reduce: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Numbers of each of the examples of text, (N, ...) in their order: what ``reduce`` makes of a batch's outputs at the
    tokens to learn, (tokens, V), and its targets (n, T), (n, ...).

    In eval mode; every module's mode is put back. A batch holds at most ``MOST_TEXTS`` examples, of about one length, and is
    trimmed to its longest: more outputs than its are never there.
    """
    order = lengths_of(examples.y).argsort(stable=True)
    with in_eval_mode(model):
        some = (examples[index] for index in order.split(MOST_TEXTS))
        parts = [reduce(answer_logits(model, batch.x, batch.y != IGNORED), batch.y) for batch in some]
    together = torch.cat(parts)
    return torch.empty_like(together).index_copy_(0, order, together)


def accuracy_of(model: nn.Module, examples: Examples, objective: Objective) -> float:
    """Share of right predictions in [0, 1]."""
    (digests,) = digests_of(model, [examples], objective)
    return _share(objective.of_digests.correct(digests, examples.y))


def accuracy_and_loss(model: nn.Module, examples: Examples, objective: Objective, loss: Loss) -> tuple[float, float]:
    """Share of right predictions in [0, 1] and mean loss; ``loss`` is the training or unlearning loss of digests."""
    (digests,) = digests_of(model, [examples], objective)
    return _share(objective.of_digests.correct(digests, examples.y)), loss(digests, examples.y).item()


def evaluate(
    model: nn.Module,
    splits: Mapping[str, Examples],
    objective: Objective,
    loss: Loss,
    digests_of: Callable[[nn.Module, Sequence[Examples], Objective], tuple[Tensor, ...]] = digests_of,
) -> dict[str, float]:
    """``{split}_accuracy`` and ``{split}_loss`` for every split, all in one pass, by a function that is called as
    ``digests_of``."""
    return judged(digests_of(model, list(splits.values()), objective), splits, objective, loss)


def judged(
    digests: Sequence[Tensor], splits: Mapping[str, Examples], objective: Objective, loss: Loss
) -> dict[str, float]:
    """What ``evaluate`` says of digests that are known, those of each split in turn."""
    row: dict[str, float] = {}
    for (name, examples), given in zip(splits.items(), digests, strict=True):
        row[f"{name}_accuracy"] = _share(objective.of_digests.correct(given, examples.y))
        row[f"{name}_loss"] = loss(given, examples.y).item()
    return row


def weight_norm(model: nn.Module) -> float:
    """Euclidean norm of all parameters together."""
    return torch.sqrt(sum((p.detach().double() ** 2).sum() for p in model.parameters())).item()  # type: ignore[arg-type]


def _share(correct: Tensor) -> float:
    """Of no examples NaN."""
    return correct.double().sum().item() / len(correct) if len(correct) else math.nan
