"""Files appear whole or not at all, their bytes depend on the content alone, whatever is done to a sealed one is found,
and nothing that is read can run code."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError

import grokforget
from grokforget.models.states import read_state, write_states
from grokforget.runtime import files as module
from grokforget.runtime.files import (
    EMPTY,
    MARK,
    SEAL,
    DamagedFile,
    check,
    checksum,
    files_checked,
    opened,
    read_metadata,
    read_table,
    read_tensors,
    seal,
    sha256,
    tensor_groups,
    whole,
    write_json,
    write_rows,
    write_table,
    write_tensors,
)


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
        "import sys, numpy as np; from pathlib import Path; from grokforget.runtime.files import write_tensors\n"
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


# Seals.
VALUES = np.random.default_rng(0).random(60)
STEPS = [{"step": step, "loss": value, "set": "train"} for step, value in enumerate(VALUES)]
FILES: dict[str, Callable[[Path], None]] = {
    "tensors.safetensors": lambda path: write_tensors(path, {"b": VALUES, "a": np.arange(5)}, {"run": "first"}),
    "states.safetensors": lambda path: write_states(path, {"1": {"w": torch.ones(30)}, "2": {"w": torch.zeros(30)}}),
    "rows.parquet": lambda path: write_rows(path, STEPS),
    # Values that look like seals themselves.
    "seals.safetensors": lambda path: write_tensors(path, {"a": np.frombuffer(SEAL.encode(), np.uint8)}),
    "seals.parquet": lambda path: write_rows(path, [{"text": SEAL}, {"text": MARK.decode()}]),
}


def digest_at(content: bytes, name: str) -> int:
    """Where the digits stand."""
    return (content.rindex(MARK) if name.endswith(".parquet") else content.index(MARK)) + len(MARK)


@pytest.fixture(params=FILES)
def intact(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    FILES[request.param](path)
    return path


def test_the_seal_is_the_checksum_of_the_file_with_zeros_in_its_place(intact: Path) -> None:
    content = intact.read_bytes()
    start = digest_at(content, intact.name)
    carried = content[start : start + 64]
    assert carried != EMPTY.encode()
    bare = content[:start] + EMPTY.encode() + content[start + 64 :]
    assert hashlib.sha256(bare).hexdigest().encode() == carried
    check(intact)
    seal(intact)
    assert intact.read_bytes() == content, "sealing again changes nothing"


def test_the_same_values_give_the_same_bytes_under_every_name(intact: Path) -> None:
    again = intact.parent / "sub" / f"another{intact.suffix}"
    FILES[intact.name](again)
    assert again.read_bytes() == intact.read_bytes()


def test_every_flipped_byte_is_found(intact: Path) -> None:
    content = intact.read_bytes()
    start = digest_at(content, intact.name)
    ends = [*range(12), *range(len(content) - 12, len(content))]
    seal_itself = [start - len(MARK) - 1, start - len(MARK), start - 1, start, start + 31, start + 63, start + 64]
    positions = {*ends, *seal_itself, *random.Random(0).sample(range(len(content)), 200)}
    for position in sorted(positions):
        for mask in (0x01, 0x20, 0xFF):
            damaged = intact.with_stem(f"{position}-{mask}")
            damaged.write_bytes(content[:position] + bytes([content[position] ^ mask]) + content[position + 1 :])
            with pytest.raises(DamagedFile, match=str(damaged)) as found:
                check(damaged)
            assert found.value.path == damaged


def test_every_truncation_and_every_addition_is_found(intact: Path) -> None:
    content = intact.read_bytes()
    for length in range(len(content)):
        cut = intact.with_stem(f"cut-{length}")
        cut.write_bytes(content[:length])
        with pytest.raises(DamagedFile, match=str(cut)):
            check(cut)
    for name, longer in {"more": content + b"\0", "before": b"\0" + content, "twice": content * 2}.items():
        path = intact.with_stem(name)
        path.write_bytes(longer)
        with pytest.raises(DamagedFile, match=str(path)):
            check(path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "is missing"),
        (b"", "is empty"),
        (b"something else", "is damaged: it carries no checksum"),
        (SEAL.encode()[:-1], "is damaged: it carries no checksum"),
        (SEAL.encode(), "is damaged: it carries the checksum 0000"),
    ],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_the_message_says_which_file_and_what_is_wrong(
    tmp_path: Path, suffix: str, content: bytes | None, what: str
) -> None:
    path = tmp_path / f"results{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DamagedFile) as found:
        check(path)
    assert str(found.value).startswith(f"{path} {what}")
    assert path not in files_checked()


READERS: dict[str, list[Callable[[Path], object]]] = {
    ".safetensors": [read_tensors, read_metadata, tensor_groups, lambda path: opened(path).__enter__(),
                     lambda path: read_state(path, "1")],
    ".parquet": [read_table],
}  # fmt: skip


def test_no_reader_gives_anything_of_a_damaged_file(intact: Path) -> None:
    content = bytearray(intact.read_bytes())
    content[len(content) // 3] ^= 1
    intact.write_bytes(content)
    for read in READERS[intact.suffix]:
        with pytest.raises(DamagedFile, match=str(intact)):
            read(intact)


def test_other_readers_see_the_values_and_no_more(tmp_path: Path) -> None:
    tensors, states, rows = (tmp_path / name for name in list(FILES)[:3])
    for path in (tensors, states, rows):
        FILES[path.name](path)
    arrays = safetensors.numpy.load_file(tensors)
    assert arrays.keys() == {"a", "b"}
    assert np.array_equal(arrays["b"], VALUES)
    assert safetensors.torch.load_file(states)["1/w"].sum() == 30
    pd.testing.assert_frame_equal(pd.read_parquet(rows), pd.DataFrame(STEPS), check_exact=True)
    assert pyarrow.parquet.read_table(rows).to_pylist() == STEPS


def test_the_metadata_come_back_without_the_seal(tmp_path: Path) -> None:
    given = {"steps": [1, 2], "seen": None, "deep": {"a": 0.1}}
    write_tensors(tmp_path / "a.safetensors", {"x": VALUES}, given)
    assert read_metadata(tmp_path / "a.safetensors") == given


def test_a_file_without_a_place_for_a_seal_is_not_sealed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"a": VALUES}, path)
    content = path.read_bytes()
    with pytest.raises(DamagedFile, match="carries no checksum"):
        seal(path)
    assert path.read_bytes() == content


def test_a_file_is_read_once_until_it_changes(intact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    digest = module._digest
    monkeypatch.setattr(module, "_digest", lambda content, start: read.append(start) or digest(content, start))
    check(intact)
    check(intact)
    assert len(read) == 1
    assert files_checked().count(intact) == 1
    content = bytearray(intact.read_bytes())
    content[-1] ^= 1
    intact.write_bytes(content)
    # File systems note times in ticks, and a test is faster than one.
    os.utime(intact, ns=(0, 10**9))
    for _ in range(2):
        with pytest.raises(DamagedFile, match="is damaged"):
            check(intact)
    assert len(read) == 3, "what was found damaged is read again"


# What a file's content is known by.
def test_a_sealed_file_is_known_by_the_checksum_that_it_carries(intact: Path) -> None:
    content = intact.read_bytes()
    start = digest_at(content, intact.name)
    assert checksum(intact) == content[start : start + 64].decode()
    again = intact.parent / "sub" / f"another{intact.suffix}"
    FILES[intact.name](again)
    assert checksum(again) == checksum(intact)


def test_other_content_has_another_checksum(tmp_path: Path) -> None:
    for suffix, write in ((".parquet", write_rows), (".safetensors", None)):
        for n in (1, 2):
            path = tmp_path / f"{n}{suffix}"
            write(path, [{"n": n}]) if write else write_tensors(path, {"n": np.array([n])})
        assert checksum(tmp_path / f"1{suffix}") != checksum(tmp_path / f"2{suffix}")


@pytest.mark.parametrize("name", ["own.csv", "own.parquet", "own.safetensors", "empty.parquet", "short.parquet"])
def test_a_file_that_carries_none_is_known_by_all_its_bytes(tmp_path: Path, name: str) -> None:
    """A user's, or one of ours that is found damaged as soon as it is read."""
    path = tmp_path / name
    path.write_bytes({"empty.parquet": b"", "short.parquet": SEAL.encode()[:-1]}.get(name, b"something"))
    assert checksum(path) == sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_is_known_by_all_that_is_in_it_and_not_hidden(tmp_path: Path) -> None:
    """Not by where it lies, nor by time stamps."""

    def made(name: str) -> Path:
        for place, content in (("cat/a.png", "1"), ("cat/b.png", "2"), ("dog/a.png", "3")):
            file = tmp_path / name / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return tmp_path / name

    before = checksum(made("first"))
    second = made("second")
    (second / ".DS_Store").write_text("of a file manager")
    (second / "cat" / ".hidden").write_text("likewise")
    assert checksum(second) == before
    edits: list[Callable[[Path], object]] = [
        lambda folder: (folder / "dog" / "a.png").write_text("4"),
        lambda folder: (folder / "dog" / "b.png").write_text("4"),
        lambda folder: (folder / "dog" / "a.png").unlink(),
        # The same contents in the same order, of another class.
        lambda folder: (folder / "cat" / "b.png").rename(folder / "dog" / "0.png"),
        lambda folder: (folder / "dog").rename(folder / "eel"),
        lambda folder: (folder / "eel").mkdir(),
    ]
    seen = {before}
    for number, edit in enumerate(edits):
        folder = made(f"edited{number}")
        edit(folder)
        seen.add(checksum(folder))
    assert len(seen) == len(edits) + 1
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(tmp_path / "first" / name)
    assert checksum(linked) == before


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "folder.parquet"])
def test_what_is_no_file_has_no_checksum(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DamagedFile, match=f"{name} is missing"):
        checksum(tmp_path / name)


@pytest.mark.parametrize("kind", ["tensors", "states", "table", "rows", "json"])
@pytest.mark.parametrize(("mask", "rights"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_rights_that_their_user_gives(
    tmp_path: Path, kind: str, mask: int, rights: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some libraries write for their user alone."""
    monkeypatch.setattr(module, "UMASK", mask)
    before = os.umask(mask)
    try:
        match kind:
            case "tensors":
                write_tensors(tmp_path / kind, {"a": np.arange(3)})
            case "states":
                write_states(tmp_path / kind, {"a": {"w": torch.zeros(2)}})
            case "table":
                write_table(tmp_path / kind, pd.DataFrame({"a": [1]}))
            case "rows":
                write_rows(tmp_path / kind, [{"a": 1}])
            case "json":
                write_json(tmp_path / kind, {})
    finally:
        os.umask(before)
    assert (tmp_path / kind).stat().st_mode & 0o777 == rights
