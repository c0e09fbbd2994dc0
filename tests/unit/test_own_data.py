"""Data from the user's own files: what is read of them, how it is split, and what is refused and how."""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from grokforget.config.data import DATA_SETS
from grokforget.config.specs import runs
from grokforget.data.examples import ExampleTable, Split
from grokforget.data.labels import classes_of
from grokforget.data.normalise import standardised
from grokforget.data.own import OwnData, in_proportion
from grokforget.data.refusal import DataError
from grokforget.forget_sets.duplicated import duplicated
from grokforget.jobs.prepare import prepare, split
from grokforget.runtime.files import read_metadata
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from small import small

HALF = {"train": 0.5, "validation": 0.2}


def settings_of(kind: str, path: Path, **more: Any) -> Any:
    return DATA_SETS[kind].model_validate({"kind": kind, "path": str(path), **HALF, **more})


def read(kind: str, path: Path, **more: Any) -> ExampleTable:
    """What the job reads of a user's file."""
    built = settings_of(kind, path, **more)
    table: ExampleTable = built.spec().build().examples(*map(Path, built.files()))
    assert (table.inputs.dtype, table.labels.dtype) == (np.uint8 if table.mean else np.float32, np.int64)
    return table


def seen(table: ExampleTable) -> np.ndarray:
    """The images as a model sees them, by hand."""
    mean, std = (np.array(values)[:, None, None] for values in (table.mean, table.std))
    return (table.inputs / 255 - mean) / std


def refusal(kind: str, path: Path, **more: Any) -> str:
    with pytest.raises(DataError) as raised:
        read(kind, path, **more)
    message = str(raised.value)
    assert str(path) in message
    assert ": found " in message
    assert "; allowed: " in message
    return message


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def vectors(n: int = 40, features: int = 3) -> np.ndarray:
    return numpy_generator(1).normal(size=(n, features))


def written(folder: Path, table: pd.DataFrame, kind: str = "csv") -> Path:
    path = folder / f"mine.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    return path


def rows(**columns: Any) -> pd.DataFrame:
    """Twenty rows of two features and a label."""
    x = vectors(20, 2)
    return pd.DataFrame({"width": x[:, 0], "height": x[:, 1], "species": ["cat", "dog"] * 10, **columns})


def pictures(folder: Path, mode: str = "L", size: tuple[int, int] = (5, 4), parts: tuple[str, ...] = ("",)) -> Path:
    """Ten images of each of two classes, width 5 and height 4, every one of another colour."""
    root = folder / "pictures"
    for part in parts:
        for label, kind in enumerate(("cat", "dog")):
            (root / part / kind).mkdir(parents=True)
            for number in range(10):
                value = 20 * number + label
                colour = value if mode == "L" else (value, 100, 255 - value)
                Image.new(mode, size, colour).save(root / part / kind / f"{number}.png")
    return root


# What is read.
def test_arrays_are_read_as_they_are(tmp_path: Path) -> None:
    x, y = vectors(), np.arange(40) % 4
    table = read("arrays", saved(tmp_path, x=x, y=y))
    assert np.array_equal(table.inputs, x.astype(np.float32))
    assert np.array_equal(table.labels, y)
    assert (table.n_classes, table.names, table.test) == (4, ("0", "1", "2", "3"), None)


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [
        ((20, 6, 5), None, (1, 6, 5)),
        ((20, 6, 5, 3), None, (3, 6, 5)),
        ((20, 3, 6, 5), None, (3, 6, 5)),
        ((20, 1, 6, 5), None, (1, 6, 5)),
        ((20, 3, 5, 3), "last", (3, 3, 5)),
        ((20, 3, 5, 3), "first", (3, 5, 3)),
        ((20, 6, 5, 4), "last", (4, 6, 5)),
    ],
)
def test_images_as_arrays_get_their_channels_first(
    tmp_path: Path, shape: tuple[int, ...], channels: str | None, expected: tuple[int, ...]
) -> None:
    x = numpy_generator(0).integers(0, 256, size=shape, dtype=np.uint8)
    path = saved(tmp_path, x=x, y=np.arange(20) % 2)
    table = read("arrays", path, inputs="images", channels=channels)
    assert table.shape.example == expected
    last = len(shape) == 3 or channels == "last" or (channels is None and shape[3] == 3)
    plain = (
        x.reshape(20, *expected) if not last or len(shape) == 3 else np.stack([x[..., c] for c in range(shape[3])], 1)
    )
    assert np.array_equal(table.inputs, plain)
    assert (table.mean, table.std) == ((0,) * expected[0], (1,) * expected[0])


def test_images_that_are_no_bytes_keep_their_values(tmp_path: Path) -> None:
    x = vectors(20, 12).reshape(20, 3, 4)
    table = read("arrays", saved(tmp_path, x=x, y=np.arange(20) % 2), inputs="images")
    assert np.array_equal(table.inputs[:, 0], x.astype(np.float32))


def test_where_the_channels_are_is_asked_where_the_shape_does_not_tell(tmp_path: Path) -> None:
    for shape in ((20, 3, 5, 3), (20, 6, 5, 4)):
        message = refusal("arrays", saved(tmp_path, x=np.zeros(shape), y=np.arange(20) % 2), inputs="images")
        assert "x whose shape does not tell" in message
        assert "channels: first" in message


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_its_columns_in_their_order(tmp_path: Path, kind: str) -> None:
    table = rows(number=range(20), big=[True, False] * 10)
    read_in = read("table", written(tmp_path, table, kind), label="species", ignore=["number"], normalise="none")
    plain = table[["width", "height", "big"]].to_numpy(dtype=np.float64).astype(np.float32)
    assert np.array_equal(read_in.inputs, plain)
    assert read_in.names == ("cat", "dog")
    assert np.array_equal(read_in.labels, np.arange(20) % 2)


def test_features_of_a_table_are_standardised_unless_told_otherwise(tmp_path: Path) -> None:
    table = read("table", written(tmp_path, rows(same=7.1, wide=np.arange(20) * 1e6)), label="species")
    assert table.inputs.mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert table.inputs.std(axis=0) == pytest.approx([1, 1, 0, 1], abs=1e-6)
    assert (table.inputs[:, 2] == 0).all()


def test_standardising_is_by_feature_or_channel_and_of_the_given_examples_alone() -> None:
    images = numpy_generator(2).normal(3, 2, size=(30, 2, 4, 5))
    known = np.arange(20)
    plain = images.copy()
    for channel in range(2):
        values = images[:20, channel].ravel()
        plain[:, channel] = (images[:, channel] - values.mean()) / np.sqrt(np.mean((values - values.mean()) ** 2))
    assert standardised(images, known) == pytest.approx(plain)
    assert not np.allclose(standardised(images, np.arange(30)), plain)


def test_a_csv_file_may_have_another_separator(tmp_path: Path) -> None:
    (tmp_path / "wine.csv").write_text('"acid";"kind"\n' + "1.5;3\n2.5;-1\n" * 10)
    table = read("table", tmp_path / "wine.csv", label="kind", separator=";", normalise="none")
    assert table.inputs[:2].tolist() == [[1.5], [2.5]]
    assert table.names == ("-1", "3")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_folder_is_its_images_in_the_order_of_their_names(tmp_path: Path, mode: str) -> None:
    root = pictures(tmp_path, mode)
    (root / ".DS_Store").write_text("of a file manager")
    (root / "dog" / ".hidden").write_text("likewise")
    table = read("image-folder", root)
    assert table.shape.example == ((1, 4, 5) if mode == "L" else (3, 4, 5))
    assert table.names == ("cat", "dog")
    assert table.labels.tolist() == [0] * 10 + [1] * 10
    for position, value in ((0, 0), (9, 180), (13, 61)):
        expected = [value] if mode == "L" else [value, 100, 255 - value]
        assert seen(table)[position, :, 2, 3] == pytest.approx(np.array(expected) / 255)


def test_images_are_read_upright_in_one_size_and_one_colour_if_asked(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    picture = np.zeros((8, 8, 3), dtype=np.uint8)
    picture[:4, :, 0] = 200
    turned = Image.Exif()
    turned[0x0112] = 6  # held on its side: what is on top in the file belongs to the right
    Image.fromarray(picture).save(root / "cat" / "0.jpg", exif=turned, quality=100, subsampling=0)
    table = read("image-folder", root, size=4, colour="rgb")
    assert table.shape.example == (3, 4, 4)
    assert seen(table)[0, 0, :, 3] == pytest.approx(200 / 255, abs=0.02)
    assert seen(table)[0, 0, :, 0] == pytest.approx(0, abs=0.02)
    assert read("image-folder", root, size=4, colour="grey").shape.example == (1, 4, 4)


def test_palettes_and_opaque_transparency_are_colour(tmp_path: Path) -> None:
    root = pictures(tmp_path, "RGB")
    Image.new("RGBA", (5, 4), (10, 20, 30, 255)).save(root / "cat" / "0.png")
    Image.new("RGB", (5, 4), (40, 50, 60)).quantize(4).save(root / "cat" / "1.png")
    table = read("image-folder", root)
    assert table.inputs[:2, :, 0, 0] == pytest.approx(np.array([[10, 20, 30], [40, 50, 60]]))


# Labels.
@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array(["dog", "cat", "dog"]), ("cat", "dog")),
        (np.array([b"dog", b"cat", b"dog"]), ("cat", "dog")),
        (np.array([7, -3, 7]), ("-3", "7")),
        (np.array([2.0, -1.0, 2.0]), ("-1", "2")),
        (np.array([True, False, True]), ("False", "True")),
        (np.array([2**63 + 1, 3, 2**63 + 1], dtype=np.uint64), ("3", str(2**63 + 1))),
        (np.array(["10", "9", "10"]), ("9", "10")),
        (np.array(["b", "Ärger", "b"]), ("b", "Ärger")),
    ],
)
def test_labels_of_any_type_become_classes(values: np.ndarray, names: tuple[str, ...]) -> None:
    labels, found = classes_of(values, "here")
    assert (labels.tolist(), found) == ([1, 0, 1] if names[0] != "b" else [0, 1, 0], names)
    assert labels.dtype == np.int64


def test_texts_that_are_numbers_are_in_the_order_of_numbers_each_with_its_own() -> None:
    values = np.array([str(number) for number in (11, 2, -5, 100, 2, 30)])
    labels, names = classes_of(values, "here")
    assert names == ("-5", "2", "11", "30", "100")
    assert [names[label] for label in labels] == values.tolist()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([0.5, 1, 2]), "here: labels that are no whole numbers: found 0.5"),
        (np.array([0, np.nan, 2]), "values that are NaN"),
        (np.array(["a", "", "b"]), "here: labels that are missing: found 1 empty"),
        (np.array([3, 3, 3]), "here: a single class: found '3'; allowed: two classes or more"),
        (np.array([1j, 2]), "here: labels of another type: found complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "labels of another type"),
    ],
)
def test_labels_that_are_no_classes_are_refused(values: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        classes_of(values, "here")


# Splits.
def own(**changes: Any) -> OwnData:
    base: dict[str, Any] = {
        "train": 0.5,
        "validation": 0.2,
        "test": None,
        "sampling": "stratified",
        "normalise": "none",
    }
    return OwnData(**{**base, **changes})


def parts_of(data: OwnData, labels: np.ndarray, test: np.ndarray | None = None, seed: int = 0) -> Split:
    parts = data.split(labels, numpy_generator(seed, "split"), **({} if test is None else {"test": test}))
    together = np.concatenate([*vars(parts).values()])
    assert len(np.unique(together)) == len(together)
    for part in vars(parts).values():
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)
    return parts


def counts(labels: np.ndarray, part: np.ndarray) -> list[int]:
    return np.bincount(labels[part], minlength=labels.max() + 1).tolist()


LABELS = np.array([0] * 100 + [1] * 50 + [2] * 10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ([50, 25, 5], [20, 10, 2], [30, 15, 3])),
        ({"train": 32, "validation": 16}, ([20, 10, 2], [10, 5, 1], [70, 35, 7])),
        ({"train": 32, "validation": 16, "test": 48}, ([20, 10, 2], [10, 5, 1], [30, 15, 3])),
        ({"test": 0.1}, ([50, 25, 5], [20, 10, 2], [10, 5, 1])),
        ({"train": 0.9, "validation": 0.05}, ([91, 45, 8], [5, 2, 1], [4, 3, 1])),
        ({"train": 3, "validation": 3, "test": 3}, ([1] * 3, [1] * 3, [1] * 3)),
        ({"train": 9, "validation": 6, "sampling": "balanced"}, ([3] * 3, [2] * 3, [95, 45, 5])),
        ({"train": 0.1, "validation": 0.05, "test": 6, "sampling": "balanced"}, ([5] * 3, [2] * 3, [2] * 3)),
    ],
)  # fmt: skip
def test_parts_have_the_sizes_and_classes_that_were_asked_for(
    changes: dict[str, Any], expected: tuple[list[int], ...]
) -> None:
    parts = parts_of(own(**changes), LABELS)
    assert tuple(counts(LABELS, part) for part in vars(parts).values()) == expected


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(3, 60), min_size=2, max_size=6),
    shares=st.tuples(st.floats(0.01, 0.97), st.floats(0.01, 0.97)),
    seed=st.integers(0, 2**31 - 1),
)
def test_any_stratified_split_has_the_asked_sizes_and_every_class_in_every_part(
    sizes: list[int], shares: tuple[float, float], seed: int
) -> None:
    labels, n = np.repeat(np.arange(len(sizes)), sizes), sum(sizes)
    train, validation = (share / max(sum(shares), 1) for share in shares)
    data = own(train=train, validation=validation)
    k = len(sizes)
    first = round(train * n)
    possible = k <= first <= n - 2 * k and k <= round(validation * n) <= n - first - k
    if not possible:
        with pytest.raises(DataError, match=f"so that every part has one of each of the {k} classes"):
            parts_of(data, labels, seed=seed)
        return
    parts = parts_of(data, labels, seed=seed)
    assert (len(parts.train), len(parts.validation)) == (round(train * n), round(validation * n))
    assert all(min(counts(labels, part)) >= 1 for part in vars(parts).values())
    assert len(parts.train) + len(parts.validation) + len(parts.test) == n


def test_shares_are_proportional_but_for_their_bounds() -> None:
    def shared(wanted: int, sizes: list[int], most: list[int]) -> list[int]:
        return in_proportion(wanted, np.array(sizes), np.array(most)).tolist()

    assert shared(10, [30, 10, 10], [30, 10, 10]) == [6, 2, 2]
    assert shared(4, [10, 10, 10], [9, 9, 9]) == [2, 1, 1]
    assert shared(4, [98, 1, 1], [98, 1, 1]) == [2, 1, 1]
    assert shared(98, [98, 3, 3], [96, 1, 1]) == [96, 1, 1]


def test_a_given_test_set_stays_and_the_others_are_drawn_from_the_rest() -> None:
    test = np.flatnonzero(np.arange(160) % 4 == 0)
    first, second = (parts_of(own(train=0.5, validation=0.5), LABELS, test, seed) for seed in (0, 1))
    assert np.array_equal(first.test, test)
    assert np.array_equal(second.test, test)
    assert not np.array_equal(first.train, second.train)
    assert len(first.train) == len(first.validation) == 60
    few = parts_of(own(train=10, validation=5), LABELS, test)
    assert (len(few.train), len(few.validation), len(few.test)) == (10, 5, 40)


def test_the_same_seed_gives_the_same_split() -> None:
    first, again, other = (parts_of(own(), LABELS, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))
    assert not np.array_equal(first.train, other.train)


GIVEN_SPLITS: dict[str, Callable[[Path], tuple[str, Path, dict[str, Any]]]] = {
    "arrays with a split": lambda folder: (
        "arrays",
        saved(folder, x=vectors(), y=np.arange(40) % 2, split=np.where(np.arange(40) < 30, "train", "test")),
        {},
    ),
    "arrays in two halves": lambda folder: (
        "arrays",
        saved(
            folder,
            x_train=vectors()[:30],
            y_train=np.arange(30) % 2,
            x_test=vectors()[30:],
            y_test=np.arange(10) % 2,
        ),
        {},
    ),
    "a column of a table": lambda folder: (
        "table",
        written(folder, rows(part=["train"] * 15 + ["test"] * 5)),
        {"label": "species", "split_column": "part"},
    ),
    "two folders": lambda folder: ("image-folder", pictures(folder, parts=("train", "test")), {}),
}


@pytest.mark.parametrize("which", GIVEN_SPLITS)
def test_the_jobs_keep_the_test_set_that_the_data_bring_along(tmp_path: Path, which: str) -> None:
    kind, path, more = GIVEN_SPLITS[which](tmp_path)
    test = {"table": range(15, 20), "image-folder": range(20, 40)}.get(kind, range(30, 40))
    for seed in ("0", "1"):
        table, parts = jobs(tmp_path, kind, path, seed, **more)
        assert table.test is not None
        assert table.test.tolist() == parts.test.tolist() == list(test)
        assert set(parts.train) | set(parts.validation) <= set(range(len(table.labels))) - set(test)


def jobs(folder: Path, kind: str, path: Path, seed: str = "0", **more: Any) -> tuple[ExampleTable, Split]:
    """What ``prepare`` and ``split`` write of a study with that data set beside the others."""
    study = small(data={"mine": {"kind": kind, "path": str(path), **HALF, **more}})
    (item,) = runs.prepare(study, "mine").values()
    inputs = {what: [Path(file) for file in files] for what, files in item.inputs.items()}
    outputs = {what: folder / Path(file).name for what, file in item.outputs.items()}
    prepare(Job(inputs, outputs, item.spec))
    (item,) = runs.split(study, "mine", seed).values()
    split(Job({"examples": [outputs["examples"]]}, {"split": folder / "split.safetensors"}, item.spec))
    return ExampleTable.read(outputs["examples"]), Split.read(folder / "split.safetensors")


def test_constants_are_not_taken_from_a_given_test_set(tmp_path: Path) -> None:
    table = rows(part=["train"] * 15 + ["test"] * 5)
    table.loc[15:, "width"] += 1000
    read_in = read("table", written(tmp_path, table), label="species", split_column="part")
    assert read_in.inputs[:15].mean(axis=0) == pytest.approx(0, abs=1e-6)
    assert (read_in.inputs[15:, 0] > 100).all()


def test_what_every_label_stands_for_is_written_beside_the_examples(tmp_path: Path) -> None:
    jobs(tmp_path, "table", written(tmp_path, rows(species=['a "b", c'] * 5 + ["-3"] * 15)), label="species")
    with open(tmp_path / "labels.csv", newline="", encoding="utf-8") as file:
        assert [*csv.reader(file)] == [["label", "class", "examples"], ["0", "-3", "15"], ["1", 'a "b", c', "5"]]
    assert read_metadata(tmp_path / "examples.safetensors")["names"] == ["-3", 'a "b", c']


def test_the_spec_does_not_depend_on_where_the_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes do count: it is an input of the job."""
    path = saved(tmp_path, x=vectors(), y=np.arange(40) % 2)
    there = settings_of("arrays", path)
    monkeypatch.chdir(tmp_path)
    here = settings_of("arrays", Path("mine.npz"))
    assert here.spec() == there.spec()
    assert here.files() == there.files() == [str(path)]


# What is refused when the study is read.
@pytest.mark.parametrize(
    ("kind", "path", "says"),
    [
        ("arrays", "mine.npy", ["a file of another kind: found 'mine.npy'", "ends in .npz"]),
        ("table", "mine.xlsx", ["a file of another kind", "ends in .csv or .parquet"]),
        ("arrays", "none.npz", ["no such file: found 'none.npz'", "relative paths begin at {here}"]),
        ("table", "folder.csv", ["no such file: found 'folder.csv'"]),
        ("image-folder", "none", ["no such folder: found 'none'", "relative paths begin at {here}"]),
        ("image-folder", "file.npz", ["no such folder: found 'file.npz'"]),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_at_once(
    kind: str, path: str, says: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file.npz").touch()
    with pytest.raises(ValueError, match="found") as raised:
        settings_of(kind, Path(path), **({"label": "species"} if kind == "table" else {}))
    for part in says:
        assert part.format(here=tmp_path) in str(raised.value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 0.0, 1.5, True, "10", float("nan")])
def test_a_size_that_is_no_number_and_no_share_is_refused_at_once(tmp_path: Path, value: object) -> None:
    path = saved(tmp_path, x=vectors(), y=np.arange(40) % 2)
    with pytest.raises(ValueError, match="train"):
        settings_of("arrays", path, train=value)


def test_shares_of_more_than_there_is_are_refused_at_once(tmp_path: Path) -> None:
    path = saved(tmp_path, x=vectors(), y=np.arange(40) % 2)
    assert settings_of("arrays", path, train=0.7, validation=0.2, test=0.1).conflict() is None
    found, allowed = settings_of("arrays", path, train=0.9, validation=0.2).conflict()
    assert (found, allowed) == ("shares 0.9 + 0.2", "at most 1 in all")


def test_a_column_that_is_to_be_two_things_is_refused_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, rows())
    for more in ({"ignore": ["species"]}, {"split_column": "species"}):
        found, allowed = settings_of("table", path, label="species", **more).conflict()
        assert (found, allowed) == ("the column 'species' for several of label, split_column, ignore", "one of them")
    fine = settings_of("table", path, label="species", ignore=["width"])
    assert fine.conflict() is None
    assert fine.updated({"train": 0.9, "validation": 0.9}).conflict()


# What is refused by the job, before anything is trained.
X, Y = vectors(), np.arange(40) % 2
WITH_NAN = np.where(np.arange(120).reshape(40, 3) == 7, np.nan, X)
ARRAYS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"X": X, "y": Y}, {}, ["arrays of other names: found 'X', 'y'", "x, y; or x, y, split; or x_train, y_train,"]),
    ({"x": X, "y": Y, "x_test": X}, {}, ["arrays of other names"]),
    ({"x": X, "y": Y[:30]}, {}, ["y: found int64 of shape (30,)", "one label for each of the 40 examples of x"]),
    ({"x": X, "y": Y[:, None]}, {}, ["y: found int64 of shape (40, 1)"]),
    ({"x": X.reshape(40, 3, 1), "y": Y}, {}, ["x: found", "vectors (N, features)", "`inputs: images`"]),
    ({"x": X, "y": Y}, {"inputs": "images"}, ["x: found", "(N, height, width)"]),
    ({"x": X.astype(str), "y": Y}, {}, ["x: found <U32", "real numbers"]),
    ({"x": X * 1j, "y": Y}, {}, ["x: found complex128"]),
    ({"x": WITH_NAN, "y": Y}, {}, ["x with values that are NaN or infinite: found 1 of 120", "(nan) at [2, 1]"]),
    ({"x": np.where(WITH_NAN > 0, X, -np.inf), "y": Y}, {}, ["NaN or infinite", "(-inf)"]),
    ({"x": X * 1e300, "y": Y}, {}, ["as float32"]),
    ({"x": X[:0], "y": Y[:0]}, {}, ["x without values: found shape (0, 3)"]),
    ({"x": X[:, :0], "y": Y}, {}, ["x without values: found shape (40, 0)"]),
    ({"x": X, "y": Y * 0}, {}, ["y: a single class: found '0'"]),
    ({"x": X, "y": Y + 0.5}, {}, ["y: labels that are no whole numbers: found 0.5"]),
    ({"x": X, "y": np.where(np.arange(40) < 2, "rare", "common")}, {},
     ["a class with too few examples: found 2 in class 'rare'", "at least 3"]),
    ({"x": X, "y": Y}, {"train": 100}, ["the size of train: found 100; allowed: 2 to 36"]),
    ({"x": X, "y": Y}, {"train": 7, "sampling": "balanced"}, ["the size of train, balanced: found 7", "a multiple of the 2"]),
    ({"x": X, "y": np.arange(40) // 30}, {"train": 24, "sampling": "balanced"},
     ["found 8 in class '1'", "at least 12, for train"]),
    ({"x": X, "y": Y, "split": np.array(["train", "val"] * 20)}, {},
     ["split: a given split: found 'train', 'val'", "'train' and 'test'"]),
    ({"x": X, "y": Y, "split": np.array(["train"] * 40)}, {}, ["split: a given split: found 'train'"]),
    ({"x": X, "y": Y, "split": np.array(["train", "test"])}, {}, ["split: found", "40 texts"]),
    ({"x": X, "y": Y, "split": Y}, {}, ["split: found int64"]),
    ({"x": X, "y": Y, "split": np.where(Y, "train", "test")}, {}, ["found 0 in class '0' outside the test set"]),
    ({"x_train": X, "y_train": Y, "x_test": X[:, :2], "y_test": Y}, {},
     ["x_test that does not fit x_train: found float64 of shape (40, 2)"]),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y.astype(str)}, {}, ["y_test that does not fit y_train"]),
    ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]}, {}, ["y_test: found int64 of shape (3,)"]),
]  # fmt: skip


@pytest.mark.parametrize(("arrays", "more", "says"), ARRAYS, ids=[str(says[0])[:60] for _, _, says in ARRAYS])
def test_arrays_that_cannot_be_used_are_refused(
    tmp_path: Path, arrays: dict[str, Any], more: dict[str, Any], says: list[str]
) -> None:
    message = refusal("arrays", saved(tmp_path, **arrays), **more)
    assert not [part for part in says if part not in message], message


class Trap:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("sprung", "w"))


def test_pickled_objects_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = saved(tmp_path, x=X, y=np.array([Trap()] * 40))
    message = refusal("arrays", path)
    assert "an array y that cannot be read" in message
    assert "astype(str)" in message
    path.write_bytes(pickle.dumps(Trap()))
    assert "a file that cannot be read" in refusal("arrays", path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04broken"])
def test_what_is_no_file_of_its_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in ("mine.npz", "mine.parquet", "mine.csv"):
        path = tmp_path / name
        path.write_bytes(content)
        if name == "mine.npz":
            assert "a file that cannot be read" in refusal("arrays", path)
        else:
            refusal("table", path, label="species")


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=vectors(1000), y=np.arange(1000) % 2)
    path.write_bytes(path.read_bytes()[:9000])
    refusal("arrays", path)
    single = tmp_path / "single.npz"
    with open(single, "wb") as file:
        np.save(file, X)
    assert "a single array" in refusal("arrays", single)


TABLES: list[tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, Any], list[str]]] = [
    (lambda t: t, {"label": "kind"}, ["no such column for `label`: found 'kind'; allowed: 'width', 'height', 'species'"]),
    (lambda t: t, {"ignore": ["widht"]}, ["no such column for `ignore`: found 'widht'"]),
    (lambda t: t, {"split_column": "part"}, ["no such column for `split_column`: found 'part'"]),
    (lambda t: t.assign(city="x", day="y"), {},
     ["columns that are no numbers: found 'city', 'day', with values as 'x' in 'city'", "`ignore`"]),
    (lambda t: t.assign(width=[1.0, np.nan] * 10), {},
     ["missing or infinite values: found 10 in 'width', the first in row 2 of 'width'"]),
    (lambda t: t.assign(width=[1.0, np.inf] * 10), {}, ["missing or infinite values: found 10"]),
    (lambda t: t.assign(species=[None, "a"] * 10), {}, ["missing values: found 10 in column 'species', the first in row 1"]),
    (lambda t: t.assign(species="a"), {}, ["column 'species': a single class: found 'a'"]),
    (lambda t: t[["species"]], {}, ["a table without features"]),
    (lambda t: t[:0], {}, ["features without values"]),
    (lambda t: t.assign(part=["train", "val"] * 10), {"split_column": "part"},
     ["column 'part': a given split: found 'train', 'val'"]),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(("edit", "more", "says"), TABLES, ids=[says[0][:60] for _, _, says in TABLES])
def test_tables_that_cannot_be_used_are_refused(
    tmp_path: Path, edit: Callable[[pd.DataFrame], pd.DataFrame], more: dict[str, Any], says: list[str], kind: str
) -> None:
    message = refusal("table", written(tmp_path, edit(rows()), kind), **{"label": "species", **more})
    assert not [part for part in says if part not in message], message


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("a,b,a,species\n1,2,3,x\n", "columns of the same name: found 'a'"),
        (",a,species\n0,1,x\n1,2,y\n", "a column without a name"),
        ("a,species\n1,x,5\n2,y,6\n", "a table that cannot be read: found Length of header"),
        ("a,species\n1,x\n2,y,3\n", "a table that cannot be read"),
        ("a,species\n1,x\n2\n", "missing values: found 1 in column 'species'"),
        ("a,species\n1,x\nNA,y\n", "columns that are no numbers: found 'a', with values as '1', 'NA'"),
        ("a;species\n1;x\n2;y\n", "no such column for `label`: found 'species'; allowed: 'a;species'"),
    ],
)
def test_csv_files_that_do_not_say_what_is_what_are_refused(tmp_path: Path, lines: str, says: str) -> None:
    (tmp_path / "mine.csv").write_text(lines)
    assert says in refusal("table", tmp_path / "mine.csv", label="species")


def test_words_for_missing_values_may_be_classes(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a,species\n" + "1,None\n2,NA\n3,nan\n" * 5)
    assert read("table", tmp_path / "mine.csv", label="species").names == ("NA", "None", "nan")


def test_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [pa.array([1.0, 2.0])] * 2 + [pa.array(["x", "y"])]
    parquet.write_table(pa.Table.from_arrays(columns, names=["a", "a", "species"]), tmp_path / "mine.parquet")
    assert "columns of the same name: found 'a'" in refusal("table", tmp_path / "mine.parquet", label="species")


def test_row_numbers_that_pandas_wrote_are_no_feature(tmp_path: Path) -> None:
    """Neither as a column without a name nor as an index, unless they are left out by their want of a name."""
    table = rows().sort_values("width")
    table.to_csv(tmp_path / "mine.csv")
    table.to_parquet(tmp_path / "mine.parquet")
    for path, place in ((tmp_path / "mine.csv", "column 1 of 4"), (tmp_path / "mine.parquet", "column 4 of 4")):
        assert f"a column without a name: found {place}" in refusal("table", path, label="species")
        assert read("table", path, label="species", ignore=[""]).shape.example == (2,)


def put(name: str, mode: str = "L", size: tuple[int, int] = (5, 4), colour: Any = 7) -> Callable[[Path], None]:
    return lambda root: Image.new(mode, size, colour).save(root / name)


def nothing(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).mkdir()


def text(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text("something")


def cut(root: Path) -> None:
    noise = numpy_generator(0).integers(0, 256, size=(60, 60), dtype=np.uint8)
    Image.fromarray(noise).save(root / "cat" / "3.png")
    (root / "cat" / "3.png").write_bytes((root / "cat" / "3.png").read_bytes()[:900])


FOLDERS: list[tuple[Callable[[Path], object], dict[str, Any], list[str]]] = [
    (put("dog/5.png", size=(6, 4)), {},
     ["dog/5.png: images of several sizes: found 6 x 4 pixels in grey, and 5 x 4", "cat/0.png", "`size`"]),
    (put("dog/5.png", "RGB"), {}, ["dog/5.png: images in grey and in colour", "5 x 4 pixels in colour", "`colour: grey`"]),
    (put("dog/5.png", "I;16"), {}, ["dog/5.png: an image of another kind: found Pillow's mode I;16", "8-bit grey or RGB"]),
    (put("dog/5.jpg", "CMYK"), {}, ["an image of another kind: found Pillow's mode CMYK"]),
    (put("dog/5.png", "LA", colour=(7, 100)), {}, ["found transparency; allowed: opaque images"]),
    (text("dog/5.png"), {}, ["dog/5.png: an image that cannot be read"]),
    (cut, {}, ["cat/3.png: an image that cannot be read"]),
    (text("dog/notes.txt"), {}, ["pictures/dog: what does not belong there: found 'notes.txt'; allowed: .png .jpg .jpeg"]),
    (put("loose.png"), {}, ["pictures: what does not belong there: found 'loose.png'; allowed: folders of classes alone"]),
    (nothing("dog/more"), {}, ["pictures/dog: what does not belong there: found 'more'"]),
    (nothing("eel"), {}, ["pictures/eel: a class without images"]),
    (lambda root: (root / "dog").rename(root.parent / "dog"), {}, ["its folders: a single class: found 'cat'"]),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "more", "says"), FOLDERS, ids=[says[0][:60] for _, _, says in FOLDERS])
def test_folders_that_cannot_be_used_are_refused(
    tmp_path: Path, edit: Callable[[Path], object], more: dict[str, Any], says: list[str]
) -> None:
    root = pictures(tmp_path)
    edit(root)
    with pytest.raises(DataError) as raised:
        read("image-folder", root, **more)
    assert str(raised.value).startswith(str(root))
    assert not [part for part in says if part not in str(raised.value)], str(raised.value)


def test_an_empty_folder_and_other_parts_than_train_and_test_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "a folder without images: found nothing" in refusal("image-folder", tmp_path / "empty")
    root = pictures(tmp_path, parts=("train", "test", "val"))
    message = refusal("image-folder", root)
    assert "what does not belong there: found 'val'; allowed: train and test alone" in message


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    root = pictures(tmp_path)
    for old, new in (("cat", "train"), ("dog", "test")):
        (root / old).rename(root / new)
    table = read("image-folder", root)
    assert (table.names, table.test) == (("test", "train"), None)


# What works on such data.
def test_duplicates_of_own_data_are_told_by_distance(tmp_path: Path) -> None:
    from grokforget.data.examples import TrainingExamples

    x = vectors(40, 3)
    x[[4, 9]] = x[[0, 7]]
    table = read("arrays", saved(tmp_path, x=x, y=np.r_[Y[:4], Y[0], Y[5:9], Y[7], Y[10:]]))
    train = TrainingExamples(table.labels, table.inputs)
    assert duplicated(train, numpy_generator(0), fraction=0.1, twins="together").tolist() == [0, 4, 7, 9]
