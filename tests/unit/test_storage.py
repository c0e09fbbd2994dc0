"""Files appear whole or not at all, their bytes depend on the content alone, and nothing that is read can run code."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from safetensors import SafetensorError

import grokforget
from grokforget.seal import SEAL, DamagedFile, seal
from grokforget.storage import (
    read_table,
    read_tensors,
    tensor_groups,
    whole,
    write_json,
    write_rows,
    write_table,
    write_tensors,
)
from grokforget.training.state import read_state, write_states


class Interrupted(Exception):
    """Stands for whatever ends a job."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def fail_in_the_middle(path: Path) -> None:
    with whole(path) as beside:
        beside.write_text("half")
        raise Interrupted


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "table.csv"
    with whole(path) as beside:
        beside.write_text("half")
        assert not path.exists()
        assert beside.parent == path.parent
        assert beside.suffix == ".csv"
        beside.write_text("whole")
    assert contents(path.parent) == {"table.csv": b"whole"}


def test_an_error_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        fail_in_the_middle(tmp_path / "new.txt")
    assert contents(tmp_path) == {}


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(Interrupted):
        fail_in_the_middle(tmp_path / "old.txt")
    assert contents(tmp_path) == {"old.txt": b"old"}


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError), whole(tmp_path / "old.txt"):
        pass
    assert contents(tmp_path) == {"old.txt": b"old"}


def test_a_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert list(contents(tmp_path)) == ["value.json"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"a": object()}),
        lambda path: write_tensors(path, {"a": np.array([object()])}),
        lambda path: write_table(path, pd.DataFrame({"a": [object()]})),
        lambda path: write_rows(path, [{"a": object()}]),
        lambda path: write_states(path, {"1": {"w": torch.ones(2)}}, {"a": object()}),
    ],
    ids=["json", "tensors", "table", "rows", "states"],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, write: Callable[[Path], None]) -> None:
    (tmp_path / "old").write_text("old")
    with pytest.raises((TypeError, ValueError, KeyError, SafetensorError, pa.ArrowException)):
        write(tmp_path / "old")
    assert contents(tmp_path) == {"old": b"old"}


WRITERS: dict[str, Callable[[Path], None]] = {
    "tensors": lambda path: write_tensors(path, {"b": np.arange(3), "a": np.ones((2, 2))}, {"y": "1", "x": "2"}),
    "table": lambda path: write_table(
        path, pd.DataFrame({"name": ["a", "b"], "value": [0.1, float("nan")], "n": [1, 2]})
    ),
    "rows": lambda path: write_rows(path, [{"name": "a", "value": 0.1}, {"name": "b", "value": float("nan")}]),
    "json": lambda path: write_json(path, {"b": [1.5, None], "a": {"d": 1, "c": "ü"}}),
    "states": lambda path: write_states(
        path, {"2": {"w": torch.ones(2)}, "1": {"w": torch.zeros(2)}}, {"b": 1, "a": 2}
    ),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_same_content_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    for name in ("first", "second"):
        WRITERS[kind](tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_the_bytes_do_not_depend_on_the_process(tmp_path: Path) -> None:
    """The order of sets and of Rust's maps differs from one process to the next."""
    code = (
        "import sys, numpy as np; from pathlib import Path; from grokforget.storage import write_tensors\n"
        "write_tensors(Path(sys.argv[1]), {n: np.arange(3) for n in 'edcba'}, {n: n for n in 'zyxwvu'})"
    )
    source = str(Path(grokforget.__file__).parents[1])
    for number in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": number}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / number)], env=environment, check=True)
    assert len(set(contents(tmp_path).values())) == 1


def test_the_bytes_do_not_depend_on_the_order_of_the_metadata_or_keys(tmp_path: Path) -> None:
    arrays = {"a": np.arange(3), "b": np.ones(2)}
    write_tensors(tmp_path / "a", arrays, {"x": "1", "y": "2"})
    write_tensors(tmp_path / "b", dict(reversed(arrays.items())), {"y": "2", "x": "1"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_json(tmp_path / "a", {"x": 1, "y": 2})
    write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_table_keeps_no_index(tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    write_table(tmp_path / "plain.parquet", table)
    write_table(tmp_path / "shuffled.parquet", table.set_index(pd.Index([7, 8, 9])))
    assert (tmp_path / "plain.parquet").read_bytes() == (tmp_path / "shuffled.parquet").read_bytes()
    pd.testing.assert_frame_equal(read_table(tmp_path / "plain.parquet"), table)


def test_rows_and_columns_are_the_same_table(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows", [{"step": 1, "loss": 0.5, "kind": "a"}, {"step": 2, "loss": 0.25, "kind": "b"}])
    write_rows(tmp_path / "columns", {"step": [1, 2], "loss": np.array([0.5, 0.25]), "kind": ["a", "b"]})
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "columns").read_bytes()
    table = pd.DataFrame({"step": [1, 2], "loss": [0.5, 0.25], "kind": ["a", "b"]})
    pd.testing.assert_frame_equal(read_table(tmp_path / "rows"), table)


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    """The curve of a segment after a run has diverged."""
    write_rows(tmp_path / "rows", [])
    assert len(read_table(tmp_path / "rows")) == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, np.bool_])
def test_arrays_are_read_back_exactly(tmp_path: Path, dtype: type) -> None:
    value = np.arange(24).reshape(2, 3, 4).astype(dtype)
    write_tensors(tmp_path / "x", {"plain": value, "turned": value.transpose(2, 0, 1), "empty": value[:0]})
    arrays, metadata = read_tensors(tmp_path / "x")
    for name, expected in (("plain", value), ("turned", value.transpose(2, 0, 1)), ("empty", value[:0])):
        assert np.array_equal(arrays[name], expected)
        assert (arrays[name].dtype, arrays[name].shape) == (expected.dtype, expected.shape)
    assert metadata == {}


def test_a_prefix_picks_arrays_and_leaves_their_names_without_it(tmp_path: Path) -> None:
    names = ["1/w", "1/b", "10/w", "21/w"]
    write_tensors(tmp_path / "x", {name: np.array([number]) for number, name in enumerate(names)}, {"a": "b"})
    arrays, metadata = read_tensors(tmp_path / "x", prefix="1/")
    assert {name: value.item() for name, value in arrays.items()} == {"w": 0, "b": 1}
    assert metadata == {"a": "b"}
    assert read_tensors(tmp_path / "x", prefix="3/")[0] == {}
    assert tensor_groups(tmp_path / "x") == ["1", "10", "21"]


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def pickled(path: Path, bomb: Bomb) -> None:
    path.write_bytes(pickle.dumps(bomb))


def saved_by_torch(path: Path, bomb: Bomb) -> None:
    torch.save({"w": bomb}, path)


def saved_by_numpy(path: Path, bomb: Bomb) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([bomb], dtype=object), allow_pickle=True)


@pytest.mark.parametrize("save", [pickled, saved_by_torch, saved_by_numpy])
@pytest.mark.parametrize(
    "read", [read_tensors, tensor_groups, read_table, lambda path: read_state(path, "w")],
    ids=["tensors", "groups", "table", "state"],
)  # fmt: skip
def test_nothing_pickled_is_read(tmp_path: Path, save: Callable[..., None], read: Callable[[Path], Any]) -> None:
    save(tmp_path / "file", Bomb(tmp_path / "exploded"))
    with pytest.raises(DamagedFile, match="carries no checksum"):
        read(tmp_path / "file")
    # Nor where somebody gives it a checksum that is right.
    with (tmp_path / "file").open("ab") as file:
        file.write(SEAL.encode())
    seal(tmp_path / "file")
    with pytest.raises((SafetensorError, pa.ArrowInvalid)):
        read(tmp_path / "file")
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_of_these_tests_goes_off_when_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "exploded")))
    assert (tmp_path / "exploded").exists()


def test_a_file_that_is_cut_off_is_not_read(tmp_path: Path) -> None:
    write_tensors(tmp_path / "whole", {"a": np.arange(100)})
    (tmp_path / "half").write_bytes((tmp_path / "whole").read_bytes()[:-50])
    with pytest.raises(DamagedFile, match="half is damaged"):
        read_tensors(tmp_path / "half")
