"""What a run of unlearning records of itself: its updates, and whether its model is still numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from grokforget.config import methods as registry
from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.methods.runner import Record, unlearn
from grokforget.training.classification import Classification
from grokforget.training.finite import all_finite, finite_outputs

CLASSES = 3


def examples(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    return Examples(torch.randn(n, 4, generator=generator), torch.randint(CLASSES, (n,), generator=generator))


def problem(model: nn.Module | None = None) -> Problem:
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    return Problem(model, *(examples(n, n) for n in (6, 8, 9)), objective=Classification(loss="mse"), seed=0)


class Setting(Method):
    """An update sets the last bias to the next of some values."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def run(self, problem: Problem) -> Iterator[None]:
        for value in self.values:
            with torch.no_grad():
                problem.model[-1].bias.fill_(value)
            yield


def run(method: Method, given: Problem, test: Examples | None = None) -> Record:
    return unlearn(method, given, test or examples(7, 7), stride=1)


def test_a_run_that_stays_finite_has_not_diverged() -> None:
    record = run(Setting(1.0, 1e30, 2.0), problem())
    assert record.diagnostics == {"diverged": 0, "updates": 3}
    assert [(row["update"], row["final"]) for row in record.trajectory] == [
        (0, False), (1, False), (2, False), (3, False), (3, True)
    ]  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_run_ends_with_the_first_weight_that_is_not_finite(value: float) -> None:
    assert run(Setting(1.0, value, 2.0), problem()).diagnostics == {"diverged": 1, "updates": 2}


@pytest.mark.parametrize("part", ["forget", "retain", "test"])
def test_outputs_that_overflow_are_divergence_although_every_weight_is_finite(part: str) -> None:
    given, test = problem(), examples(7, 7)
    parts = {"forget": given.forget, "retain": given.retain, "test": test}
    with torch.no_grad():
        given.model[0].weight.fill_(1e25)
        given.model[2].weight.fill_(1e25)
    for name, each in parts.items():
        each.x.fill_(0 if name != part else 1)
    assert all_finite(given.model)
    record = run(Setting(1.0), given, test)
    assert record.diagnostics == {"diverged": 1, "updates": 1}


def test_a_model_that_came_diverged_is_said_to_be() -> None:
    given = problem()
    with torch.no_grad():
        given.model[0].weight[1, 2] = math.nan
    assert run(registry.Original().spec().build(), given).diagnostics == {"diverged": 1, "updates": 0}


@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([3.4e38, 3.4e38, 3.4e38], True),
        ([3.4e38, -3.4e38, 0.0], True),
        ([math.inf, -math.inf, 0.0], False),
        ([math.nan, 3.4e38, 3.4e38], False),
        ([math.inf, 1.0, 1.0], False),
        ([0.0, 0.0, 0.0], True),
    ],
)
def test_weights_are_finite_one_by_one_also_where_their_sum_is_not(values: list[float], finite: bool) -> None:
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([values]))
    assert all_finite(model) is finite


def test_outputs_are_looked_at_in_all_inputs() -> None:
    model, good, bad = nn.Identity(), torch.zeros(3, 2), torch.tensor([[0.0, 1.0], [-math.inf, 0.0]])
    assert finite_outputs(model, good, good)
    assert not finite_outputs(model, good, bad)
    assert not finite_outputs(model, bad, good)


# SCRUB+R among finite epochs

SCRUB = registry.Scrub(
    optimizer="sgd", learning_rate=0.05, weight_decay=0.0, epochs=5, max_epochs=2, decay_after=[9],
    retain_batch_size=4, forget_batch_size=3,
)  # fmt: skip
UPDATES = [4, 8, 10, 12, 14]
"""Done after each epoch: two forget and two retain batches, later retain batches alone."""


class Breaking(Classification):
    """Its gradient is no number from the given update on."""

    def __init__(self, update: int) -> None:
        super().__init__(loss="mse")
        self.left = update

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            self.left -= 1
        return super().unlearning_loss(outputs, targets) * (math.nan if self.left < 0 else 1)


def states(given: Problem) -> list[dict[str, Tensor]]:
    """After every update of a run that does not break."""
    return [
        {name: value.clone() for name, value in given.model.state_dict().items()}
        for _ in SCRUB.updated({"rewind": False}).spec().build().run(given)
    ]


def closest(given: Problem, ends: list[dict[str, Tensor]]) -> int:
    """The epoch nearest in forget error to the last of them on the validation examples of the forgotten classes."""
    held_out = given.validation[torch.isin(given.validation.y, given.forget.y)]
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))

    def error(state: dict[str, Tensor], data: Examples) -> float:
        model.load_state_dict(state)
        return (model(data.x).argmax(1) != data.y).double().mean().item()

    reference = error(ends[-1], held_out)
    distances = [abs(error(state, given.forget) - reference) for state in ends]
    return distances.index(min(distances))


@pytest.mark.parametrize("update", [6, 9, 13])
def test_scrub_goes_back_to_a_finite_epoch_when_the_weights_are_finite_no_more(update: int) -> None:
    sound, given = states(problem()), problem()
    given.objective = Breaking(update)
    record = run(SCRUB.spec().build(), given)
    finished = sum(updates <= update for updates in UPDATES)
    # A step that fails in a max epoch is not seen before the min epoch, as its distance is a number.
    assert record.diagnostics["scrub_finite_epochs"] == finished
    ends = [sound[updates - 1] for updates in UPDATES[:finished]]
    chosen = closest(given, ends)
    assert record.diagnostics["scrub_epoch"] == chosen + 1
    assert record.diagnostics["diverged"] == 0
    assert record.diagnostics["updates"] <= update + 3
    assert all(torch.equal(given.model.state_dict()[name], value) for name, value in ends[chosen].items())


def test_scrub_without_a_finite_epoch_stays_as_it_is_and_says_so() -> None:
    given = problem()
    given.objective = Breaking(1)
    record = run(SCRUB.spec().build(), given)
    assert record.diagnostics["scrub_finite_epochs"] == 0
    assert math.isnan(record.diagnostics["scrub_epoch"])
    assert record.diagnostics["diverged"] == 1


class Overflowing(nn.Sequential):
    """Its outputs overflow in eval mode once it was trained for some updates, its weights do not."""

    updates = -1
    limit = 9

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.updates += 1
        return super().forward(x) * (1 if self.training or self.updates < self.limit else math.inf)


def test_scrub_leaves_out_epochs_whose_outputs_are_not_finite() -> None:
    torch.manual_seed(0)
    given = problem(Overflowing(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES)))
    given.model.updates = 0
    method = SCRUB.spec().build()
    for _ in method.run(given):
        pass
    assert method.diagnostics["scrub_finite_epochs"] == 2
    assert method.diagnostics["scrub_epoch"] in (1, 2)


# Where a run is looked at.
class Bias(Method):
    """An update sets the last biases to the next of some triples."""

    def __init__(self, *values: tuple[float, float, float]) -> None:
        self.values = values

    def run(self, problem: Problem) -> Iterator[None]:
        for value in self.values:
            with torch.no_grad():
                problem.model[-1].bias.copy_(torch.tensor(value))
            yield


RIGHT, WRONG = (9.0, 0.0, 0.0), (0.0, 9.0, 0.0)


def sure() -> tuple[Problem, Examples]:
    """All examples are of class 0, and the bias alone decides."""
    given = problem()
    for part in (given.forget, given.retain, given.validation):
        part.x.zero_()
        part.y.zero_()
    with torch.no_grad():
        given.model[-1].weight.zero_()
        given.model[-1].bias.copy_(torch.tensor(RIGHT))
    return given, Examples(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))


def test_without_a_stride_a_run_is_looked_at_around_every_change_of_its_forget_accuracy() -> None:
    """With what the model was before each change, and at its end."""
    softer = (1.0, 0.0, 0.0)
    given, test = sure()
    record = unlearn(Bias(RIGHT, softer, WRONG, WRONG, WRONG, RIGHT, RIGHT), given, test, stride=None)
    seen = [(row["update"], row["final"], row["forget_accuracy"]) for row in record.trajectory]
    assert seen == [
        (0, False, 1),
        (2, False, 1),
        (3, False, 0),
        (5, False, 0),
        (6, False, 1),
        (7, False, 1),
        (7, True, 1),
    ]
    losses = [row["retain_loss"] for row in record.trajectory]
    assert losses[1] == pytest.approx(math.log(math.exp(1) + 2) - 1), "the model of update 2, not of update 3"
    assert given.model[-1].bias.tolist() == pytest.approx(RIGHT)
    whole = unlearn(Bias(RIGHT, softer, WRONG, WRONG, WRONG, RIGHT, RIGHT), *sure(), stride=1)
    rows = {row["update"]: row for row in whole.trajectory if not row["final"]}
    for row in record.trajectory[:-1]:
        assert row == pytest.approx(rows[row["update"]])


@pytest.mark.parametrize("stride", [1, None])
def test_the_result_may_be_the_model_after_some_updates_and_the_trajectory_goes_on(stride: int | None) -> None:
    given, test = sure()
    method = Bias(RIGHT, (1.0, 0.0, 0.0), WRONG, (math.nan, 0.0, 0.0))
    record = unlearn(method, given, test, stride=stride, updates=2)
    assert given.model[-1].bias.tolist() == [1, 0, 0]
    assert record.diagnostics == {"diverged": 0, "updates": 4}
    assert [(row["update"], row["final"]) for row in record.trajectory][-2:] == [(4, False), (2, True)]
    assert record.trajectory[-1]["forget_accuracy"] == 1


def test_more_updates_than_there_are_is_the_methods_own_end_and_so_is_divergence_before() -> None:
    given, test = sure()
    record = unlearn(Bias(RIGHT, WRONG), given, test, stride=1, updates=3)
    assert (record.trajectory[-1]["update"], given.model[-1].bias.tolist()) == (2, pytest.approx(WRONG))
    record = unlearn(Bias((math.nan, 0.0, 0.0), RIGHT), *sure(), stride=1, updates=2)
    assert record.diagnostics == {"diverged": 1, "updates": 1}
