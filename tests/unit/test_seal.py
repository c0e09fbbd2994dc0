"""Whatever is done to a sealed file is found, and to every other reader it is the file that it was."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from grokforget import seal as module
from grokforget.seal import EMPTY, MARK, SEAL, DamagedFile, check, files_checked, seal
from grokforget.storage import opened, read_metadata, read_table, read_tensors, tensor_groups, write_rows, write_tensors
from grokforget.training.state import read_state, write_states

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
