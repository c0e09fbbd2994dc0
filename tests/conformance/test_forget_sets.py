"""The designs of forget sets on data small enough to work out by hand, or against a plain calculation."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.methods import METHODS
from grokforget.config.models import MODELS
from grokforget.config.specs.runs import DifficultySpec, ForgetSpec, ModelSpec
from grokforget.config.specs.unlearning import UnlearnSpec
from grokforget.data.examples import ExampleTable, ForgetSplit, Request, Split, TrainingExamples
from grokforget.data.modular import Modular
from grokforget.forget_sets import nearest
from grokforget.forget_sets.apportion import apportion
from grokforget.forget_sets.difficult import by_difficulty
from grokforget.forget_sets.duplicated import duplicated
from grokforget.forget_sets.nearest import nearest_of_class
from grokforget.forget_sets.noisy import noisy
from grokforget.forget_sets.uneven import uneven_classes
from grokforget.jobs.difficulty import difficulty
from grokforget.jobs.found import metadata_of
from grokforget.jobs.prepare import forget
from grokforget.jobs.snapshots import spread
from grokforget.jobs.unlearn import unlearn
from grokforget.models.build import build_model
from grokforget.models.states import write_states
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_table
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator

light = settings(max_examples=40, deadline=None, database=None, derandomize=True)
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31 - 1)
class_sizes = st.lists(st.integers(1, 30), min_size=2, max_size=8).filter(lambda sizes: max(sizes) > 1)
WITHIN = FORGET_SETS["within-classes"](fraction=0.5, class_share=0.2).spec()


def some(sizes: list[int], levels: int = 10**6) -> TrainingExamples:
    """So many random points of each class, mixed, each with a difficulty of so many levels."""
    draw = numpy_generator(1, "examples")
    labels = draw.permutation(np.repeat(np.arange(len(sizes)), sizes))
    points = draw.integers(0, 4, (len(labels), 3)).astype(np.float32)
    return TrainingExamples(labels, points, draw.integers(0, levels, len(labels)).astype(np.float64))


def points_on_a_line(*positions: float) -> TrainingExamples:
    """One class, one feature."""
    return TrainingExamples(np.zeros(len(positions), dtype=np.int64), np.array(positions, dtype=np.float32)[:, None])


def rules(fraction: float) -> dict[str, Any]:
    """Settings of every new design."""
    kinds = FORGET_SETS
    return {
        "uneven": kinds["uneven-classes"](fraction=fraction),
        "hardest": kinds["by-difficulty"](fraction=fraction),
        "easiest": kinds["by-difficulty"](fraction=fraction, order="easiest"),
        "together": kinds["duplicated"](fraction=fraction),
        "apart": kinds["duplicated"](fraction=fraction, twins="apart"),
        "noisy": kinds["noisy"](intended={"kind": "random", "fraction": fraction}),
    }


@light
@given(sizes=class_sizes, fraction=st.floats(0.01, 0.6), seed=seeds)
def test_any_design_gives_sorted_positions_that_leave_something_and_depend_on_the_seed_alone(
    sizes: list[int], fraction: float, seed: int
) -> None:
    train = some(sizes)
    for name, rule in rules(fraction).items():
        first, again = (rule.spec().build(train, numpy_generator(seed)) for _ in range(2))
        if isinstance(first, Request):
            assert np.array_equal(first.intended, again.intended)
            first, again = first.requested, again.requested
        assert np.array_equal(first, again)
        assert first.dtype == np.int64
        assert np.all(np.diff(first) > 0)
        assert len(first) >= 1
        assert first[0] >= 0
        assert first[-1] < len(train)
        if name != "together":
            assert len(first) < len(train)


@pytest.mark.parametrize("name", rules(0.3))
def test_another_seed_draws_another_forget_set_where_there_is_a_choice(name: str) -> None:
    train = some([20] * 5, levels=2)
    drawn = []
    for seed in range(5):
        answer = rules(0.3)[name].spec().build(train, numpy_generator(seed))
        drawn.append(tuple(answer.requested if isinstance(answer, Request) else answer))
    assert len(set(drawn)) >= 3


# Uneven over classes


@pytest.mark.parametrize(
    ("total", "weights", "limits", "expected"),
    [
        (7, [4, 2, 1], [9, 9, 9], [4, 2, 1]),
        # 8 * (4, 2, 1) / 7 = 4.57, 2.29, 1.14: the largest remainder gets the one that is missing.
        (8, [4, 2, 1], [9, 9, 9], [5, 2, 1]),
        # 14 * 4 / 7 = 8 is 5 too many; of the 11 that are left to the others two thirds and one.
        (14, [4, 2, 1], [3, 9, 9], [3, 7, 4]),
        # Then the second is full as well: 3 + 4 are given, 7 left.
        (14, [4, 2, 1], [3, 4, 9], [3, 4, 7]),
        (14, [4, 2, 1], [3, 4, 2], [3, 4, 2]),
        (5, [1, 1, 1], [9, 9, 9], [2, 2, 1]),
        (5, [1, 1, 1], [0, 9, 9], [0, 3, 2]),
        (1, [1, 1], [1, 1], [1, 0]),
    ],
)
def test_whole_numbers_in_proportion(total: int, weights: list[float], limits: list[int], expected: list[int]) -> None:
    assert apportion(total, np.array(weights, dtype=float), np.array(limits)).tolist() == expected


@light
@given(
    parts=st.lists(st.tuples(st.floats(1e-6, 10), st.integers(0, 40)), min_size=1, max_size=9),
    total=st.integers(0, 300),
)
def test_no_share_is_above_its_limit_and_none_that_is_below_is_rounded_by_one_or_more(
    parts: list[tuple[float, int]], total: int
) -> None:
    weights, limits = (np.array(column) for column in zip(*parts, strict=True))
    given_out = apportion(total, weights, limits)
    assert given_out.sum() == min(total, limits.sum())
    assert np.all((given_out >= 0) & (given_out <= limits))
    # All that are not full have had the same multiple of their weight, up to rounding.
    below = given_out < limits
    least, most = (np.max((given_out - 1) / weights), np.min(((given_out + 1) / weights)[below], initial=math.inf))
    assert np.all(((given_out - 1) / weights)[below] <= most * (1 + 1e-6))
    assert least <= most * (1 + 1e-6) or not below.any()


def test_uneven_classes_fall_by_the_ratio() -> None:
    """30 % of 100: 16, 8, 4 and 2 of 25 each."""
    train = some([25] * 4)
    for seed in range(5):
        picked = train.labels[uneven_classes(train, numpy_generator(seed), fraction=0.3, ratio=0.5)]
        assert sorted(Counter(picked.tolist()).values()) == [2, 4, 8, 16]
    firsts = {
        np.bincount(train.labels[uneven_classes(train, numpy_generator(seed), fraction=0.3, ratio=0.5)]).argmax()
        for seed in range(30)
    }
    assert firsts == {0, 1, 2, 3}


def test_a_class_gives_all_but_one_at_most_and_the_others_the_rest() -> None:
    """40 of 100: 27 and 9 and 3 and 1 by a ratio of a third; of 25 the first gives 24 and the others 16 : 11, 4, 1."""
    train = some([25] * 4)
    picked = train.labels[uneven_classes(train, numpy_generator(0), fraction=0.4, ratio=1 / 3)]
    assert sorted(Counter(picked.tolist()).values()) == [1, 4, 11, 24]


def test_uneven_classes_survive_more_classes_than_the_ratio_has_powers() -> None:
    train = some([3] * 400)
    picked = uneven_classes(train, numpy_generator(0), fraction=0.99, ratio=0.05)
    assert Counter(train.labels[picked].tolist()) == dict.fromkeys(range(400), 2)


def test_one_example_a_class_cannot_be_forgotten_unevenly() -> None:
    with pytest.raises(ValueError, match="a class of two training examples or more"):
        uneven_classes(some([1, 1, 1]), numpy_generator(0), fraction=0.3, ratio=0.5)


# By difficulty


def scored(labels: list[int], scores: list[float]) -> TrainingExamples:
    return TrainingExamples(
        np.array(labels), np.zeros((len(labels), 1), np.float32), np.array(scores, dtype=np.float64)
    )


def test_the_hardest_and_the_easiest_of_each_class() -> None:
    """Class 0 is harder than class 1 throughout, and gives no more for it."""
    train = scored([0, 0, 0, 0, 1, 1, 1, 1], [5, 9, 7, 6, 1, 0, 3, 2])
    for seed in range(5):
        hardest = by_difficulty(train, numpy_generator(seed), fraction=0.5, order="hardest")
        easiest = by_difficulty(train, numpy_generator(seed), fraction=0.5, order="easiest")
        assert hardest.tolist() == [1, 2, 6, 7]
        assert easiest.tolist() == [0, 3, 4, 5]


def test_what_is_no_number_is_hardest_and_ties_are_drawn() -> None:
    train = scored([0] * 6, [math.nan, 3, math.inf, 4, math.nan, 3])
    nan_and_inf = {
        tuple(by_difficulty(train, numpy_generator(seed), fraction=1 / 3, order="hardest").tolist())
        for seed in range(30)
    }
    assert nan_and_inf == {(0, 2), (0, 4), (2, 4)}
    assert {
        tuple(by_difficulty(train, numpy_generator(seed), fraction=1 / 6, order="easiest").tolist())
        for seed in range(30)
    } == {(1,), (5,)}
    everything = scored([0] * 4, [math.nan] * 4)
    assert len(by_difficulty(everything, numpy_generator(0), fraction=0.5, order="easiest")) == 2


def test_no_class_is_always_the_one_that_is_rounded_up() -> None:
    """Half of 3 + 3."""
    train = scored([0, 0, 0, 1, 1, 1], [1, 2, 3, 1, 2, 3])
    drawn = [
        tuple(np.bincount(train.labels[by_difficulty(train, numpy_generator(seed), fraction=0.5, order="hardest")]))
        for seed in range(30)
    ]
    assert set(drawn) == {(1, 2), (2, 1)}


def test_without_difficulty_nothing_is_drawn_by_it() -> None:
    with pytest.raises(ValueError, match="needs the examples' difficulty"):
        by_difficulty(points_on_a_line(1, 2), numpy_generator(0), fraction=0.5, order="hardest")


# By duplication


def neighbours_by_hand(train: TrainingExamples) -> list[tuple[float, list[int]]]:
    """Of each example the smallest distance and whose it is, one pair at a time."""
    found = []
    for i in range(len(train)):
        others = [j for j in range(len(train)) if j != i and train.labels[j] == train.labels[i]]
        squares = {}
        for j in others:
            both = zip(train.inputs[i].ravel().tolist(), train.inputs[j].ravel().tolist(), strict=True)
            squares[j] = math.fsum((a - b) ** 2 for a, b in both)
        least = min(squares.values(), default=math.inf)
        found.append((math.sqrt(least), [j for j in others if squares[j] == least]))
    return found


@pytest.mark.parametrize("block", [512, 3])
@light
@given(sizes=class_sizes, offset=st.sampled_from([0, 1, 2**12]))
def test_nearest_examples_of_the_class_are_those_of_a_plain_search(block: int, sizes: list[int], offset: int) -> None:
    """Points of a small grid: full of copies and ties. Far from the origin products alone would be too coarse."""
    train = some(sizes)
    moved = TrainingExamples(train.labels, train.inputs[:, None] + np.float32(offset))
    before, nearest.BLOCK = nearest.BLOCK, block
    try:
        found = nearest_of_class(moved)
    finally:
        nearest.BLOCK = before
    for i, (distance, twins) in enumerate(neighbours_by_hand(moved)):
        assert found.distance[i] == distance
        assert found.twins[i].tolist() == twins


def test_images_that_differ_in_a_last_bit_are_no_copies() -> None:
    image = numpy_generator(0, "image").random((1, 8, 8)).astype(np.float32)
    other = image.copy()
    other[0, 3, 3] = np.nextafter(other[0, 3, 3], np.float32(2))
    near = nearest_of_class(TrainingExamples(np.zeros(3, dtype=int), np.stack([image, other, image])))
    assert [twins.tolist() for twins in near.twins] == [[2], [0, 2], [0]]
    assert near.distance[0] == near.distance[2] == 0 < near.distance[1]


def test_planted_copies_are_found_first_and_go_together() -> None:
    """Copies at 2, 7 and 4, 9, 11; a near pair at 0, 5; the same image with another label at 1 is no copy."""
    draw = numpy_generator(0, "images")
    images = draw.random((12, 1, 4, 4)).astype(np.float32)
    images[7] = images[2]
    images[9] = images[11] = images[4]
    images[5] = images[0] + np.float32(1e-3)
    images[1] = images[2]
    labels = np.zeros(12, dtype=np.int64)
    labels[[1, 3]] = 1
    train = TrainingExamples(labels, images)
    for seed in range(10):
        picked = {
            n: duplicated(train, numpy_generator(seed), fraction=n / 12, twins="together").tolist() for n in (5, 7)
        }
        assert picked == {5: [2, 4, 7, 9, 11], 7: [0, 2, 4, 5, 7, 9, 11]}
        one_each = duplicated(train, numpy_generator(seed), fraction=3 / 12, twins="apart")
        assert [len(set(one_each) & group) for group in ({2, 7}, {4, 9, 11}, {0, 5})] == [1, 1, 1]


@pytest.mark.parametrize(("wanted", "sizes"), [(1, {2, 3}), (2, {2, 3}), (3, {2, 3}), (4, {5, 3}), (5, {5})])
def test_a_group_goes_whole_or_not_at_all(wanted: int, sizes: set[int]) -> None:
    """Copies of 2 and of 3 among 10, in random order: as near to what is wanted as whole groups come, one in any case.

    Of 4: the pair alone (2) goes on to 5, the three stop before it, for 5 is no nearer.
    """
    train = points_on_a_line(1, 1, 5, 5, 5, 100, 200, 400, 800, 1600)
    drawn = {
        len(duplicated(train, numpy_generator(seed), fraction=wanted / 10, twins="together")) for seed in range(40)
    }
    assert drawn == sizes


@light
@given(sizes=class_sizes, fraction=shares, seed=seeds)
def test_twins_together_leave_no_twin_behind_and_twins_apart_take_none(
    sizes: list[int], fraction: float, seed: int
) -> None:
    train = some(sizes)
    twins = [set(found) for _, found in neighbours_by_hand(train)]
    both = set(duplicated(train, numpy_generator(seed), fraction=fraction, twins="together").tolist())
    assert all(twins[one] <= both for one in both)
    alone = set(duplicated(train, numpy_generator(seed), fraction=fraction, twins="apart").tolist())
    assert all(twins[one].isdisjoint(alone) for one in alone)
    assert 1 <= len(alone) <= max(round(fraction * len(train)), 1)
    # Fewer only where no further one can join.
    if len(alone) < min(max(round(fraction * len(train)), 1), len(train) - 1):
        for one in set(range(len(train))) - alone:
            assert twins[one] & alone or any(one in twins[other] for other in alone)


def test_a_chain_is_cut_by_rank() -> None:
    """0, 1, 3, 6, 10: the nearest to each is the one before it, and 0 and 1 are each other's."""
    train = points_on_a_line(0, 1, 3, 6, 10)
    picked = [duplicated(train, numpy_generator(0), fraction=n / 5, twins="together").tolist() for n in (1, 2, 3, 4)]
    assert picked == [[0, 1], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert {
        tuple(duplicated(train, numpy_generator(seed), fraction=0.8, twins="apart").tolist()) for seed in range(20)
    } == {(0, 2, 4), (1, 3)}


def additions(modulus: int = 7, operation: str = "+") -> TrainingExamples:
    table = Modular(modulus=modulus, operation=operation, train_fraction=0.5, validation_fraction=0.1).examples()
    return TrainingExamples(table.labels, table.inputs)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_in_the_other_order_are_twins(seed: int) -> None:
    """Modulo 7: 21 pairs of twins, and 7 sums of equals that have none."""
    train = additions()
    pairs = [tuple(pair) for pair in train.inputs.tolist()]
    both = [pairs[i] for i in duplicated(train, numpy_generator(seed), fraction=20 / 49, twins="together")]
    assert len(both) == 20
    assert {(b, a) for a, b in both} == set(both)
    assert all(a != b for a, b in both)
    apart = [pairs[i] for i in duplicated(train, numpy_generator(seed), fraction=21 / 49, twins="apart")]
    assert len({frozenset(pair) for pair in apart}) == 21
    assert all(a != b for a, b in apart)
    # Then those without a twin, and no more.
    most = [pairs[i] for i in duplicated(train, numpy_generator(seed), fraction=40 / 49, twins="apart")]
    assert len({frozenset(pair) for pair in most}) == len(most) == 28


def test_other_results_of_the_other_order_are_no_twins() -> None:
    with pytest.raises(ValueError, match="no training example has a duplicate of the same label"):
        duplicated(additions(operation="-"), numpy_generator(0), fraction=0.5, twins="together")


# A noisy request


@light
@given(sizes=class_sizes, wrong=shares, fraction=shares, seed=seeds)
def test_a_noisy_request_is_as_large_as_meant_and_wrong_by_the_share(
    sizes: list[int], wrong: float, fraction: float, seed: int
) -> None:
    train = some(sizes)
    intended = FORGET_SETS["random"](fraction=fraction).spec()
    request = noisy(train, numpy_generator(seed), wrong=wrong, intended=intended)
    assert np.array_equal(request.intended, intended.build(train, numpy_generator(seed)))
    asked, meant = set(request.requested.tolist()), set(request.intended.tolist())
    assert len(asked) == len(request.requested) == len(meant)
    errors = min(max(round(wrong * len(meant)), 1), len(train) - len(meant))
    assert len(asked - meant) == len(meant - asked) == errors


@pytest.mark.parametrize(("fraction", "wrong", "errors"), [(0.8, 0.9, 2), (0.8, 0.2, 2), (0.4, 0.5, 2), (0.2, 0.1, 1)])
def test_as_many_errors_as_are_asked_for_and_as_can_be(fraction: float, wrong: float, errors: int) -> None:
    """Of 10 examples: 2 errors among 8 need the only 2 others; 1.6 and 2 are 2; a tenth of 2 is one all the same."""
    intended = FORGET_SETS["random"](fraction=fraction).spec()
    request = noisy(points_on_a_line(*range(10)), numpy_generator(0), wrong=wrong, intended=intended)
    assert len(request.requested) == len(request.intended) == 10 * fraction
    assert len(np.setdiff1d(request.requested, request.intended)) == errors


def test_errors_are_drawn_from_all_that_were_meant_and_from_all_others() -> None:
    train = some([10] * 4)
    requests = [noisy(train, numpy_generator(seed), wrong=0.2, intended=WITHIN) for seed in range(60)]
    for part in ("requested", "intended"):
        assert {i for request in requests for i in getattr(request, part).tolist()} == set(range(40))
    mistaken = [np.setdiff1d(request.requested, request.intended) for request in requests]
    assert {len(found) for found in mistaken} == {1}
    assert set(np.concatenate([train.labels[found] for found in mistaken])) == {0, 1, 2, 3}


# The stages


COMPUTE: dict[str, Any] = {
    "model": ModelSpec(**dict(MODELS["mlp"](hidden=[5]).spec())),
    "objective": ComponentSpec(
        implementation="grokforget.training.classification:Classification", settings={"loss": "cross-entropy"}
    ),
    **{"seed": 0, "threads": 1, "device": "cpu"},
}


def prepared(folder: Path, snapshots: dict[int, float | None]) -> tuple[Job[DifficultySpec], Any]:
    """A small run on modulo-7 addition: snapshots of a linear model with random weights times a factor, None for NaN."""
    data = Modular(modulus=7, operation="+", train_fraction=0.5, validation_fraction=0.2)
    table = data.examples()
    table.write(folder / "examples.safetensors")
    data.split(table.labels, numpy_generator(0, "split")).write(folder / "split.safetensors")
    spec = DifficultySpec(**COMPUTE, snapshots=3, score="probability")
    states: dict[int, dict[str, torch.Tensor]] = {}
    for step, factor in snapshots.items():
        model = build_model(spec.model, table.shape, seed=step)
        with torch.no_grad():
            for value in model.parameters():
                value.mul_(math.nan if factor is None else factor)
        states[step] = {name: value.clone() for name, value in model.state_dict().items()}
    steps = sorted(states)
    cut = len(steps) // 2
    for name, part in (("one", steps[:cut]), ("two", steps[cut:])):
        write_states(folder / f"{name}.safetensors", {str(step): states[step] for step in part})
    inputs = {
        "examples": [folder / "examples.safetensors"],
        "split": [folder / "split.safetensors"],
        "snapshots": [folder / "one.safetensors", folder / "two.safetensors"],
        "difficulty": [folder / "difficulty.safetensors"],
    }
    return Job(inputs, {"difficulty": folder / "difficulty.safetensors"}, spec), states


def scores_of(path: Path) -> dict[str, np.ndarray]:
    return load_file(path)


@pytest.mark.parametrize("score", ["probability", "loss"])
def test_difficulty_is_the_mean_along_training_of_what_plain_arithmetic_gives(tmp_path: Path, score: str) -> None:
    """Steps 1, 10 and 100 of 0, 1, 3, 10, 70, 100: log-spaced, without the initialisation."""
    job, states = prepared(tmp_path, {0: 50.0, 1: 1.0, 3: 40.0, 10: 2.0, 70: 30.0, 100: 3.0})
    difficulty(Job(job.inputs, job.outputs, job.spec.model_copy(update={"score": score})))
    written = scores_of(tmp_path / "difficulty.safetensors")
    table, split = ExampleTable.read(job.input("examples")), Split.read(job.input("split"))
    assert np.array_equal(written["index"], split.train)
    assert written["difficulty"].dtype == np.float64
    for row, index in enumerate(split.train[:8]):
        hot = np.zeros((2, 7))
        hot[[0, 1], table.inputs[index]] = 1
        terms = []
        for step in (1, 10, 100):
            layers = [value.double().numpy() for value in states[step].values()]
            hidden = np.maximum(layers[0] @ hot.ravel() + layers[1], 0)
            logits = layers[2] @ hidden + layers[3]
            probability = np.exp(logits[table.labels[index]]) / np.exp(logits).sum()
            terms.append(1 - probability if score == "probability" else -math.log(probability))
        assert written["difficulty"][row] == pytest.approx(sum(terms) / 3, abs=1e-5)
    assert np.ptp(written["difficulty"]) > 0.01


def test_a_run_that_diverged_gives_no_number_and_a_forget_set_all_the_same(tmp_path: Path) -> None:
    job, _ = prepared(tmp_path, {0: 1.0, 1: 1.0, 10: None, 100: None})
    difficulty(job)
    assert np.isnan(scores_of(tmp_path / "difficulty.safetensors")["difficulty"]).all()
    out = tmp_path / "forget.safetensors"
    rule = FORGET_SETS["by-difficulty"](fraction=0.25).spec()
    forget(Job(job.inputs, {"forget": out}, ForgetSpec(forget_set=rule, seed=0, name="hard")))
    assert len(ForgetSplit.read(out).forget) == 6


def test_snapshots_are_spread_over_the_logarithm_of_the_step() -> None:
    steps = [0, *range(1, 1001)]
    assert spread(steps, 4) == [1, 10, 100, 1000]
    assert spread([0, 7], 20) == [7]
    assert all(a < b for a, b in pairwise(spread([0, 1, 2, 5, 9], 50)))


def test_the_forget_stage_takes_the_hardest_by_the_file(tmp_path: Path) -> None:
    job, _ = prepared(tmp_path, {1: 1.0, 10: 2.0})
    difficulty(job)
    written = scores_of(tmp_path / "difficulty.safetensors")
    labels = ExampleTable.read(job.input("examples")).labels
    rule = FORGET_SETS["by-difficulty"](fraction=0.4)
    spec = ForgetSpec(forget_set=rule.spec(), seed=0, name="hard")
    forget(Job(job.inputs, {"forget": tmp_path / "forget.safetensors"}, spec))
    parts = ForgetSplit.read(tmp_path / "forget.safetensors")
    score = dict(zip(written["index"].tolist(), written["difficulty"].tolist(), strict=True))
    for label in range(7):
        forgotten, retained = ([score[i] for i in part if labels[i] == label] for part in (parts.forget, parts.retain))
        assert not forgotten or not retained or min(forgotten) >= max(retained)
    assert len(parts.forget) == round(0.4 * len(written["index"]))
    Split(*(np.array(part) for part in ([0, 3, 5], [1], [2]))).write(tmp_path / "split.safetensors")
    with pytest.raises(ValueError, match="is not of the training examples"):
        forget(Job(job.inputs, {"forget": tmp_path / "forget.safetensors"}, spec))


@pytest.mark.parametrize("wrong", [0.3, None], ids=["noisy", "exact"])
def test_the_forget_stage_tells_the_errors_of_a_request(tmp_path: Path, wrong: float | None) -> None:
    job, _ = prepared(tmp_path, {1: 1.0, 10: 1.0})
    intended = FORGET_SETS["random"](fraction=0.5)
    rule = FORGET_SETS["noisy"](wrong=wrong, intended=intended.model_dump()) if wrong else intended
    out = tmp_path / "forget.safetensors"
    inputs = {what: job.inputs[what] for what in ("examples", "split")}
    forget(Job(inputs, {"forget": out}, ForgetSpec(forget_set=rule.spec(), seed=0, name="some")))
    parts, train = ForgetSplit.read(out), Split.read(job.input("split")).train
    assert np.array_equal(np.union1d(parts.forget, parts.retain), train)
    assert np.intersect1d(parts.forget, parts.retain).size == 0
    errors = round(wrong * 12) if wrong else 0
    assert len(parts.forget) == 12
    assert len(parts.missed) == len(parts.mistaken) == errors
    assert np.isin(parts.missed, parts.retain).all()
    assert np.isin(parts.mistaken, parts.forget).all()
    for part in vars(parts).values():
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)


def test_what_a_request_is_wrong_about_is_looked_at_and_nothing_else_changes(tmp_path: Path) -> None:
    """The outputs of a cell hold two further splits, with rows that the forget and retain set have too."""
    job, states = prepared(tmp_path, {1: 1.0, 10: 1.0})
    train = Split.read(job.input("split")).train
    write_states(tmp_path / "checkpoints.safetensors", {"early": states[10]}, metadata_of({"early": True}))
    method = METHODS["gradient-ascent"](learning_rate=0.1, epochs=2).spec()
    outputs = {}
    for name, errors in (("exact", {}), ("noisy", {"missed": train[[20, 22]], "mistaken": train[[1, 3, 4]]})):
        ForgetSplit(train[:6], train[6:], **errors).write(tmp_path / f"{name}.safetensors")
        inputs = {
            **job.inputs,
            "forget": [tmp_path / f"{name}.safetensors"],
            "checkpoints": [tmp_path / "checkpoints.safetensors"],
        }
        out = {kind: tmp_path / name / f"{kind}.parquet" for kind in ("trajectory", "outputs", "diagnostics")}
        out["models"] = tmp_path / name / "models.safetensors"
        spec = UnlearnSpec(**COMPUTE, method=method, checkpoints=["early"], forget_set="some", stride=1, updates=None)
        unlearn(Job(inputs, out, spec))
        outputs[name] = read_table(out["outputs"])
    exact, found = outputs["exact"], outputs["noisy"]
    errors_only = found.split.isin(["missed", "mistaken"])
    assert found[~errors_only].reset_index(drop=True).equals(exact)
    for split, whole, rows in (("missed", "retain", [14, 16]), ("mistaken", "forget", [1, 3, 4])):
        of_whole = found[found.split == whole].iloc[rows]
        alone = found[found.split == split]
        assert alone[["label", "correct"]].to_numpy().tolist() == of_whole[["label", "correct"]].to_numpy().tolist()
        # A sum over classes may be taken in another order where there are fewer rows.
        numbers = ["loss", "confidence"]
        np.testing.assert_allclose(alone[numbers], of_whole[numbers], rtol=1e-13)
