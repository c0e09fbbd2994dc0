"""The tasks of the literature on grokking: groups, modular polynomials, sparse parity, and labels that cannot be learned."""

from __future__ import annotations

from itertools import product
from math import comb, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from grokforget.config.data import DATA_SETS
from grokforget.config.data_settings.pairs import Modular as ModularSettings
from grokforget.config.specs import runs
from grokforget.data.examples import ExampleTable, Split, read_examples
from grokforget.data.modular import OPERATIONS
from grokforget.data.refusal import DataError
from grokforget.jobs.prepare import prepare, split
from grokforget.runtime.files import read_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from small import small

SHARES = {"train_fraction": 0.4, "validation_fraction": 0.1}
NAMES = ["S3", "S4", "S5", "A3", "A4", "A5", "D3", "D4", "D59", "C3", "C97"]


def settings_of(kind: str, **more: Any) -> Any:
    return DATA_SETS[kind].model_validate({"kind": kind, **more})


def examples(kind: str, **more: Any) -> ExampleTable:
    """What the job makes of the settings, which say themselves how large it is."""
    settings = settings_of(kind, **more)
    assert settings.conflict() is None
    built = settings.spec().build()
    table: ExampleTable = built.examples(*map(Path, settings.files()))
    parts = built.split(table.labels, numpy_generator(0, "split"))
    assert sorted(np.concatenate([*vars(parts).values()])) == list(range(len(table.labels)))
    extent = settings.extent()
    if extent:
        assert extent[:3] == tuple(map(len, vars(parts).values()))
        assert extent[3:6] == (table.shape.n_features, table.n_classes, table.inputs.nbytes)
    return table


def group(name: str) -> ExampleTable:
    return examples("group", name=name, **SHARES)


def products(table: ExampleTable) -> np.ndarray:
    """(n, n): the label of every pair."""
    found = np.full((table.n_classes, table.n_classes), -1)
    found[tuple(table.inputs.T)] = table.labels
    assert (table.inputs.dtype, table.labels.dtype, table.vocabulary) == (np.int64, np.int64, table.n_classes)
    return found


# Groups.
@pytest.mark.parametrize("name", NAMES)
def test_a_group_is_one(name: str) -> None:
    table = group(name)
    of = products(table)
    elements = np.arange(len(of))
    assert (np.sort(of, 0) == elements[:, None]).all(), "closed, and every element once in a column"
    assert (np.sort(of, 1) == elements).all()
    assert (of[0] == elements).all(), "the first element is the neutral one"
    assert (of[:, 0] == elements).all()
    inverse = (of == 0).argmax(1)
    assert (of[inverse, elements] == 0).all()
    generator = np.random.default_rng(0)
    a, b, c = generator.integers(len(of), size=(3, 10_000))
    assert (of[of[a, b], c] == of[a, of[b, c]]).all()
    assert len(set(table.names)) == len(of)


@pytest.mark.parametrize(
    ("name", "order", "involutions", "classes"),
    [
        ("S5", 120, 25, 7),
        ("A5", 60, 15, 5),
        ("S4", 24, 9, 5),
        ("D59", 118, 59, 31),
        ("D4", 8, 5, 5),
        ("C97", 97, 0, 97),
    ],
)
def test_groups_are_those_of_their_names(name: str, order: int, involutions: int, classes: int) -> None:
    of = products(group(name))
    assert len(of) == order
    elements = np.arange(order)
    assert int((of[elements, elements] == 0).sum()) - 1 == involutions
    inverse = (of == 0).argmax(1)
    conjugates = {frozenset(of[of[elements, one], inverse].tolist()) for one in range(order)}
    assert len(conjugates) == classes


def test_permutations_are_composed_from_the_right() -> None:
    """By hand: (1 2)∘(2 3) takes 3 to 2 to 1, 2 to 3, and 1 to 2."""
    table = group("S3")
    number = {name: position for position, name in enumerate(table.names)}
    assert list(number) == ["123", "132", "213", "231", "312", "321"]
    of = products(table)
    assert of[number["213"], number["132"]] == number["231"]
    assert of[number["132"], number["213"]] == number["312"]
    for a, b in product(number, repeat=2):
        assert table.names[of[number[a], number[b]]] == "".join(a[int(image) - 1] for image in b)


def test_even_permutations_are_a_part_of_all() -> None:
    whole, even = group("S5"), group("A5")
    inside = [whole.names.index(name) for name in even.names]
    assert np.array_equal(products(whole)[np.ix_(inside, inside)], np.array(inside)[products(even)])


def test_a_reflection_turns_rotations_round() -> None:
    table = group("D5")
    assert table.names == ("r0", "r1", "r2", "r3", "r4", "r0s", "r1s", "r2s", "r3s", "r4s")
    of, name = products(table), table.names.index
    assert of[name("r0s"), name("r1")] == name("r4s")
    assert of[name("r1"), name("r0s")] == name("r1s")
    assert of[name("r2s"), name("r4s")] == name("r3")


def test_rotations_alone_are_addition() -> None:
    rotations, added = group("C13"), examples("modular", modulus=13, operation="+", **SHARES)
    assert np.array_equal(rotations.inputs, added.inputs)
    assert np.array_equal(rotations.labels, added.labels)


@pytest.mark.parametrize("name", ["S7", "A2", "D2", "D501", "C1", "S", "5", "Q8", "s5", "S05"])
def test_groups_that_there_are_not_are_refused(name: str) -> None:
    with pytest.raises(
        ValidationError, match=f"no such group: found '{name}'; allowed: S3 to S6, A3 to A6, D3 to D500"
    ):
        settings_of("group", name=name, **SHARES)


# Groups by their tables.
def table_file(folder: Path, rows: list[list[Any]]) -> Path:
    path = folder / "table.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


KLEIN = [[0, 1, 2, 3], [1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0]]


def test_any_group_can_be_given_by_its_table(tmp_path: Path) -> None:
    table = examples("group-table", path=str(table_file(tmp_path, KLEIN)), **SHARES)
    assert products(table).tolist() == KLEIN
    rows = products(group("A4")).tolist()
    (tmp_path / "again").mkdir()
    again = examples("group-table", path=str(table_file(tmp_path / "again", rows)), **SHARES)
    assert products(again).tolist() == rows


def test_a_table_counts_by_its_content(tmp_path: Path) -> None:
    settings = settings_of("group-table", path=str(table_file(tmp_path, KLEIN)), **SHARES)
    assert settings.spec().settings == SHARES
    assert settings.files() == [str(tmp_path / "table.csv")]
    assert settings.extent() is None


def replaced(*changes: tuple[int, int, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = [list(row) for row in KLEIN]
    for a, b, value in changes:
        rows[a][b] = value
    return rows


# A loop of five elements with inverses that is no group: the smallest that there is.
LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (replaced((1, 2, "x")), "a table that cannot be read: found"),
        ([[0, 1], [1]], "a table that cannot be read: found"),
        ([], "not square"),
        (KLEIN[:3], "not square: found 3 lines of 4; allowed: as many lines as columns, 2 to 1000"),
        (replaced((2, 3, 4)), "no element: found 4 in line 3, column 4; allowed: 0 to 3"),
        (replaced((2, 3, -1)), "no element: found -1 in line 3, column 4"),
        (replaced((0, 1, 2)), "no group: found no neutral element"),
        (replaced((3, 3, 1)), "no group: found no inverse of 3; allowed: .* is 0"),
        (LOOP, r"no group: found \(1∘1\)∘2 = 2, 1∘\(1∘2\) = 4"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_tables_of_no_group_are_refused(tmp_path: Path, rows: list[list[Any]], words: str) -> None:
    path = table_file(tmp_path, rows)
    with pytest.raises(DataError, match=words) as raised:
        examples("group-table", path=str(path), **SHARES)
    assert str(raised.value).startswith(f"{path}: ")


def test_a_table_that_is_too_small_for_its_split_is_refused(tmp_path: Path) -> None:
    path = table_file(tmp_path, [[0, 1], [1, 0]])
    with pytest.raises(DataError, match="too small for the split: found 2 training and 0 validation pairs of 4"):
        examples("group-table", path=str(path), **SHARES)
    with pytest.raises(ValidationError, match="no such file"):
        settings_of("group-table", path=str(tmp_path / "none.csv"), **SHARES)


# Modular polynomials.
@pytest.mark.parametrize("operation", OPERATIONS)
def test_modular_polynomials_are_those_of_their_names(operation: str) -> None:
    """Read as Python reads them: powers as **, letters side by side as products."""
    table = examples("modular", modulus=97, operation=operation, **SHARES)
    formula = operation if operation in "+-*" else operation.replace("^", "**").replace("ab", "a*b")
    formula = f"a{formula}b" if operation in "+-*" else formula
    assert table.labels.tolist() == [eval(formula, {"a": a, "b": b}) % 97 for a, b in table.inputs.tolist()]
    assert len(np.unique(table.inputs, axis=0)) == 97**2


def test_known_values_of_polynomials() -> None:
    found = {operation: products_of(operation)[3, 5] for operation in OPERATIONS}
    assert found == {
        "+": 8 % 11,
        "-": 9,
        "*": 4,
        "a^2+b^2": 34 % 11,
        "a^2+ab+b^2": 49 % 11,
        "a^2+ab+b^2+a": 52 % 11,
        "a^3+ab": 42 % 11,
        "a^3+ab^2+b": 107 % 11,
    }


def products_of(operation: str) -> np.ndarray:
    return products(examples("modular", modulus=11, operation=operation, **SHARES))


def test_the_largest_modulus_overflows_nothing() -> None:
    table = examples("modular", modulus=1000, operation="a^3+ab^2+b", **SHARES)
    a, b = map(int, table.inputs[-1])
    assert table.labels[-1] == (a**3 + a * b**2 + b) % 1000


def test_the_operations_of_the_studies_are_those_of_the_code() -> None:
    (allowed,) = [
        field.annotation.__args__ for name, field in ModularSettings.model_fields.items() if name == "operation"
    ]
    assert set(allowed) == {*OPERATIONS, "/"}


# Sparse parity.
def test_the_label_is_the_parity_of_the_first_bits() -> None:
    table = examples("sparse-parity", bits=20, relevant=3, train=600, validation=300, test=100)
    assert table.inputs.shape == (1000, 20)
    assert table.inputs.dtype == np.float32
    assert set(np.unique(table.inputs)) == {-1.0, 1.0}
    assert np.array_equal(np.where(table.labels, -1, 1), table.inputs[:, 0] * table.inputs[:, 1] * table.inputs[:, 2])
    assert len(np.unique(table.inputs, axis=0)) == 1000, "nothing of the test set is trained on"
    # No single bit, and no two of them, say anything of the label: within five deviations.
    signs = 1 - 2 * table.labels
    one = np.abs(table.inputs.T @ signs) / np.sqrt(1000)
    assert one.max() < 5
    assert abs(signs.mean()) < 5 / np.sqrt(1000)


def test_all_examples_of_a_few_bits_are_there_once() -> None:
    table = examples("sparse-parity", bits=6, relevant=6, train=40, validation=20, test=4)
    assert len(np.unique(table.inputs, axis=0)) == 64
    assert np.bincount(table.labels).tolist() == [sum(comb(6, k) for k in ks) for ks in ((0, 2, 4, 6), (1, 3, 5))]


def test_the_examples_are_data_and_the_split_is_the_seeds() -> None:
    built = settings_of("sparse-parity").spec().build()
    first, again = built.examples(), built.examples()
    assert np.array_equal(first.inputs, again.inputs)
    parts = [built.split(first.labels, numpy_generator(seed, "split")) for seed in (0, 0, 1)]
    assert np.array_equal(parts[0].train, parts[1].train)
    assert not np.array_equal(parts[0].train, parts[2].train)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bits": 4, "relevant": 5, "train": 4, "validation": 4, "test": 4}, "5 relevant bits of 4"),
        ({"bits": 4, "train": 10, "validation": 4, "test": 4}, "18 examples of 4 bits"),
    ],
)
def test_parities_that_there_are_not_are_refused(changes: dict[str, Any], words: str) -> None:
    assert settings_of("sparse-parity", **changes).conflict()[0] == words


# A polynomial.
def test_the_target_is_a_hermite_polynomial_along_one_direction() -> None:
    """By hand: z, (z² - 1)/√2 and (z³ - 3z)/√6."""
    by_hand = {1: lambda z: z, 2: lambda z: (z**2 - 1) / sqrt(2), 3: lambda z: (z**3 - 3 * z) / sqrt(6)}
    for degree, of in by_hand.items():
        table = examples("polynomial", dimensions=20, degree=degree, train=4000, validation=300, test=100)
        beta = table.extras["direction"]
        assert np.linalg.norm(beta) == pytest.approx(1)
        assert (table.inputs.dtype, table.targets.dtype, table.targets.shape) == (np.float32, np.float32, (4400, 1))
        expected = [of(sum(float(a) * b for a, b in zip(x, beta, strict=True))) for x in table.inputs[:50]]
        np.testing.assert_allclose(table.targets[:50, 0], expected, rtol=1e-5, atol=1e-6)
        # Each number of the inputs, and the target, has mean 0 and variance 1: within five deviations.
        bound = 5 / sqrt(4400)
        assert np.abs(table.inputs.mean(0)).max() < bound
        assert np.abs(table.inputs.var(0) - 1).max() < bound * sqrt(2)
        assert abs(table.targets.mean()) < bound
        assert abs(table.targets.var() - 1) < bound * sqrt({1: 2, 2: 14, 3: 92}[degree])


def test_a_polynomial_has_no_classes_and_no_wrong_labels() -> None:
    assert not examples("polynomial", dimensions=3, train=5, validation=5, test=5).labels.any()
    refused = settings_of("polynomial", dimensions=3, train=5, label_noise="random").conflict()
    assert refused == ("label_noise random", "0, as there are no classes")


# Random labels.
@pytest.mark.parametrize(
    "data",
    [
        {"kind": "digits", "train": 1000, "validation": 100},
        {"kind": "modular", "modulus": 31, "operation": "+", **SHARES},
    ],
    ids=["digits", "modular"],
)
def test_random_labels_say_nothing_of_the_inputs(tmp_path: Path, data: dict[str, Any]) -> None:
    study = small(
        data={"random": {**data, "label_noise": "random"}},
        settings__mlp__data="random",
        likelihood_ratio_attack=False,
    )
    files = {name: tmp_path / name for name in ("examples", "labels", "split")}
    prepare(Job({}, {name: files[name] for name in ("examples", "labels")}, runs.prepare(study, "random")[""].spec))
    spec = runs.split(study, "random", "0")[""].spec
    split(Job({"examples": [files["examples"]]}, {"split": files["split"]}, spec))
    given, (table, parts) = ExampleTable.read(files["examples"]), read_examples(files["examples"], files["split"])
    n, classes = len(parts.train), table.n_classes
    kept = table.labels[parts.train] == given.labels[parts.train]
    assert kept.sum() == n - round(n * (1 - 1 / classes)), "as many as evenly drawn labels would hit"
    assert len(read_tensors(files["split"])[0]["noisy"]) == n - kept.sum()
    for part in ("validation", "test"):
        index = getattr(parts, part)
        assert np.array_equal(table.labels[index], given.labels[index])
    assert isinstance(parts, Split)
    # Every label is as frequent, whatever the true one is: a chi-squared of (K-1)² degrees of freedom.
    counts = np.zeros((classes, classes))
    np.add.at(counts, (given.labels[parts.train], table.labels[parts.train]), 1)
    expected = counts.sum(1, keepdims=True) / classes
    freedom = (classes - 1) * classes
    assert ((counts - expected) ** 2 / expected).sum() < freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("value", ["some", 1.0, True, -0.1])
def test_other_noise_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="label_noise"):
        small(data={"digits": {"kind": "digits", "train": 200, "label_noise": value}})
