"""Modes of a model are put back module by module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.methods.fisher_diagonal import fisher_diagonal
from grokforget.training.evaluate import logits_of
from grokforget.training.modes import frozen_statistics, in_eval_mode

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ArithmeticError


def network(*more: nn.Module) -> nn.Sequential:
    """In train mode, with a dropout that is kept in eval mode."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Dropout(0.5), nn.Linear(5, 3)), *more)
    model[1][0].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


USES: dict[str, Callable[[nn.Module], object]] = {
    "evaluation": lambda model: logits_of(model, X),
    "fisher": lambda model: fisher_diagonal(model, Examples(X, torch.zeros(6, dtype=torch.int64))),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("root", [True, False])
def test_every_module_is_in_the_mode_that_it_was_in(use: str, root: bool) -> None:
    model = network()
    model.training = root
    before = modes(model)
    assert before == [root, True, True, False, True]
    USES[use](model)
    assert modes(model) == before


@pytest.mark.parametrize("use", USES)
def test_so_it_is_after_an_error(use: str) -> None:
    model = network(Failing())
    before = modes(model)
    with pytest.raises(ArithmeticError):
        USES[use](model)
    assert modes(model) == before


def test_meanwhile_everything_is_in_eval_mode() -> None:
    model = network()
    with in_eval_mode(model):
        assert not any(modes(model))


def test_logits_are_those_of_eval_mode() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3))
    assert torch.equal(logits_of(model, X), model[2](model[0](X)))


@pytest.mark.parametrize("momentum", [0.1, None])
def test_frozen_statistics_stay_and_the_output_is_that_of_train_mode(momentum: float | None) -> None:
    frozen, free = (nn.BatchNorm1d(4, momentum=momentum) for _ in range(2))
    untracked, still = nn.BatchNorm1d(4, track_running_stats=False), nn.BatchNorm1d(4).eval()
    model = nn.ModuleList([frozen, untracked, still])
    with frozen_statistics(model):
        assert torch.equal(frozen(X), free(X))
        assert torch.equal(still(X), X / (torch.ones(4) + still.eps).sqrt())
    assert (frozen.num_batches_tracked, free.num_batches_tracked) == (0, 1)
    assert torch.equal(frozen.running_mean, torch.zeros(4))
    assert torch.equal(frozen.running_var, torch.ones(4))
    assert [m.track_running_stats for m in model] == [True, False, True]


def test_statistics_are_free_again_after_an_error() -> None:
    norm = nn.BatchNorm1d(4)
    with pytest.raises(ArithmeticError), frozen_statistics(norm):
        raise ArithmeticError
    assert norm.track_running_stats
