"""Batches: their order is a function of seed and epoch, and the same numbers as ever."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grokforget.data.loader import DeviceLoader, Examples, training_loader
from grokforget.methods.base import Problem
from grokforget.runtime.seeds import derive_seed
from grokforget.training.classification import Classification

TRAINING = [[5, 0, 6], [3, 4, 2], [1], [6, 1, 0], [3, 5, 2], [4]]
FORGET = [[[1, 5, 3], [2, 0, 6], [4]], [[6, 4, 1], [5, 2, 0], [3]]]
RETAIN = [[1, 2, 0, 3]]


def taken(n: int, size: int | None, seed: int, step: int, count: int) -> list[list[int]]:
    loader = training_loader(Examples(torch.arange(n), torch.arange(n)), size, seed)
    return [loader.batch(number).x.tolist() for number in range(step, step + count)]


@pytest.mark.parametrize(("n", "size"), [(12, 4), (10, 4), (10, 9), (7, 1)])
def test_an_epoch_covers_every_example_once(n: int, size: int) -> None:
    per_epoch = math.ceil(n / size)
    order = taken(n, size, seed=0, step=0, count=3 * per_epoch)
    epochs = [order[i * per_epoch : (i + 1) * per_epoch] for i in range(3)]
    for epoch in epochs:
        assert [len(batch) for batch in epoch[:-1]] == [size] * (per_epoch - 1)
        assert sorted(example for batch in epoch for example in batch) == list(range(n))
    assert epochs[0] != epochs[1] != epochs[2]


def test_batches_depend_on_seed_and_step_alone() -> None:
    torch.manual_seed(1)
    order = taken(10, 4, seed=0, step=0, count=20)
    torch.manual_seed(2)
    for step in range(15):
        assert taken(10, 4, seed=0, step=step, count=5) == order[step : step + 5]
    assert taken(10, 4, seed=1, step=0, count=20) != order


def test_drawing_batches_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    taken(10, 4, seed=0, step=0, count=20)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("size", [None, 10, 11])
def test_a_batch_of_everything_is_the_full_batch(size: int | None) -> None:
    assert taken(10, size, seed=0, step=3, count=4) == [list(range(10))] * 4
    everything = Examples(torch.arange(10), torch.arange(10))
    assert training_loader(everything, size, 0).batch(3) is everything, "nothing is copied"
    (only,) = training_loader(everything, size, 0).epoch(3)
    assert only is everything


@pytest.mark.parametrize(("n", "size"), [(12, 4), (10, 4), (10, 9), (7, 1)])
def test_an_epoch_is_the_permutation_of_seed_and_epoch_cut_into_batches(n: int, size: int) -> None:
    """Whatever was asked before: backwards, and as a whole."""
    everything = Examples(10 + torch.arange(n), torch.arange(n))
    loader, per_epoch = training_loader(everything, size, 5), math.ceil(n / size)
    for epoch in (3, 0, 1, 3):
        generator = torch.Generator().manual_seed(derive_seed(5, "order", epoch))
        expected = torch.randperm(n, generator=generator).split(size)
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        for got in (list(loader.epoch(epoch)), [loader.batch(step) for step in reversed(steps)][::-1]):
            assert [batch.y.tolist() for batch in got] == [part.tolist() for part in expected]
            assert all(torch.equal(batch.x, batch.y + 10) for batch in got)


def test_the_orders_are_those_that_published_results_were_made_with() -> None:
    """Numbers, not the formula: whoever changes labels, generator or cut changes every result."""
    n = torch.arange(7)
    loader = training_loader(Examples(n, n), 3, 0)
    assert [loader.batch(step).y.tolist() for step in range(6)] == TRAINING
    problem = Problem(
        nn.Linear(1, 1), Examples(n, n), Examples(n[:4], n[:4]), Examples(n, n), Classification(loss="mse"), 0
    )
    assert [[batch.y.tolist() for batch in problem.batches("forget", 3, epoch)] for epoch in (0, 1)] == FORGET
    assert [batch.y.tolist() for batch in problem.batches("retain", 9, 2)] == RETAIN


@pytest.mark.parametrize("size", [2, 5, 9])
@pytest.mark.parametrize("name", ["forget", "retain"])
def test_the_batches_of_unlearning_are_the_permutation_of_seed_set_and_epoch(name: str, size: int) -> None:
    """Also where a batch holds everything: unlike in training it is put in a random order."""
    n = torch.arange(5)
    sets = {"forget": Examples(n, n), "retain": Examples(n + 10, n)}
    problem = Problem(nn.Linear(1, 1), sets["forget"], sets["retain"], sets["retain"], Classification(loss="mse"), 8)
    for epoch in (0, 3):
        generator = torch.Generator().manual_seed(derive_seed(8, "unlearning", name, epoch))
        expected = torch.randperm(5, generator=generator).split(size)
        got = problem.batches(name, size, epoch)
        assert [batch.y.tolist() for batch in got] == [part.tolist() for part in expected]
        assert all(torch.equal(batch.x, sets[name].x[batch.y]) for batch in got)


def test_a_loader_of_one_purpose_has_nothing_in_common_with_another() -> None:
    n = torch.arange(50)
    first, other = (DeviceLoader(Examples(n, n), 10, 0, label).batch(0).y.tolist() for label in ("order", "else"))
    assert first != other


@pytest.mark.parametrize(("n", "size"), [(7, 3), (9, 4), (5, 4), (8, 3), (6, 3), (1, 3), (3, 1), (2, 1)])
@pytest.mark.parametrize("fewest", [1, 2, 3])
def test_a_last_batch_of_too_few_joins_the_one_before(n: int, size: int, fewest: int) -> None:
    everything = Examples(torch.arange(n), torch.arange(n))
    loader, plain = (DeviceLoader(everything, size, 4, "order", fewest=least) for least in (fewest, 1))
    expected = [batch.y.tolist() for batch in plain.epoch(2)]
    if len(expected) > 1 and len(expected[-1]) < min(fewest, size):
        expected[-2:] = [expected[-2] + expected[-1]]
    assert [batch.y.tolist() for batch in loader.epoch(2)] == expected
    steps = range(2 * len(expected), 3 * len(expected))
    assert [loader.batch(step).y.tolist() for step in steps] == expected
