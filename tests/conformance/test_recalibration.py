"""Recalibrated statistics of batch norms, and what unlearning records with them, against plain calculations."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from grokforget.config import methods as registry
from grokforget.data.loader import Examples
from grokforget.data.subset import subset
from grokforget.methods.base import Method, Problem
from grokforget.methods.descent import GradientAscent
from grokforget.methods.runner import LEFT, RECALIBRATED, Record, unlearn
from grokforget.training import recalibrate as module
from grokforget.training.classification import Classification
from grokforget.training.evaluate import evaluate
from grokforget.training.recalibrate import recalibrate, recalibrated, recalibration_inputs

FEATURES, WIDTH, CLASSES = 5, 4, 3
OBJECTIVE = Classification(loss="cross-entropy")
NORMS = ("1", "4")
State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Sequential:
    """Two batch norms, the second of which sees what the first lets through, and a dropout between them."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(FEATURES, WIDTH),
        nn.BatchNorm1d(WIDTH, momentum=0.3),
        nn.Dropout(0.5),
        nn.Linear(WIDTH, WIDTH),
        nn.BatchNorm1d(WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, CLASSES),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for name in NORMS:
            norm = model.get_submodule(name)
            norm.running_mean.copy_(torch.randn(WIDTH, generator=generator))
            norm.running_var.copy_(torch.rand(WIDTH, generator=generator) + 0.5)
    return model.double()


def examples(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, FEATURES, generator=generator, dtype=torch.float64)
    return Examples(x, torch.randint(CLASSES, (n,), generator=generator))


def state_of(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def by_hand(state: State, batches: list[Tensor]) -> State:
    """The state with the means over the batches of the statistics that each norm sees."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in NORMS}
    for x in batches:
        for linear, norm in (("0", "1"), ("3", "4")):
            x = x @ state[f"{linear}.weight"].T + state[f"{linear}.bias"]
            mean = x.sum(0) / len(x)
            squares = ((x - mean) ** 2).sum(0)
            seen[norm].append((mean, squares / (len(x) - 1)))
            x = (x - mean) / (squares / len(x) + 1e-5).sqrt() * state[f"{norm}.weight"] + state[f"{norm}.bias"]
    statistics: State = {}
    for name, pairs in seen.items():
        means, variances = zip(*pairs, strict=True)
        statistics[f"{name}.running_mean"] = sum(means) / len(batches)
        statistics[f"{name}.running_var"] = sum(variances) / len(batches)
        statistics[f"{name}.num_batches_tracked"] = torch.tensor(len(batches))
    return {**state, **statistics}


def assert_same(ours: State, theirs: State, tolerance: float = 1e-12) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("n", "sizes"), [(7, [7]), (10, [10]), (11, [6, 5]), (23, [8, 8, 7])])
def test_statistics_are_the_average_over_even_batches_and_nothing_else_changes(
    n: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    x = examples(n, 1).x
    model = network()
    model.train()
    model[4].eval()
    before = state_of(model)
    recalibrate(model, x)
    assert_same(state_of(model), by_hand(before, list(x.split(sizes))))
    assert [model.get_submodule(name).momentum for name in NORMS] == [0.3, 0.1]
    assert [layer.training for layer in model] == [True, True, True, True, False, True, True]
    once = state_of(model)
    recalibrate(model, x)
    assert_same(state_of(model), once, 0), "what was there before does not count"


def test_a_channel_of_images_has_one_mean_and_variance_over_all_its_positions() -> None:
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten())
    x = torch.randn(6, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    recalibrate(model, x)
    channels = x.transpose(0, 1).flatten(1)
    torch.testing.assert_close(model[0].running_mean, channels.mean(1))
    torch.testing.assert_close(model[0].running_var, ((channels - channels.mean(1, True)) ** 2).sum(1) / 53)


def test_statistics_are_put_back_after_a_look_also_after_an_error() -> None:
    model, x = network(), examples(9, 1).x
    before = state_of(model)
    tensors = [*model.buffers()]
    with recalibrated(model, x):
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
    assert_same(state_of(model), before, 0)
    with pytest.raises(RuntimeError, match="broken"), recalibrated(model, x):
        raise RuntimeError("broken")
    assert_same(state_of(model), before, 0)
    assert all(a is b for a, b in zip(model.buffers(), tensors, strict=True))


def test_without_running_statistics_there_is_nothing_to_recalibrate() -> None:
    some = examples(9, 1)
    for model in (nn.Linear(5, 3), nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3, track_running_stats=False))):
        assert recalibration_inputs(model, some, None, 0) is None
        before = state_of(model)
        recalibrate(model, some.x.float())
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match=r"Sequential has batch norms .* `has_batch_norm`"):
        recalibration_inputs(network(), some, None, 0)
    inputs = recalibration_inputs(network(), some, 4, 0)
    assert inputs is not None
    assert torch.equal(inputs, subset(some, 4, 0).x)


def test_a_subset_is_drawn_by_its_seed_alone_and_keeps_the_order() -> None:
    some = Examples(torch.arange(50.0), torch.arange(50))
    drawn = [subset(some, 20, seed) for seed in range(300)]
    assert all(len(part) == 20 and (part.y.diff() > 0).all() and torch.equal(part.x.long(), part.y) for part in drawn)
    assert torch.equal(subset(some, 20, 7).y, drawn[7].y)
    # Every example 120 times in the mean, with a standard deviation of 8.5.
    counts = torch.cat([part.y for part in drawn]).bincount(minlength=50)
    assert 80 < counts.min() <= counts.max() < 160
    assert subset(some, None, 0) is subset(some, 50, 0) is some


# What unlearning records.


def problem() -> Problem:
    # For the dropout.
    torch.manual_seed(0)
    return Problem(network(), examples(7, 7), examples(12, 12), examples(8, 8), OBJECTIVE, seed=3)


TEST = examples(9, 9)
PART = {name: examples(4, seed) for seed, name in enumerate(("forget", "retain", "test"))}


def method(**changes: object) -> Method:
    settings = {"learning_rate": 0.3, "epochs": 3, "batch_size": 3, **changes}
    return registry.GradientAscent().updated(settings).spec().build()


def rows_by_hand(given: Problem, made: Method, x: Tensor) -> list[dict[str, float]]:
    """What is said of the model before, after every update, with statistics by hand; and last with its own."""
    states = [state_of(given.model)]
    for _ in made.run(given):
        states.append(state_of(given.model))
        given.model.eval()
    splits = {"forget": given.forget, "retain": given.retain, "test": TEST}
    rows = []
    for state in [*(by_hand(one, [x]) for one in states), states[-1]]:
        given.model.load_state_dict(state)
        rows.append(evaluate(given.model, splits, OBJECTIVE, OBJECTIVE.unlearning_loss))
    return rows


@pytest.mark.parametrize("stride", [1, None])
def test_every_row_has_recalibrated_statistics_and_the_method_goes_on_from_its_own(stride: int | None) -> None:
    x = examples(12, 12)[torch.arange(8)].x
    *expected, left = rows_by_hand(problem(), method(), x)
    given = problem()
    record = unlearn(method(), given, TEST, stride=stride, recalibration=x)
    last = len(expected) - 1
    seen = [row["update"] for row in record.trajectory]
    assert seen == [*range(last + 1), last] if stride else {0, last} <= {*seen} <= {*range(last + 1)}
    for row in record.trajectory:
        assert row == pytest.approx({"update": row["update"], "final": row["final"], **expected[row["update"]]})
    assert record.statistics[LEFT] == pytest.approx(left)
    assert record.statistics[RECALIBRATED] == pytest.approx(expected[-1])
    assert abs(left["forget_loss"] - expected[-1]["forget_loss"]) > 0.1
    # The result is the model that was looked at.
    splits = {"forget": given.forget, "retain": given.retain, "test": TEST}
    result = evaluate(given.model, splits, OBJECTIVE, OBJECTIVE.unlearning_loss)
    assert result == record.statistics[RECALIBRATED]
    # Without recalibration all rows are of the method's own statistics.
    own = unlearn(method(), problem(), TEST, stride=stride)
    assert own.trajectory[-1] == pytest.approx({"update": last, "final": True, **left})
    assert own.statistics == {}


@pytest.mark.parametrize("stride", [1, None])
def test_an_earlier_model_that_is_the_result_is_recalibrated_too(stride: int | None) -> None:
    x = examples(12, 12).x
    rows = rows_by_hand(problem(), method(), x)
    record = unlearn(method(), problem(), TEST, stride=stride, updates=4, recalibration=x)
    assert record.statistics[RECALIBRATED] == pytest.approx(rows[4])
    assert record.trajectory[-1] == pytest.approx({"update": 4, "final": True, **rows[4]})


@pytest.mark.parametrize("stride", [1, 2, None])
@pytest.mark.parametrize("recalibration", [None, examples(12, 12).x])
def test_rows_are_of_the_examples_that_are_looked_at(stride: int | None, recalibration: Tensor | None) -> None:
    """The method and the result are those of all."""
    whole = problem()
    record = unlearn(method(), whole, TEST, stride=1, recalibration=recalibration)
    part = problem()
    some = unlearn(method(), part, TEST, stride=stride, recalibration=recalibration, looked_at=PART)
    assert_same(state_of(part.model), state_of(whole.model), 0)
    assert some.statistics == record.statistics
    assert some.diagnostics == record.diagnostics
    expected = evaluate(part.model, PART, OBJECTIVE, OBJECTIVE.unlearning_loss)
    assert some.trajectory[-1] == {"update": record.diagnostics["updates"], "final": True, **expected}
    if stride is None:
        every = unlearn(method(), problem(), TEST, stride=1, recalibration=recalibration, looked_at=PART)
        falls = [row["forget_accuracy"] for row in every.trajectory if not row["final"]]
        changed = {n for n in range(1, len(falls)) if falls[n] != falls[n - 1]}
        around = {0, len(falls) - 1} | changed | {n - 1 for n in changed}
        assert {row["update"] for row in some.trajectory} == around


def test_with_a_stride_of_0_the_result_alone_is_looked_at_as_it_was_left() -> None:
    record = unlearn(method(), problem(), TEST, stride=0, recalibration=examples(12, 12).x)
    whole = unlearn(method(), problem(), TEST, stride=1, recalibration=examples(12, 12).x)
    assert record.trajectory == []
    assert record.statistics == {LEFT: whole.statistics[LEFT]}


def test_without_statistics_all_else_is_the_same() -> None:
    alone = unlearn(method(), problem(), TEST, stride=1, recalibration=examples(12, 12).x, statistics=False)
    whole = unlearn(method(), problem(), TEST, stride=1, recalibration=examples(12, 12).x)
    assert alone.statistics == {}
    assert (alone.trajectory, alone.diagnostics) == (whole.trajectory, whole.diagnostics)


# Gradient ascent that changes no weight.


def shifted() -> Problem:
    """Forget examples lie 8 standard deviations of the retain set's first input beside it; beyond 3 the model says class 1."""
    draw = torch.Generator().manual_seed(0)
    retain = torch.randn(40, 2, generator=draw, dtype=torch.float64)
    forget = torch.randn(20, 2, generator=draw, dtype=torch.float64) + torch.tensor([8.0, 0.0])
    model = nn.Sequential(nn.BatchNorm1d(2, affine=False), nn.Linear(2, 2)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        model[1].bias.copy_(torch.tensor([0.0, -6.0]))
    known = [Examples(forget, torch.ones(20).long()), *[Examples(retain, torch.zeros(40).long())] * 2]
    return Problem(model, *known, objective=OBJECTIVE, seed=0)


def still(statistics: str) -> Method:
    return GradientAscent(
        learning_rate=0.0, momentum=0.9, weight_decay=0.0, epochs=15, batch_size=5, batch_statistics=statistics
    )


def run_still(statistics: str, recalibration: bool) -> tuple[Record, Iterator[float]]:
    given = shifted()
    recalibrate(given.model, given.retain.x)
    x = given.retain.x if recalibration else None
    record = unlearn(still(statistics), given, given.retain, stride=1, recalibration=x)
    return record, (row["forget_accuracy"] for row in record.trajectory)


def test_ascent_at_learning_rate_0_forgets_in_train_mode_and_not_after_recalibration() -> None:
    _, falls = run_still("moving", recalibration=False)
    assert [*falls][-1] < 0.1, "it needs no other weights"
    record, accuracies = run_still("moving", recalibration=True)
    first = record.trajectory[0]
    assert {*accuracies} == {1.0}
    for row in record.trajectory:
        assert row == {**first, "update": row["update"], "final": row["final"]}, "not a bit"
    assert record.statistics[LEFT]["forget_accuracy"] < 0.1
    assert record.statistics[RECALIBRATED] == {name: first[name] for name in record.statistics[LEFT]}


def test_with_frozen_statistics_it_does_nothing() -> None:
    record, _ = run_still("frozen", recalibration=True)
    assert record.statistics[LEFT] == record.statistics[RECALIBRATED]
    assert record.statistics[LEFT]["forget_accuracy"] == 1.0


def test_recalibration_does_not_hide_what_the_weights_forget() -> None:
    given = shifted()
    ascent = GradientAscent(
        learning_rate=30.0, momentum=0.9, weight_decay=0.0, epochs=15, batch_size=5, batch_statistics="frozen"
    )
    record = unlearn(ascent, given, given.retain, stride=None, recalibration=given.retain.x)
    assert record.statistics[RECALIBRATED]["forget_accuracy"] == 0.0
