"""The data sets that torchvision knows: from its own files, from arrays, and what is refused and how.

torchvision compares checksums with those of the real files; here it is told those of small files of the same form.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from grokforget.config.data import DATA_SETS
from grokforget.config.specs import runs
from grokforget.data.examples import ExampleTable
from grokforget.data.refusal import DataError
from grokforget.data.torchvision_cpu import torchvision
from grokforget.data.torchvision_sets import KNOWN, pooled
from grokforget.runtime.seeds import numpy_generator
from small import small

N = {"train": 60, "test": 20}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def example_images(kind: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images (N, side, side, channels) and labels of a small data set, every class in both parts."""
    known, generator = KNOWN[kind], numpy_generator(7, kind)
    k = len(known.classes)
    return {
        part: (
            generator.integers(0, 256, (max(n, 3 * k), known.side, known.side, known.channels), dtype=np.uint8),
            generator.permutation(np.arange(max(n, 3 * k)) % k),
        )
        for part, n in N.items()
    }


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 in the format of MNIST's files."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write(folder: Path, kind: str, patch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A small data set in torchvision's files below ``folder``, whose checksums torchvision is told."""
    examples, datasets = example_images(kind), torchvision().datasets
    made = getattr(datasets, KNOWN[kind].name)
    if kind in ("mnist", "fashion-mnist"):
        raw, resources = folder / made.__name__ / "raw", []
        raw.mkdir(parents=True)
        for name, (part, which) in zip(
            (name for name, _ in made.resources), [(part, n) for part in N for n in (0, 1)], strict=True
        ):
            array = examples[part][which]
            content = gzip.compress(idx((array[..., 0] if which == 0 else array).astype(np.uint8)), mtime=0)
            (raw / name).write_bytes(content)
            resources.append((name, md5(content)))
        patch.setattr(made, "resources", resources)
    elif kind == "svhn":
        told = dict(made.split_list)
        for part, (images, labels) in examples.items():
            path = folder / made.split_list[part][1]
            path.parent.mkdir(parents=True, exist_ok=True)
            # In its files 10 is the digit 0.
            savemat(path, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
            told[part] = [*made.split_list[part][:2], md5(path.read_bytes())]
        patch.setattr(made, "split_list", told)
    else:
        below = folder / made.base_folder
        below.mkdir(parents=True)
        key, told = "labels" if kind == "cifar10" else "fine_labels", {}
        lists = {"train": made.train_list, "test": made.test_list}
        for part, (images, labels) in examples.items():
            rows = np.array_split(np.arange(len(labels)), len(lists[part]))
            for (name, _), some in zip(lists[part], rows, strict=True):
                flat = images[some].transpose(0, 3, 1, 2).reshape(len(some), -1)
                (below / name).write_bytes(pickle.dumps({"data": flat, key: labels[some].tolist()}))
            told[part] = [[name, md5((below / name).read_bytes())] for name, _ in lists[part]]
        meta = below / made.meta["filename"]
        meta.write_bytes(pickle.dumps({made.meta["key"]: list(KNOWN[kind].classes)}))
        patch.setattr(made, "train_list", told["train"])
        patch.setattr(made, "test_list", told["test"])
        patch.setattr(made, "meta", {**made.meta, "md5": md5(meta.read_bytes())})
    return examples


def write_arrays(folder: Path, kind: str, **changes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same data set in KIND.npz."""
    examples = example_images(kind)
    arrays = {
        f"{name}_{part}": array for part, pair in examples.items() for name, array in zip("xy", pair, strict=True)
    }
    folder.mkdir(exist_ok=True)
    np.savez(folder / f"{kind}.npz", **{**arrays, **changes})
    return examples


def settings_of(kind: str, folder: Path, **more: Any) -> Any:
    k = len(KNOWN[kind].classes)
    sizes = {"train": k, "validation": k}
    return DATA_SETS[kind].model_validate({"kind": kind, "folder": str(folder), **sizes, **more})


def read(settings: Any) -> ExampleTable:
    """What the job reads."""
    table: ExampleTable = settings.spec().build().examples(*map(Path, settings.files()))
    return table


def assert_is(table: ExampleTable, examples: dict[str, tuple[np.ndarray, np.ndarray]], kind: str) -> None:
    images, labels = (np.concatenate([examples[part][n] for part in N]) for n in (0, 1))
    assert np.array_equal(table.inputs, images.transpose(0, 3, 1, 2))
    assert table.inputs.dtype == np.uint8
    assert np.array_equal(table.labels, labels)
    assert table.test is not None
    n_train = len(examples["train"][1])
    assert table.test.tolist() == list(range(n_train, len(labels)))
    assert table.names == KNOWN[kind].classes
    learned = images[:n_train] / 255
    assert table.mean == pytest.approx(learned.mean(axis=(0, 1, 2)))
    assert table.std == pytest.approx(learned.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("kind", KNOWN)
def test_torchvisions_files_and_arrays_give_the_same_examples(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = write(tmp_path / "files", kind, monkeypatch)
    write_arrays(tmp_path / "arrays", kind)
    for folder in ("files", "arrays"):
        assert_is(read(settings_of(kind, tmp_path / folder)), examples, kind)


@pytest.mark.parametrize("kind", KNOWN)
def test_files_that_are_whole_are_not_downloaded_again(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = write(tmp_path, kind, monkeypatch)
    settings = settings_of(kind, tmp_path, download=True)
    assert settings.files() == [], "torchvision's checksums say what they are"
    assert_is(read(settings), examples, kind)


def test_mnists_files_may_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = write(tmp_path, "mnist", monkeypatch)
    for file in list((tmp_path / "MNIST" / "raw").iterdir()):
        (file.with_suffix("")).write_bytes(gzip.decompress(file.read_bytes()))
    there = {file: file.read_bytes() for file in (tmp_path / "MNIST" / "raw").iterdir()}
    settings = settings_of("mnist", tmp_path)
    assert all(name.endswith(".gz") for name in settings.files())
    assert_is(read(settings), examples, "mnist")
    assert there == {file: file.read_bytes() for file in (tmp_path / "MNIST" / "raw").iterdir()}
    for name in settings.files():
        Path(name).unlink()
    assert not any(name.endswith(".gz") for name in settings.files())
    assert_is(read(settings), examples, "mnist")


def test_a_folder_that_nobody_writes_to_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = write(tmp_path, "fashion-mnist", monkeypatch)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.chmod(0o555)
    before = sorted(raw.iterdir())
    assert_is(read(settings_of("fashion-mnist", tmp_path)), examples, "fashion-mnist")
    assert sorted(raw.iterdir()) == before
    raw.chmod(0o755)


@pytest.mark.parametrize("kind", KNOWN)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, kind, monkeypatch)
    settings = settings_of(kind, tmp_path)
    victim = Path(settings.files()[-2])
    victim.write_bytes(victim.read_bytes()[:-100])
    with pytest.raises(DataError) as raised:
        read(settings)
    message = str(raised.value)
    assert message.startswith(f"{victim}: a damaged file or an interrupted download: found md5 ")
    assert "give `download: true`" in message


def test_unpacked_files_that_are_cut_off_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "mnist", monkeypatch)
    raw = tmp_path / "MNIST" / "raw"
    for file in list(raw.iterdir()):
        file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes())[:-5])
        file.unlink()
    with pytest.raises(DataError, match=f"{tmp_path}: files of MNIST that cannot be read: found "):
        read(settings_of("mnist", tmp_path))


@pytest.mark.parametrize("kind", KNOWN)
def test_a_download_that_fails_says_what_to_put_where(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchvision()
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(DataError) as raised:
        read(settings_of(kind, tmp_path / "new", download=True))
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/new: files of {KNOWN[kind].name} that cannot be read: found ")
    assert f"{kind}.npz" in message


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server of the test's folder."""
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("kind", ["svhn", "mnist", "cifar10"])
def test_what_is_missing_or_was_interrupted_is_downloaded_and_compared(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, served: str
) -> None:
    """From a server that stands for the internet."""
    examples, made = write(tmp_path / "there", kind, monkeypatch), getattr(torchvision().datasets, KNOWN[kind].name)
    if kind == "svhn":
        named = {part: [f"{served}/there/{name}", name, known] for part, (_, name, known) in made.split_list.items()}
        monkeypatch.setattr(made, "split_list", named)
    elif kind == "mnist":
        # The first mirror fails.
        monkeypatch.setattr(made, "mirrors", [f"{served}/there/none/", f"{served}/there/MNIST/raw/"])
    else:
        packed = Path(shutil.make_archive(str(tmp_path / "packed"), "gztar", tmp_path / "there", made.base_folder))
        monkeypatch.setattr(made, "url", f"{served}/{packed.name}")
        monkeypatch.setattr(made, "tgz_md5", md5(packed.read_bytes()))
    settings = settings_of(kind, tmp_path / "here", download=True)
    assert_is(read(settings), examples, kind)
    for file in [path for path in (tmp_path / "here").rglob("*") if path.is_file()]:
        file.write_bytes(file.read_bytes()[:50])
    assert_is(read(settings), examples, kind)
    monkeypatch.setattr(f"{made.__module__}.check_integrity", lambda *_: False)
    monkeypatch.setattr("torchvision.datasets.utils.check_integrity", lambda *_: False)
    with pytest.raises(
        DataError, match=f"files of {KNOWN[kind].name} that cannot be read: found File not found or corr"
    ):
        read(settings)


# What is refused when the study is read.
@pytest.mark.parametrize("kind", KNOWN)
def test_missing_files_are_named_before_any_work(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="allowed") as raised:
        settings_of(kind, tmp_path / "none")
    for part in (str(tmp_path / "none"), *DATA_SETS[kind].archives, f"{kind}.npz", "download: true"):
        assert part in str(raised.value)
    write(tmp_path, kind, monkeypatch)
    victim = Path(settings_of(kind, tmp_path).files()[1])
    victim.unlink()
    with pytest.raises(ValueError, match=f"no {victim.relative_to(tmp_path)}".removesuffix(".gz")):
        settings_of(kind, tmp_path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"side": 5}, ("side 5", "a divisor of the images' own 32")),
        ({"train": 49_990, "validation": 20}, ("train + validation 50010", "at most 50000")),
        ({"test": 10_010}, ("test 10010", "at most 10000")),
        ({"train": 105}, ("train 105, balanced", "a multiple of the 10 classes")),
        ({"normalise": {"mean": [0.5], "std": [0.5]}}, ("1 means and 1 deviations", "3 of each, one a channel")),
        ({"train": 0.9, "validation": 0.2}, ("shares 0.9 + 0.2", "at most 1 in all")),
        ({"side": 16, "train": 0.9, "test": 0.9}, None),
        ({"train": 105, "sampling": "stratified"}, None),
    ],
)
def test_settings_that_do_not_go_together(tmp_path: Path, changes: dict[str, Any], says: object) -> None:
    write_arrays(tmp_path, "cifar10")
    assert settings_of("cifar10", tmp_path, **changes).conflict() == says


def test_what_models_may_ask_of_a_data_set(tmp_path: Path) -> None:
    write_arrays(tmp_path, "cifar10")
    write_arrays(tmp_path, "mnist")
    told = [settings_of("cifar10", tmp_path), settings_of("cifar10", tmp_path, side=8), settings_of("mnist", tmp_path)]
    assert [(data.image_side, data.image_channels, data.in_paper) for data in told] == [
        (32, 3, "cifar10"), (8, 3, "cifar10"), (28, 1, None),
    ]  # fmt: skip


# Arrays.
Y = {part: labels for part, (_, labels) in example_images("cifar10").items()}
ARRAYS: list[tuple[dict[str, Any], list[str]]] = [
    ({"x_train": np.zeros((60, 32, 32, 3))}, ["x_train: found float64 of shape (60, 32, 32, 3)", "uint8 of shape"]),
    ({"x_test": np.zeros((20, 32, 32, 1), np.uint8)}, ["x_test: found uint8 of shape (20, 32, 32, 1)"]),
    ({"x_test": np.zeros((20, 3, 32, 32), np.uint8)}, ["x_test", "allowed: uint8 of shape (N, 32, 32, 3)"]),
    ({"y_train": Y["train"][:-1]}, ["y_train: found int64 of shape (59,)", "one label for each of the 60"]),
    ({"y_train": Y["train"] + 1}, ["its labels: labels out of range: found 10", "0 to 9, a class of 10"]),
    ({"y_train": Y["train"] - 1}, ["labels out of range: found -1"]),
    ({"y_test": Y["test"] * 1.0}, ["labels of another type: found float64"]),
    ({"y_train": Y["train"] % 9, "y_test": Y["test"] % 9}, ["classes without examples: found 'truck'"]),
    ({"y_train": Y["train"] % 9}, ["a class with too few examples: found 0 in class 'truck' outside the test set"]),
    ({"more": np.zeros(3)}, ["arrays of other names", "x_train, y_train, x_test, y_test"]),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), ARRAYS, ids=[says[0][:50] for _, says in ARRAYS])
def test_arrays_that_are_no_such_data_set_are_refused(tmp_path: Path, changes: dict[str, Any], says: list[str]) -> None:
    write_arrays(tmp_path, "cifar10", **changes)
    with pytest.raises(DataError) as raised:
        read(settings_of("cifar10", tmp_path))
    assert str(raised.value).startswith(str(tmp_path / "cifar10.npz"))
    assert not [part for part in says if part not in str(raised.value)], str(raised.value)


def test_an_array_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    write_arrays(tmp_path, "cifar10")
    path = tmp_path / "cifar10.npz"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=f"{path}: a file that cannot be read"):
        read(settings_of("cifar10", tmp_path))


# Sizes of images.
@pytest.mark.parametrize("side", [32, 16, 8, 1])
def test_images_are_averaged_over_squares(side: int) -> None:
    halves = [numpy_generator(3).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8) for n in (5, 2)]
    together, k = np.concatenate(halves), 32 // side
    plain = np.empty((7, 3, side, side), dtype=np.uint8)
    for row in range(side):
        for column in range(side):
            square = together[:, row * k : (row + 1) * k, column * k : (column + 1) * k]
            plain[:, :, row, column] = np.floor(square.reshape(7, -1, 3).mean(axis=1) + 0.5)
    assert np.array_equal(pooled(halves, side), plain)


def test_many_images_are_averaged_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    halves = [numpy_generator(4).integers(0, 256, (n, 4, 4, 1), dtype=np.uint8) for n in (7, 3)]
    whole = pooled(halves, 2)
    monkeypatch.setattr("grokforget.data.torchvision_sets.CHUNK_PIXELS", 33)
    assert np.array_equal(pooled(halves, 2), whole)


# What decides that a data set is made anew.
def planned(folder: Path, **more: Any) -> Any:
    study = small(data={"mine": {"kind": "mnist", "folder": str(folder), "train": 10, "validation": 10, **more}})
    return next(iter(runs.prepare(study, "mine").values()))


def test_files_that_are_there_are_inputs_and_count_by_their_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "here", "mnist", monkeypatch)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    here, there = planned(tmp_path / "here"), planned(tmp_path / "there")
    assert here.spec == there.spec
    assert len(here.inputs["files"]) == 4
    assert "torchvision" in here.spec.libraries
    assert planned(tmp_path / "here", side=14).spec != here.spec


def test_what_torchvision_fetches_is_no_input_before_it_is_there_or_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(tmp_path, download=True)
    write(tmp_path, "mnist", monkeypatch)
    after = planned(tmp_path, download=True)
    assert (before.spec, before.inputs) == (after.spec, after.inputs)
    assert not before.inputs
    write_arrays(tmp_path, "mnist")
    assert planned(tmp_path, download=True).inputs == {"files": [str(tmp_path / "mnist.npz")]}


# The real ones.
def real(name: str) -> Path:
    folder = os.environ.get("GROKFORGET_DATA")
    if folder is None:
        pytest.skip("GROKFORGET_DATA names no folder of real data sets")
    if not (path := Path(folder, name)).exists():
        pytest.skip(f"no {name} in the folder that GROKFORGET_DATA names")
    return path


REAL: list[tuple[str, str, Callable[[ExampleTable], bool]]] = [
    ("cifar10", "cifar10.npz", lambda table: np.allclose(table.mean, (0.4914, 0.4822, 0.4465), atol=1e-4)),
    ("fashion-mnist", "FashionMNIST", lambda table: np.allclose(table.mean + table.std, (0.2860, 0.3530), atol=1e-4)),
]


@pytest.mark.parametrize(("kind", "name", "known"), REAL)
def test_real_data_have_the_constants_that_everybody_uses(
    kind: str, name: str, known: Callable[[ExampleTable], bool]
) -> None:
    settings = settings_of(kind, real(name).parent, train=1000, validation=1000, test=2000)
    assert settings.conflict() is None
    table = read(settings)
    assert known(table)
    assert np.bincount(table.labels).tolist() == [sum(settings.sizes) // 10] * 10
    parts = settings.spec().build().split(table.labels, numpy_generator(0, "split"), test=table.test)
    assert np.bincount(table.labels[parts.test]).tolist() == [200] * 10
