"""∇τ (Trippa et al. 2024, arXiv 2403.14339), as in the authors' image experiments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from torch import Tensor
from torch.nn import functional

from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem, set_learning_rate
from grokforget.training.evaluate import accuracy_and_loss
from grokforget.training.modes import BatchStatistics, set_modes
from grokforget.training.optimizers import adamw


def nabla_tau_loss(forget_loss: Tensor, retain_loss: Tensor, validation_loss: float, alpha: float) -> Tensor:
    """α · relu(L_V - L_f)² + (1 - α) · L_r.

    The relu is inside the square: once the forget loss has reached the validation loss the ascent stops. (The authors'
    text code squares first, which never stops.)
    """
    return alpha * functional.relu(validation_loss - forget_loss) ** 2 + (1 - alpha) * retain_loss


def n_epochs(retain_batches: int, forget_batches: int) -> int:
    """E = int(6 len_r / (2 len_f)), lengths in batches; at least one."""
    return max(int(6 * retain_batches / (2 * forget_batches)), 1)


class NablaTau(Method):
    """One forget and one retain batch an update; an epoch is one pass over D_f, while the retain batches go on through the
    whole of D_r, and in a new order through it again, whatever epoch it is.

    α falls linearly from α_0 = ``alpha_factor`` · |D_f| / |D| (at most 1) to 0, the learning rate to a tenth. AdamW,
    eval mode (so as published with ``frozen`` batch norms).
    """

    def __init__(
        self,
        *,
        learning_rate: float,
        weight_decay: float,
        alpha_factor: float,
        refresh_epochs: int,
        batch_size: int,
        batch_statistics: BatchStatistics,
    ) -> None:
        self.learning_rate, self.weight_decay, self.alpha_factor = learning_rate, weight_decay, alpha_factor
        self.refresh_epochs, self.batch_size, self.batch_statistics = refresh_epochs, batch_size, batch_statistics

    def run(self, problem: Problem) -> Iterator[None]:
        model, n_forget, n_retain = problem.model, len(problem.forget), len(problem.retain)
        loss_of = problem.objective.unlearning_loss
        optimizer = adamw(model.parameters(), self.learning_rate, self.weight_decay)
        alpha_0 = min(self.alpha_factor * n_forget / (n_forget + n_retain), 1.0)
        epochs = n_epochs(-(-n_retain // self.batch_size), -(-n_forget // self.batch_size))
        retain_batches = self.walk(problem)
        validation_loss = 0.0
        for epoch in range(epochs):
            if epoch % self.refresh_epochs == 0:
                whole = problem.objective.of_digests.unlearning_loss
                _, validation_loss = accuracy_and_loss(model, problem.validation, problem.objective, whole)
            alpha = alpha_0 * (1 - epoch / epochs)
            set_learning_rate(optimizer, self.learning_rate * (1 - 0.9 * epoch / epochs))
            forget_batches = problem.batches("forget", self.batch_size, epoch, self.batch_statistics)
            # The forget batches first: at their end zip asks for no retain batch that nothing would use.
            for forget, retain in zip(forget_batches, retain_batches, strict=False):
                set_modes(model, self.batch_statistics, training=False)
                optimizer.zero_grad()
                forget_loss = loss_of(model(forget.x), forget.y)
                retain_loss = loss_of(model(retain.x), retain.y)
                nabla_tau_loss(forget_loss, retain_loss, validation_loss, alpha).backward()
                optimizer.step()
                yield

    def walk(self, problem: Problem) -> Iterator[Examples]:
        """Batches of the retain set, one pass after another without end."""
        for number in count():
            yield from problem.batches("retain", self.batch_size, number, self.batch_statistics)
