"""Data sets, splits, forget sets and the seeds that draw them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grokforget
from grokforget.config.data_settings.pairs import is_prime
from grokforget.config.specs.runs import ForgetSpec
from grokforget.data.digits import Digits
from grokforget.data.examples import ExampleTable, ForgetSplit, Split, TrainingExamples, class_balanced
from grokforget.data.modular import Modular
from grokforget.data.shape import DataShape
from grokforget.forget_sets.by_class import drawn_classes, whole_classes, within_classes
from grokforget.forget_sets.random_examples import random_examples
from grokforget.jobs.prepare import check_parts, forget
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import derive_seed, numpy_generator

light = settings(max_examples=40, deadline=None, database=None, derandomize=True)
shares = st.floats(0.01, 0.99)
seeds = st.integers(0, 2**31 - 1)
class_sizes = st.lists(st.integers(1, 30), min_size=2, max_size=8)


def labels_of(sizes: list[int]) -> np.ndarray:
    """Labels with so many examples of each class, mixed."""
    return numpy_generator(0, "labels").permutation(np.repeat(np.arange(len(sizes)), sizes))


def of(labels: np.ndarray) -> TrainingExamples:
    """Training examples of which the labels alone matter."""
    return TrainingExamples(labels, np.zeros((len(labels), 2)))


@pytest.fixture(scope="module")
def digits() -> ExampleTable:
    return Digits(train=200, validation=500).examples()


def assert_partition(split: Split, n: int) -> None:
    """Every one of n examples is in one of the parts, and none of them is empty."""
    assert sorted(i for part in vars(split).values() for i in part.tolist()) == list(range(n))
    assert all(len(part) for part in vars(split).values())


def modular(operation: str = "+", modulus: int = 7) -> Modular:
    return Modular(modulus=modulus, operation=operation, train_fraction=0.5, validation_fraction=0.2)


def test_digits_are_1797_small_grey_images_of_ten_classes(digits: ExampleTable) -> None:
    assert digits.inputs.shape == (1797, 1, 8, 8)
    assert (digits.inputs.dtype, digits.labels.dtype) == (np.float32, np.int64)
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    assert sorted(set(digits.labels)) == list(range(10))
    assert digits.shape == DataShape((1, 8, 8), 10)


def test_digits_images_belong_to_their_labels(digits: ExampleTable) -> None:
    from sklearn.datasets import load_digits

    known = load_digits()
    assert np.array_equal(digits.labels, known.target)
    assert np.array_equal(digits.inputs[:, 0] * 16, known.images)


def test_digits_split_is_class_balanced_disjoint_and_complete(digits: ExampleTable) -> None:
    split = Digits(train=200, validation=500).split(digits.labels, numpy_generator(0, "split"))
    assert np.array_equal(np.bincount(digits.labels[split.train]), np.full(10, 20))
    assert np.array_equal(np.bincount(digits.labels[split.validation]), np.full(10, 50))
    assert len(split.test) == 1797 - 700
    assert_partition(split, 1797)
    for part in vars(split).values():
        assert np.all(np.diff(part) > 0)


def test_largest_digits_split_that_the_config_allows_leaves_a_test_set(digits: ExampleTable) -> None:
    split = Digits(train=1200, validation=500).split(digits.labels, numpy_generator(0, "split"))
    assert_partition(split, 1797)
    assert set(digits.labels[split.test]) == set(range(10))


def test_class_balanced_draws_refuse_what_they_cannot_balance() -> None:
    labels = np.repeat(np.arange(3), 4)
    with pytest.raises(ValueError, match="multiples of the 3 classes"):
        class_balanced(labels, [4], numpy_generator(0))
    with pytest.raises(ValueError, match="class 0 has 4 examples; 4 and one for the test set"):
        class_balanced(labels, [6, 6], numpy_generator(0))


@pytest.mark.parametrize("operation", ["+", "-", "*", "/"])
@pytest.mark.parametrize("modulus", [3, 7, 13])
def test_modular_labels_are_right(operation: str, modulus: int) -> None:
    table = modular(operation, modulus).examples()
    answers = {
        "+": lambda a, b: (a + b) % modulus,
        "-": lambda a, b: (a - b) % modulus,
        "*": lambda a, b: a * b % modulus,
        "/": lambda a, b: a * pow(b, -1, modulus) % modulus,
    }
    pairs = [tuple(pair) for pair in table.inputs.tolist()]
    assert table.labels.tolist() == [answers[operation](a, b) for a, b in pairs]
    divisors = range(1, modulus) if operation == "/" else range(modulus)
    assert sorted(pairs) == [(a, b) for a in range(modulus) for b in divisors]


def test_modular_table_has_the_form_that_models_are_built_for() -> None:
    table = modular().examples()
    assert (table.inputs.dtype, table.labels.dtype) == (np.int64, np.int64)
    assert table.shape == DataShape((2,), n_classes=7, vocabulary=7)
    assert table.shape.n_features == 14


def test_modular_split_is_disjoint_complete_and_of_the_asked_sizes() -> None:
    task = modular("+", 13)
    split = task.split(task.examples().labels, numpy_generator(0, "split"))
    assert (len(split.train), len(split.validation), len(split.test)) == (84, 34, 169 - 84 - 34)
    assert_partition(split, 169)


@pytest.mark.parametrize("task", [modular("+", 13), Digits(train=20, validation=10)], ids=["modular", "digits"])
def test_same_seed_same_split_other_seed_other_split(task: Any) -> None:
    labels = task.examples().labels
    first, again, other = (task.split(labels, numpy_generator(seed, "split")) for seed in (0, 0, 1))
    for name in ("train", "validation", "test"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize(
    "parts", [[[0, 1], [1, 2, 3]], [[0, 1, 2, 3], []], [[0, 1], [2, 4]], [[0, 0], [1]]],
    ids=["overlapping", "empty part", "out of range", "twice in one"],
)  # fmt: skip
def test_parts_that_are_no_split_are_refused(parts: list[list[int]]) -> None:
    """What is in none of them is not used: a data set may bring more along than a study asks for."""
    check_parts([np.array([0, 3]), np.array([1, 2])], 4)
    check_parts([np.array([0]), np.array([1, 2])], 4)
    with pytest.raises(ValueError, match="not disjoint, non-empty parts of 4 examples"):
        check_parts([np.array(part, dtype=int) for part in parts], 4)


def test_primes() -> None:
    assert [n for n in range(30) if is_prime(n)] == [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]
    assert is_prime(997)
    assert not is_prime(31 * 31)


def test_data_files_hold_what_was_written(tmp_path: Path) -> None:
    table = modular().examples()
    table.write(tmp_path / "examples.safetensors")
    read = ExampleTable.read(tmp_path / "examples.safetensors")
    assert np.array_equal(read.inputs, table.inputs)
    assert np.array_equal(read.labels, table.labels)
    assert read.shape == table.shape
    split = Split(*(np.array(part) for part in ([0, 3], [1], [2])))
    split.write(tmp_path / "split.safetensors")
    assert {name: part.tolist() for name, part in vars(Split.read(tmp_path / "split.safetensors")).items()} == {
        "train": [0, 3],
        "validation": [1],
        "test": [2],
    }


# Forget sets: positions in the labels of the training set.
@light
@given(sizes=class_sizes, class_share=shares, fraction=shares, seed=seeds)
def test_any_forget_set_is_sorted_without_repeats_not_empty_and_not_all(
    sizes: list[int], class_share: float, fraction: float, seed: int
) -> None:
    labels = labels_of(sizes)
    for positions in (
        within_classes(of(labels), numpy_generator(seed), class_share=class_share, fraction=fraction),
        whole_classes(of(labels), numpy_generator(seed), class_share=class_share),
        random_examples(of(labels), numpy_generator(seed), fraction=fraction),
    ):
        assert np.all(np.diff(positions) > 0)
        assert 0 < len(positions) < len(labels)
        assert positions[0] >= 0
        assert positions[-1] < len(labels)


@light
@given(sizes=class_sizes, class_share=shares, seed=seeds)
def test_whole_classes_are_whole_and_of_the_asked_number(sizes: list[int], class_share: float, seed: int) -> None:
    labels = labels_of(sizes)
    positions = whole_classes(of(labels), numpy_generator(seed), class_share=class_share)
    forgotten = set(labels[positions])
    assert forgotten.isdisjoint(np.delete(labels, positions))
    assert len(forgotten) == min(max(round(class_share * len(sizes)), 1), len(sizes) - 1)


@light
@given(sizes=class_sizes, class_share=shares, fraction=shares, seed=seeds)
def test_within_classes_takes_the_share_of_the_drawn_classes(
    sizes: list[int], class_share: float, fraction: float, seed: int
) -> None:
    labels = labels_of(sizes)
    positions = within_classes(of(labels), numpy_generator(seed), class_share=class_share, fraction=fraction)
    drawn = drawn_classes(labels, numpy_generator(seed), class_share)
    assert set(labels[positions]) <= set(drawn)
    total = sum(sizes[label] for label in drawn)
    assert abs(len(positions) - fraction * total) <= 1
    for label in drawn:
        assert abs(np.sum(labels[positions] == label) - fraction * sizes[label]) < 2


@light
@given(n=st.integers(2, 300), fraction=shares, seed=seeds)
def test_random_examples_takes_the_share(n: int, fraction: float, seed: int) -> None:
    positions = random_examples(of(np.zeros(n, dtype=int)), numpy_generator(seed), fraction=fraction)
    assert abs(len(positions) - fraction * n) <= 1


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_the_smallest_and_the_largest_share_leave_something_on_both_sides(share: float) -> None:
    labels = labels_of([1, 1])
    assert len(random_examples(of(labels), numpy_generator(0), fraction=share)) == 1
    assert len(whole_classes(of(labels), numpy_generator(0), class_share=share)) == 1
    assert len(within_classes(of(labels), numpy_generator(0), class_share=share, fraction=share)) == 1


def test_the_papers_design_is_half_of_two_of_ten_classes() -> None:
    labels = labels_of([20] * 10)
    positions = within_classes(of(labels), numpy_generator(0), class_share=0.2, fraction=0.5)
    assert sorted(np.bincount(labels[positions], minlength=10)) == [0] * 8 + [10, 10]


def test_within_classes_never_takes_all_of_the_drawn_classes() -> None:
    labels = labels_of([20] * 10)
    assert len(within_classes(of(labels), numpy_generator(0), class_share=0.2, fraction=0.99)) < 40


def test_random_examples_come_from_all_classes() -> None:
    labels = labels_of([20] * 10)
    assert set(labels[random_examples(of(labels), numpy_generator(0), fraction=0.5)]) == set(range(10))


def test_one_class_cannot_be_forgotten_by_class() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        whole_classes(of(np.zeros(5, dtype=int)), numpy_generator(0), class_share=0.5)


RULES = {
    "by_class:within_classes": {"class_share": 0.4, "fraction": 0.5},
    "by_class:whole_classes": {"class_share": 0.4},
    "random_examples:random_examples": {"fraction": 0.3},
}


def forget_split(folder: Path, rule: str, seed: int, name: str = "some") -> ForgetSplit:
    """What the job writes for modulo-7 addition, whose split is that of seed 0."""
    task = modular()
    table = task.examples()
    table.write(folder / "examples.safetensors")
    task.split(table.labels, numpy_generator(0, "split")).write(folder / "split.safetensors")
    component = {"implementation": f"grokforget.forget_sets.{rule}", "settings": RULES[rule]}
    inputs = {"examples": [folder / "examples.safetensors"], "split": [folder / "split.safetensors"]}
    out = folder / "forget.safetensors"
    forget(Job(inputs, {"forget": out}, ForgetSpec(forget_set=component, seed=seed, name=name)))
    return ForgetSplit.read(out)


@pytest.mark.parametrize("rule", RULES)
def test_forget_and_retain_part_the_training_set(tmp_path: Path, rule: str) -> None:
    parts = forget_split(tmp_path, rule, seed=3)
    train = Split.read(tmp_path / "split.safetensors").train
    assert np.array_equal(np.union1d(parts.forget, parts.retain), train)
    assert len(np.intersect1d(parts.forget, parts.retain)) == 0
    assert len(parts.forget) > 0
    assert len(parts.retain) > 0


@pytest.mark.parametrize("rule", RULES)
def test_same_seed_same_forget_set_other_seed_or_name_another(tmp_path: Path, rule: str) -> None:
    first = forget_split(tmp_path, rule, seed=3).forget
    assert np.array_equal(forget_split(tmp_path, rule, seed=3).forget, first)
    assert not np.array_equal(forget_split(tmp_path, rule, seed=4).forget, first)
    assert not np.array_equal(forget_split(tmp_path, rule, seed=3, name="other").forget, first)


def test_derived_seeds_never_change() -> None:
    assert derive_seed(0, "initialisation") == 1232821161063638841
    assert derive_seed(7, "order", 3) == 7391995676944021016


def test_derived_seeds_depend_on_everything_and_the_order() -> None:
    given = [(0, "a"), (1, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a"), (0, "ab"), (0,), (0, "a", 0), (0, "a", 1)]
    assert len({derive_seed(*labels) for labels in given}) == len(given)
    assert all(0 <= derive_seed(*labels) < 2**63 for labels in given)


def test_derived_seeds_do_not_depend_on_the_hash_seed_of_python() -> None:
    code = (
        "from grokforget.runtime.seeds import derive_seed, numpy_generator\n"
        "print(derive_seed(0, 'initialisation'), numpy_generator(0, 'x').random())"
    )
    source = str(Path(grokforget.__file__).parents[1])
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": source, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert outputs == {f"1232821161063638841 {numpy_generator(0, 'x').random()}\n"}


def test_generators_of_two_purposes_share_no_stream() -> None:
    assert numpy_generator(0, "split").random() != numpy_generator(0, "forget").random()
    assert numpy_generator(0, "split").random() == numpy_generator(0, "split").random()
