"""What the methods of language models share: every forget example is paired with a random retain example."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, on_device
from grokforget.methods.base import Method, Problem, set_learning_rate
from grokforget.training.language import Language
from grokforget.training.optimizers import adamw

MeanOver = Literal["examples", "tokens"]
Schedule = Literal["linear", "constant"]


class Batch(NamedTuple):
    """The examples of an update, as positions (B,), int64 on the device: ``forget`` in the forget set, ``retain`` in the
    retain set, ``refused`` in ``Problem.extras["refused"]`` (0 where a request has no refusals). The i-th of each belong
    together."""

    forget: Tensor
    retain: Tensor
    refused: Tensor


def epoch_of(problem: Problem, size: int, epoch: int) -> list[Batch]:
    """The batches of an epoch (from 0): a pass over the forget set in batches of ``size``, each example with a retain example
    and a refusal of its own.

    Retain examples are drawn without replacement, and anew from all of them once none is left. Who is paired with whom
    depends on (seed, epoch), and not on the size of the batches.
    """
    forget = problem.positions("forget", size, epoch)
    retain = partners(problem, epoch)
    refused = refusals(problem, torch.cat(forget), epoch)
    sizes = [len(one) for one in forget]
    return [Batch(*one) for one in zip(forget, retain.split(sizes), refused.split(sizes), strict=True)]


def partners(problem: Problem, epoch: int) -> Tensor:
    """The retain examples of an epoch, (F,) positions, in the order in which its forget examples come."""
    n, generator = len(problem.retain), problem.generator("retain partners", epoch)
    passes = -(-len(problem.forget) // n)
    drawn = torch.cat([torch.randperm(n, generator=generator) for _ in range(passes)])
    return on_device(drawn[: len(problem.forget)], problem.retain.y.device)


def refusals(problem: Problem, forget: Tensor, epoch: int) -> Tensor:
    """A row of ``refused`` for each of the forget examples at the positions (F,), (F,): with a refusal drawn evenly.

    Which one an example has in an epoch is its own, wherever it comes in it. Without refusals, 0.
    """
    each = len(problem.extras.get("refused", ())) // len(problem.forget)
    if not each:
        return torch.zeros_like(forget)
    drawn = torch.randint(each, (len(problem.forget),), generator=problem.generator("refusals", epoch))
    return forget * each + on_device(drawn, forget.device)[forget]


def refused_of(problem: Problem) -> Examples:
    """The forget questions with refusals for answers. Raises ValueError where the request has none, or not as many for each."""
    found = problem.extras.get("refused")
    if found is None or not len(found) or len(found) % len(problem.forget):
        what = "none" if found is None else f"{len(found)} rows for {len(problem.forget)} forget examples"
        raise ValueError(f"refusals: found {what}; a data set that has refusals is needed, R rows a forget example")
    return found


def together(first: Examples, second: Examples) -> Examples:
    """Both sets, padded on the right to the longer one, by targets to ignore."""
    width = max(first.x.shape[1], second.x.shape[1])

    def padded(values: Tensor, by: int) -> Tensor:
        return functional.pad(values, (0, width - values.shape[1]), value=by)

    x = torch.cat([padded(part.x, 0) for part in (first, second)])
    return Examples(x, torch.cat([padded(part.y, IGNORED) for part in (first, second)]))


def mean(values: Tensor, targets: Tensor, over: MeanOver) -> Tensor:
    """Mean of the ``values`` (tokens,) of all answer tokens of ``targets`` (B, T), one example behind the other: over all of
    them alike, or over each example's own and then over the examples. A scalar."""
    if over == "tokens":
        return values.mean()
    lengths = (targets != IGNORED).sum(1)
    return (values / lengths.repeat_interleave(lengths, output_size=len(values))).sum() / len(targets)


def language_of(problem: Problem) -> Language:
    """The objective of the problem. Raises TypeError where that is none of language."""
    if not isinstance(problem.objective, Language):
        raise TypeError(f"a method of language models: found the objective {type(problem.objective).__name__}")
    return problem.objective


class Paired(Method):
    """AdamW on ``gamma`` · ``forget_loss`` + ``alpha`` · ``retain_loss``, in train mode; an ``alpha`` of 0 leaves the retain
    examples out.

    An epoch is one pass over the forget set. The learning rate rises linearly over ``warmup_epochs``, the first update having
    one part of it and the last all, and is then ``constant`` or falls linearly: the last update of all has the last part.
    """

    def __init__(
        self,
        *,
        learning_rate: float,
        weight_decay: float,
        epochs: int,
        batch_size: int,
        warmup_epochs: int,
        schedule: Schedule,
        mean_over: MeanOver = "examples",
        gamma: float = 1.0,
        alpha: float = 0.0,
    ) -> None:
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.epochs, self.batch_size = epochs, batch_size
        self.warmup_epochs, self.schedule = warmup_epochs, schedule
        self.mean_over, self.gamma, self.alpha = mean_over, gamma, alpha

    def run(self, problem: Problem) -> Iterator[None]:
        model = problem.model
        language_of(problem)
        self.prepare(problem)
        optimizer = adamw(model.parameters(), self.learning_rate, self.weight_decay)
        update = 0
        for epoch in range(self.epochs):
            for batch in epoch_of(problem, self.batch_size, epoch):
                set_learning_rate(optimizer, self.rate(update, -(-len(problem.forget) // self.batch_size)))
                model.train()
                optimizer.zero_grad()
                self.loss(problem, batch).backward()
                optimizer.step()
                update += 1
                yield

    def prepare(self, problem: Problem) -> None:
        """Before the first update: look at the model as it came. What it says there is kept (``Problem.once``)."""

    def rate(self, update: int, per_epoch: int) -> float:
        """The learning rate of an update (from 0), with so many of them an epoch."""
        warmup, total = self.warmup_epochs * per_epoch, self.epochs * per_epoch
        if update + 1 < warmup:
            return self.learning_rate * (update + 1) / warmup
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * min((total - update) / max(total - warmup, 1), 1.0)

    def loss(self, problem: Problem, batch: Batch) -> Tensor:
        """What an update minimises, a scalar."""
        forget = self.gamma * self.forget_loss(problem, batch)
        return forget + self.alpha * self.retain_loss(problem, batch) if self.alpha else forget

    @abstractmethod
    def forget_loss(self, problem: Problem, batch: Batch) -> Tensor:
        """What is minimised on the forget examples, a scalar."""

    def retain_loss(self, problem: Problem, batch: Batch) -> Tensor:
        """What is minimised on the retain examples, a scalar: their negative log-likelihood."""
        return self.nll(problem, problem.retain[batch.retain])

    def nll(self, problem: Problem, examples: Examples) -> Tensor:
        """Negative log-likelihood of the answers' tokens, a mean by ``mean_over``, in nats."""
        objective = language_of(problem)
        losses = objective.token_losses(objective.outputs(problem.model, examples), examples.y)
        return mean(losses[examples.y != IGNORED], examples.y, self.mean_over)

    def log_likelihoods(self, problem: Problem, examples: Examples) -> Tensor:
        """log pθ of each whole answer, (B,): the sum over its tokens."""
        objective = language_of(problem)
        return -objective.sequence_losses(objective.outputs(problem.model, examples), examples.y)
