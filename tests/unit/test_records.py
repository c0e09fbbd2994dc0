"""A job's record says what made its results, from what and with what."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from grokforget.runtime import fingerprint as versions
from grokforget.runtime import machine
from grokforget.runtime import record as module
from grokforget.runtime.files import DamagedFile, checksum, sha256, write_rows
from grokforget.runtime.machine import commit, environment
from grokforget.runtime.record import holds, is_another, lost, others, read_record, write_record


def test_a_record_holds_what_was_made_by_what_and_from_what(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "items": {"scrub": {"key": "k", "status": "kept"}},
        "read": {"in.txt": "abc"},
        "wrote": {"a.txt": {"sha256": "def", "bytes": 3}},
        "costs": {"work_s": 1.5},
    }
    path = tmp_path / "jobs" / "deep" / "job.json"
    noted = write_record(path, {"rule": "unlearn", "items": {}}, **given)
    assert read_record(path) == noted
    assert {name: noted[name] for name in given} == given
    assert noted["spec"] == {"rule": "unlearn", "items": {}}
    assert noted["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert noted["environment"]["libraries"]["numpy"] == versions.locked_versions()["numpy"]


NO_RECORDS = [
    *(None, b"", b"{", b'{"spec": {}, "items"', b"[]", b'"spec"', b"\xff\xfe", b"null", "folder"),
    b'{"spec": {}, "items": {}, "read": {}}',
]


@pytest.mark.parametrize("content", NO_RECORDS)
def test_what_is_no_whole_record_is_none(tmp_path: Path, content: bytes | str | None) -> None:
    path = tmp_path / "job.json"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert read_record(path) is None


# Whether it still holds.
@pytest.fixture
def noted(tmp_path: Path) -> dict[str, Any]:
    """The record of a job that read a file and wrote two, one of them final."""
    for name in ("in.parquet", "between/a.parquet", "tables/b.parquet"):
        write_rows(tmp_path / name, [{"name": name}])
    wrote = {name: {"sha256": sha256(tmp_path / name)} for name in ("between/a.parquet", "tables/b.parquet")}
    return {"spec": SPEC, "read": {"in.parquet": checksum(tmp_path / "in.parquet")}, "wrote": wrote}


WROTE = ["between/a.parquet", "tables/b.parquet"]
SPEC = {"format": 1, "items": {"a": 1}}


def test_a_record_holds_until_what_it_names_is_another(tmp_path: Path, noted: dict[str, Any]) -> None:
    assert holds(tmp_path, noted, SPEC, WROTE)
    assert not holds(tmp_path, None, SPEC, WROTE)
    for part in ("format", "items"):
        assert not holds(tmp_path, noted, {**SPEC, part: "another"}, WROTE)
    assert holds(tmp_path, noted, {**SPEC, "rule": "renamed"}, WROTE)
    # What it read may be gone, as intermediate files are; what lies there must be what it read.
    gone = {**noted, "read": {**noted["read"], "gone.parquet": "0"}}
    assert (holds(tmp_path, gone, SPEC, WROTE), others(tmp_path, gone)) == (True, [])
    write_rows(tmp_path / "in.parquet", [{"name": "another"}])
    assert (holds(tmp_path, noted, SPEC, WROTE), others(tmp_path, noted)) == (False, ["in.parquet"])


@pytest.mark.parametrize("file", WROTE)
def test_a_record_holds_while_its_files_are_there(tmp_path: Path, noted: dict[str, Any], file: str) -> None:
    rest = [name for name in WROTE if name != file]
    (tmp_path / file).unlink()
    assert (holds(tmp_path, noted, SPEC, WROTE), lost(tmp_path, noted, WROTE)) == (False, [file])
    assert (holds(tmp_path, noted, SPEC, rest), lost(tmp_path, noted, rest)) == (True, []), "of what is asked for"
    write_rows(tmp_path / "between" / "new.parquet", [{"n": 1}])
    assert lost(tmp_path, noted, [*rest, "between/new.parquet"]) == ["between/new.parquet"], "it did not write that"


@pytest.mark.parametrize(("file", "compared"), [(WROTE[0], False), (WROTE[1], True)])
def test_what_nothing_reads_is_compared(tmp_path: Path, noted: dict[str, Any], file: str, compared: bool) -> None:
    write_rows(tmp_path / file, [{"name": "another"}])
    assert holds(tmp_path, noted, SPEC, WROTE) != compared
    assert lost(tmp_path, noted, WROTE) == ([file] if compared else [])


def test_a_file_is_looked_at_again_once_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(module, "checksum", lambda path: read.append(path) or checksum(path))
    path = tmp_path / "a.parquet"
    write_rows(path, [{"n": 1}])
    before = checksum(path)
    assert [is_another(path, before) for _ in range(3)] == [False] * 3
    assert len(read) == 1
    write_rows(path, [{"n": 2}, {"n": 3}])
    assert [is_another(path, before) for _ in range(3)] == [True] * 3
    assert len(read) == 2
    path.unlink()
    assert not is_another(path, before)
    with pytest.raises(DamagedFile):
        checksum(path)


# With what.
def test_the_commit_says_whether_files_differ_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.org")
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(machine, "LOCK", tmp_path / "requirements.lock")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit() == "unknown"
    git("init", "--quiet")
    (tmp_path / "requirements.lock").write_text("a==1\n")
    git("add", ".")
    git("commit", "--quiet", "--message", "First")
    head = git("rev-parse", "HEAD").strip()
    (tmp_path / "results").write_text("not tracked")
    assert commit() == head
    (tmp_path / "requirements.lock").write_text("a==2\n")
    assert commit() == f"{head}+changes"
    # A copy that was unpacked in the checkout of something else, whose commit says nothing of it.
    copy = tmp_path / "unpacked"
    copy.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(machine, "LOCK", copy / "requirements.lock")
        assert commit() == "unknown"
        patch.setenv("GIT_DIR", str(tmp_path / ".git"))
        assert commit() == "unknown", "nor one that git was told of"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"


def test_the_environment_is_noted_without_loading_torch() -> None:
    code = "import sys; from grokforget.runtime.machine import environment; print(environment()['gpu'], 'torch' in sys.modules)"
    path = [str(Path(module.__file__).parents[2])]
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {path}; {code}"], capture_output=True)
    assert done.stdout.split() == [b"None", b"False"]
    assert environment()["cores"] >= 1
    assert environment()["memory_gib"] > 0.1
