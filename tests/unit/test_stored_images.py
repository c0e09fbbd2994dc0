"""Images as they are stored: pixels of uint8 with the constants that models normalise them by, mapped into memory; and what
becomes of images of a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import grokforget
from grokforget.config.data import DATA_SETS
from grokforget.config.specs import runs
from grokforget.data.examples import ExampleTable, Rows, TrainingExamples
from grokforget.data.image_folder import cores
from grokforget.data.normalise import pixel_constants, standardised
from grokforget.data.own import OwnData
from grokforget.data.refusal import DataError
from grokforget.forget_sets.duplicated import duplicated
from grokforget.models.mlp import MLP
from grokforget.runtime.files import DamagedFile, mapped_tensor, write_tensors
from grokforget.runtime.seeds import numpy_generator
from small import small


def images(n: int = 40, shape: tuple[int, ...] = (3, 5, 4)) -> np.ndarray:
    """Channels of different brightness and contrast."""
    values = numpy_generator(5).normal(size=(n, *shape)) * np.array([20, 60, 5])[: shape[0], None, None]
    return np.clip(values + np.array([50, 120, 200])[: shape[0], None, None], 0, 255).astype(np.uint8)


def saved(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def read(kind: str, path: Path, **more: Any) -> ExampleTable:
    base = {"kind": kind, "path": str(path), "train": 0.5, "validation": 0.2}
    settings = DATA_SETS[kind].model_validate({**base, **more})
    assert settings.conflict() is None
    table: ExampleTable = settings.spec().build().examples(*map(Path, settings.files()))
    return table


# What a model sees.
@pytest.mark.parametrize(
    "normalise",
    ["none", "standardise", {"mean": [0.4, 0.5, 0.6], "std": [0.1, 0.2, 0.3]}],
    ids=["none", "own", "given"],
)
def test_a_model_sees_what_floats_normalised_beforehand_would_be(tmp_path: Path, normalise: Any) -> None:
    pixels, labels = images(), np.arange(40) % 2
    table = read("arrays", saved(tmp_path, x=pixels, y=labels), inputs="images", normalise=normalise)
    plain = pixels / 255
    if normalise == "standardise":
        plain = (plain - plain.mean(axis=(0, 2, 3), keepdims=True)) / plain.std(axis=(0, 2, 3), keepdims=True)
    elif normalise != "none":
        mean, std = (np.array(normalise[name])[:, None, None] for name in ("mean", "std"))
        plain = (plain - mean) / std
    model = MLP(table.shape, hidden=[4], activation="relu", bias=True, initialisation="default")
    seen = model.embed(model.encode(torch.from_numpy(table.inputs)))
    assert torch.allclose(seen, torch.from_numpy(plain).float(), rtol=1e-5, atol=2e-6)
    floats = read("arrays", saved(tmp_path, x=pixels / 255, y=labels), inputs="images", normalise=normalise)
    assert floats.inputs.dtype == np.float32
    assert floats.mean == ()
    assert np.allclose(floats.inputs, plain, rtol=1e-5, atol=1e-6)


def test_constants_are_exact_over_the_examples_outside_the_test_set_and_in_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pixels, among = images(30), np.arange(5, 25)
    mean, std = pixel_constants(pixels, among, "standardise", "here")
    known = pixels[among].astype(np.float64) / 255
    assert mean == pytest.approx(known.mean(axis=(0, 2, 3)), rel=1e-12)
    assert std == pytest.approx(known.std(axis=(0, 2, 3)), rel=1e-12)
    assert np.allclose(
        standardised(pixels / 255, among), (pixels / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    )
    monkeypatch.setattr("grokforget.data.normalise.CHUNK_PIXELS", 7)
    assert pixel_constants(pixels, among, "standardise", "here") == (mean, std)
    assert pixel_constants(pixels, np.arange(30), "standardise", "here") != (mean, std)


def test_a_channel_that_is_always_the_same_becomes_nothing() -> None:
    pixels = images()
    pixels[:, 1] = 77
    mean, std = pixel_constants(pixels, np.arange(40), "standardise", "here")
    assert (mean[1], std[1]) == (pytest.approx(77 / 255, rel=1e-15), 1)


def test_constants_for_another_number_of_channels_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, x=images(), y=np.arange(40) % 2)
    for pixels in (images(), images() / 255):
        saved(tmp_path, x=pixels, y=np.arange(40) % 2)
        with pytest.raises(DataError, match="found 1 means and 1 deviations in `normalise`; allowed: 3 of each"):
            read("arrays", path, inputs="images", normalise={"mean": [0.5], "std": [0.5]})
    arrays = {"kind": "arrays", "path": str(path), "train": 0.5, "normalise": {"mean": [0.5], "std": [0.5]}}
    assert "for vectors" in str(DATA_SETS["arrays"].model_validate(arrays).conflict())
    arrays = {**arrays, "inputs": "images", "normalise": {"mean": [0.5, 0.5], "std": [0.5]}}
    assert "as many of each" in str(DATA_SETS["arrays"].model_validate(arrays).conflict())


# The file.
def test_examples_are_a_read_only_view_of_their_file(tmp_path: Path) -> None:
    path, pixels = tmp_path / "examples.safetensors", images()
    ExampleTable(pixels, np.arange(40) % 2, 2, mean=(0.1, 0.2, 0.3), std=(1, 1, 1)).write(path)
    table = ExampleTable.read(path)
    assert np.array_equal(table.inputs, pixels)
    assert not table.inputs.flags.writeable
    assert isinstance(table.inputs.base, np.memmap)
    picked = table.inputs[np.array([3, 1])]
    assert type(picked) is np.ndarray
    assert picked.flags.writeable
    assert np.array_equal(picked, pixels[[3, 1]])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match="is damaged"):
        ExampleTable.read(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_any_array_of_a_file_is_mapped_as_it_was_written(tmp_path: Path, dtype: type) -> None:
    value, path = np.arange(24).reshape(2, 3, 4).astype(dtype), tmp_path / "x.safetensors"
    write_tensors(path, {"others": np.arange(5), "a": np.zeros(3, np.uint8), "value": value, "z": value + 1})
    mapped = mapped_tensor(path, "value")
    assert (mapped.dtype, mapped.shape) == (value.dtype, value.shape)
    assert np.array_equal(mapped, value)


HELD = """
import resource, sys
from pathlib import Path
import numpy as np
from grokforget.data.examples import ExampleTable
from grokforget.runtime import files
files.check = lambda path: None
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
table = ExampleTable.read(Path(sys.argv[1]))
assert table.inputs[np.arange(0, len(table.labels), 1000)].shape[0] == 100
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_is_not_held_in_memory(tmp_path: Path) -> None:
    """But for its checksum, which reads it once: those pages the system takes back."""
    path = tmp_path / "examples.safetensors"
    ExampleTable(np.zeros((100_000, 1, 32, 32), np.uint8), np.zeros(100_000, np.int64), 2, mean=(0,), std=(1,)).write(
        path
    )
    assert path.stat().st_size > 10**8
    done = subprocess.run(
        [sys.executable, "-c", HELD, str(path)],
        env={"PYTHONPATH": str(Path(grokforget.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) * 1024 < 30 * 2**20


# What reads stored images.
def test_rows_are_the_rows_that_are_asked_for() -> None:
    pixels, index = images(), np.array([5, 2, 30])
    rows = Rows(pixels, index)
    assert (rows.dtype, len(rows)) == (np.uint8, 3)
    assert np.array_equal(rows[np.array([2, 0])], pixels[[30, 5]])
    assert np.array_equal(np.asarray(rows), pixels[index])
    assert np.array_equal(rows[1], pixels[2])


def test_duplicates_among_pixels_are_told_by_distance_and_not_as_bags_of_values() -> None:
    pixels = images()
    pixels[9] = pixels[3]
    pixels[20] = pixels[3][:, ::-1, ::-1]  # the same pixels in another order
    train = TrainingExamples(np.zeros(40, dtype=np.int64), Rows(pixels, np.arange(40)))
    assert duplicated(train, numpy_generator(0), fraction=0.05, twins="together").tolist() == [3, 9]


# A part of a given test set.
def own(**changes: Any) -> OwnData:
    base = {"train": 0.5, "validation": 0.5, "test": None, "sampling": "balanced", "normalise": "none"}
    return OwnData(**{**base, **changes})


def test_so_many_of_a_given_test_set_are_drawn_by_class() -> None:
    labels = np.concatenate([np.arange(40) % 2, [0] * 30, [1] * 10])
    test = np.arange(40, 80)

    def of(seed: int = 0, **changes: Any) -> np.ndarray:
        parts = own(**changes).split(labels, numpy_generator(seed, "split"), test=test)
        assert set(parts.test) <= set(test)
        assert np.all(np.diff(parts.test) > 0)
        assert set(parts.train) | set(parts.validation) <= set(range(40))
        whole = own(**{**changes, "test": None}).split(labels, numpy_generator(seed, "split"), test=test)
        assert np.array_equal(parts.train, whole.train), "the other parts are those that they would be without"
        return np.bincount(labels[parts.test], minlength=2)

    assert of(test=8).tolist() == [4, 4]
    assert of(test=0.5).tolist() == [10, 10]
    assert of(test=8, sampling="stratified").tolist() == [6, 2]
    assert of(test=0.1, sampling="stratified").tolist() == [3, 1]
    draws = [own(test=8).split(labels, numpy_generator(seed, "split"), test=test).test.tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("test", "says"),
    [
        (
            22,
            "a class with too few examples: found 10 in class '1' that no other part needs; allowed: at least 11, for test",
        ),
        (7, "the size of test, balanced: found 7; allowed: a multiple of the 2 classes"),
    ],
)
def test_more_of_a_given_test_set_than_there_is_is_refused_when_it_is_read(
    tmp_path: Path, test: int, says: str
) -> None:
    parts = {
        "x_train": images(40),
        "y_train": np.arange(40) % 2,
        "x_test": images(40),
        "y_test": np.array([0] * 30 + [1] * 10),
    }
    with pytest.raises(DataError) as raised:
        read(
            "arrays", saved(tmp_path, **parts), inputs="images", test=test, sampling="balanced", train=10, validation=10
        )
    assert says in str(raised.value)


# Folders.
def folder(
    root: Path, n: int = 6, classes: tuple[str, ...] = ("cat", "dog", "eel"), parts: tuple[str, ...] = ("",)
) -> Path:
    """Images 8 wide and 4 high: black, with a white square of 4 x 4 in the middle."""
    for part in parts:
        for label, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for number in range(n):
                pixels = np.zeros((4, 8), dtype=np.uint8)
                pixels[:, 2:6] = 200 + 10 * label + number
                Image.fromarray(pixels).save(root / part / name / f"{number}.png")
    return root


def test_a_crop_keeps_proportions_and_takes_the_middle(tmp_path: Path) -> None:
    root = folder(tmp_path)
    cropped, stretched = (read("image-folder", root, size=4, fit=fit) for fit in ("crop", "stretch"))
    assert cropped.shape.example == stretched.shape.example == (1, 4, 4)
    assert (cropped.inputs[0] == 200).all()
    assert (stretched.inputs[0, 0, :, 0] < 100).all()
    base = {"kind": "image-folder", "path": str(root), "train": 0.5, "fit": "crop"}
    assert DATA_SETS["image-folder"].model_validate(base).conflict() == (
        "`fit: crop` without a size",
        "`size` beside it",
    )


@pytest.mark.parametrize("parts", [("",), ("train", "test")])
def test_classes_by_name_are_read_alone_and_are_all_that_counts(tmp_path: Path, parts: tuple[str, ...]) -> None:
    root = folder(tmp_path / "images", parts=parts)
    (tmp_path / "list.txt").write_text("eel\n\ncat\n")
    more = {"classes": str(tmp_path / "list.txt"), "train": 2, "validation": 2}
    table = read("image-folder", root, **more)
    assert table.names == ("cat", "eel")
    assert len(table.labels) == 2 * 6 * len(parts)
    assert set(np.unique(table.inputs[table.labels == 1])) == {0, *range(220, 226)}
    if len(parts) == 2:
        assert table.test is not None
        assert table.test.tolist() == list(range(12, 24))
    study = small(data={"mine": {"kind": "image-folder", "path": str(root), **more}})
    (item,) = runs.prepare(study, "mine").values()
    assert item.inputs["files"] == [str(root / part / name) for part in parts for name in ("cat", "eel")]
    assert item.spec.data.settings["classes"] == ["cat", "eel"]
    (root / parts[0] / "dog" / "0.png").write_text("an image that nobody asked for")
    assert np.array_equal(read("image-folder", root, **more).inputs, table.inputs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cat\nbee\nwasp\n", ("no folder {root}/bee and 1 more folders", "a folder for each of the 3 names")),
        ("cat\ndog\ncat\n", ("'cat' twice in {file}", "two classes or more, each once")),
        ("cat\n", ("1 names in {file}", "two classes or more, each once")),
    ],
)
def test_lists_of_classes_that_cannot_be_followed(tmp_path: Path, text: str, says: tuple[str, str]) -> None:
    root, file = folder(tmp_path / "images"), tmp_path / "list.txt"
    file.write_text(text)
    base = {"kind": "image-folder", "path": str(root), "train": 0.5, "classes": str(file)}
    found, allowed = DATA_SETS["image-folder"].model_validate(base).conflict()
    assert found == says[0].format(root=root, file=file)
    assert allowed.startswith(says[1])


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_first_image_that_cannot_be_read_is_named_whoever_reads_it(
    tmp_path: Path, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert cores() == int(threads)
    root = folder(tmp_path, n=20)
    whole = read("image-folder", root)
    assert whole.labels.tolist() == [0] * 20 + [1] * 20 + [2] * 20
    assert whole.inputs[:, 0, 0, 2].tolist() == [
        200 + 10 * label + int(file.stem)
        for label, name in enumerate(whole.names)
        for file in sorted((root / name).iterdir())
    ]
    monkeypatch.setattr("grokforget.data.image_folder.BLOCK", 7)
    assert np.array_equal(read("image-folder", root).inputs, whole.inputs)
    for name in ("eel/1.png", "dog/3.png"):
        (root / name).write_bytes((root / name).read_bytes()[:-30])
    with pytest.raises(DataError, match=f"{root}/dog/3.png: an image that cannot be read"):
        read("image-folder", root)


def test_what_the_settings_of_a_folder_tell_models_and_tables(tmp_path: Path) -> None:
    base = {"kind": "image-folder", "path": str(folder(tmp_path)), "train": 0.5}
    told = [
        DATA_SETS["image-folder"].model_validate({**base, **more})
        for more in ({}, {"size": 4, "colour": "rgb", "paper": "imagenet100"}, {"colour": "grey"})
    ]
    assert [(data.image_side, data.image_channels, data.in_paper) for data in told] == [
        (0, 0, None), (4, 3, "imagenet100"), (0, 1, None),
    ]  # fmt: skip
    assert "paper" not in told[1].spec().settings
