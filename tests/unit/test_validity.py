"""What is valid is decided by spec, code, versions and bytes: a chain of real jobs, run as the rules run them, without
Snakemake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokforget.config.specs import runs
from grokforget.config.specs.base import Item
from grokforget.config.study import Study
from grokforget.data.examples import ForgetSplit, Split
from grokforget.runtime import fingerprint as code
from grokforget.runtime import paths, preflight, spec_file
from grokforget.runtime.record import read_record
from grokforget.runtime.run import FORCED, run_job
from grokforget.runtime.spec_file import write_spec
from grokforget.runtime.store import VARIABLE, Store
from small import small

Items = dict[str, Item]
JOBS: dict[str, tuple[str, Callable[[Study], Items]]] = {
    "prepare": ("data/addition/examples", lambda study: runs.prepare(study, "addition")),
    "split": ("data/addition/seed0", lambda study: runs.split(study, "addition", "0")),
    "forget": ("forget/mlp/seed0", lambda study: runs.forget(study, "mlp", "0")),
}
ALL = {"prepare", "split", "forget@within", "forget@random"}


class Chain:
    """Three jobs that read each other's files, in a folder: what Snakemake does with them, by times alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, study: Study) -> tuple[set[str], set[str]]:
        """Bring everything up to date: the jobs that were started, and the items that were computed."""
        started, computed = set(), set()
        # As a rerun of Snakemake in a process of its own, after an edit.
        code.forget_what_was_read()
        for rule, (key, build) in JOBS.items():
            items = build(study)
            spec, record = write_spec(self.root, key, items, rule), self.root / paths.record_of(key)
            read = {file for item in items.values() for files in item.inputs.values() for file in [files]}
            inputs = [spec, *(self.root / str(file) for file in read)]
            # Snakemake compares times of files; a result's own may be old, for it may come from the store.
            if record.exists() and all(path.stat().st_mtime_ns <= record.stat().st_mtime_ns for path in inputs):
                continue
            started.add(rule)
            record.unlink(missing_ok=True)
            for item in items.values():
                for file in item.outputs.values():
                    (self.root / file).unlink(missing_ok=True)
            run_job(spec, record)
            noted = read_record(record)
            assert noted
            for name, item in noted["items"].items():
                if item["status"] == "computed":
                    computed.add(f"{rule}@{name}".rstrip("@"))
        return started, computed

    def computed(self, study: Study) -> set[str]:
        return self.run(study)[1]

    def bytes(self) -> dict[str, bytes]:
        """Every result."""
        wrote = [
            file for key, _ in JOBS.values() for file in (read_record(self.root / paths.record_of(key)) or {})["wrote"]
        ]
        return {file: (self.root / file).read_bytes() for file in wrote}

    def touch(self) -> None:
        """As after copying without times."""
        for path in self.root.rglob("*"):
            os.utime(path)

    def sweep(self) -> str:
        return preflight.end(self.root, True)


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.delenv(VARIABLE, raising=False)
    made = Chain(tmp_path / "results" / "small")
    assert made.run(small()) == ({*JOBS}, ALL)
    return made


def test_nothing_that_is_up_to_date_is_started(chain: Chain) -> None:
    assert chain.run(small()) == (set(), set())


def test_touched_files_start_jobs_that_compute_nothing(chain: Chain) -> None:
    before = chain.bytes()
    for path in chain.root.rglob("*.safetensors"):
        os.utime(path, ns=(2**62, 2**62))
    started, computed = chain.run(small())
    assert (started, computed) == ({"split", "forget"}, set())
    assert chain.bytes() == before


@pytest.mark.parametrize(
    ("changes", "computed"),
    [
        ({"forget_sets__random__fraction": 0.2}, {"forget@random"}),
        ({"forget_sets": {"more": {"kind": "random", "fraction": 0.2}}}, {"forget@more"}),
        ({"forget_sets__random": None}, set()),
        ({"data__addition__train_fraction": 0.5}, ALL),
        ({"data__addition__modulus": 11}, ALL),
        ({"methods__ascent__learning_rate": 0.5}, set()),
    ],
    ids=["one forget set", "a further one", "one less", "the data's split", "the data", "what these jobs have no part in"],
)  # fmt: skip
def test_a_change_computes_what_depends_on_it_and_reverting_it_computes_nothing(
    chain: Chain, changes: dict[str, Any], computed: set[str]
) -> None:
    before = chain.bytes()
    assert chain.computed(small(**changes)) == computed
    assert chain.computed(small()) == set()
    assert chain.bytes() == before


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Other code of the data set's module alone, which the jobs that prepare and split it run."""
    real = code.fingerprint

    def change(text: str) -> None:
        def other(*modules: str) -> str:
            return real(*modules) + (text if any("grokforget.data.modular" in module for module in modules) else "")

        monkeypatch.setattr(spec_file, "fingerprint", other)

    return change


def test_an_edit_whose_bytes_come_out_the_same_computes_one_item_and_keeps_the_rest(
    chain: Chain, edit: Callable[[str], None]
) -> None:
    """The module of the data set is code of its preparation and of its split, and both write the same as before."""
    before = chain.bytes()
    edit("edited")
    started, computed = chain.run(small())
    assert computed == {"prepare", "split"}
    assert started >= computed
    assert chain.bytes() == before
    assert chain.computed(small()) == set()
    edit("")
    assert chain.computed(small()) == set(), "as it was before"


def test_other_versions_of_what_decides_numbers_compute_again_and_reverting_computes_nothing(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = spec_file.versions_of
    with monkeypatch.context() as patch:
        patch.setattr(spec_file, "versions_of", lambda *names: {**real(*names), "scikit-learn": "99"})
        assert chain.computed(small()) == ALL
        assert chain.computed(small()) == set()
    assert chain.computed(small()) == set()
    with monkeypatch.context() as patch:
        patch.setattr(spec_file, "FORMAT", 99)
        assert chain.computed(small()) == ALL
    assert chain.computed(small()) == set()


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("times", [True, False])
def test_results_and_store_copied_elsewhere_compute_nothing(
    chain: Chain, tmp_path: Path, links: bool, times: bool
) -> None:
    elsewhere = tmp_path / "elsewhere" / "results" / "small"
    if links:
        elsewhere.parent.mkdir(parents=True)
        subprocess.run(["cp", "-a", chain.root, elsewhere], check=True)
    else:
        shutil.copytree(chain.root, elsewhere)
    before = chain.bytes()
    shutil.rmtree(chain.root)
    copied = Chain(elsewhere)
    if not times:
        copied.touch()
    assert copied.computed(small()) == set()
    assert copied.bytes() == before
    # Nor after a change that was taken back there, or once everything is cleared up.
    assert copied.computed(small(forget_sets__random__fraction=0.2)) == {"forget@random"}
    assert copied.computed(small()) == set()
    copied.sweep()
    copied.touch()
    assert copied.computed(small()) == set()


def test_results_that_were_copied_without_the_store_hold_while_nothing_changes(chain: Chain) -> None:
    shutil.rmtree(chain.root / "store")
    assert chain.run(small()) == (set(), set())


def test_a_study_elsewhere_takes_what_a_shared_store_has(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "shared"))
    first, second = (Chain(tmp_path / name / "results" / "small") for name in ("first", "second"))
    assert first.computed(small()) == ALL
    assert second.run(small()) == ({*JOBS}, set())
    assert first.bytes() == second.bytes() == chain.bytes()
    for file in first.bytes():
        assert (first.root / file).samefile(second.root / file)
    # What one of them clears up the other one keeps.
    assert first.computed(small(data__addition__modulus=11)) == ALL
    first.sweep()
    assert second.computed(small()) == set()


def test_other_bytes_upstream_compute_everything_behind(chain: Chain) -> None:
    """As of another kind of processor, where the same computation may differ in the last bits."""
    file = chain.root / "data" / "addition" / "seed0.safetensors"
    was = Split.read(file)
    file.unlink()
    Split(was.train[::-1].copy(), was.validation, was.test).write(file)
    os.utime(file, ns=(2**62, 2**62))
    started, computed = chain.run(small())
    assert computed == {"forget@within", "forget@random"}
    assert "split" not in started


def test_damage_upstream_is_no_other_content_but_an_error(chain: Chain) -> None:
    from grokforget.runtime.files import DamagedFile

    file = chain.root / "data" / "addition" / "seed0.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink()
    file.write_bytes(content)
    with pytest.raises(DamagedFile, match="is damaged"):
        chain.run(small(forget_sets__random__fraction=0.2))


def test_a_forced_job_computes_itself_and_nothing_behind_it(chain: Chain) -> None:
    (chain.root / FORCED).write_text(json.dumps(["split"]))
    (chain.root / paths.record_of(JOBS["split"][0])).unlink()
    started, computed = chain.run(small())
    assert (started, computed) == ({"split", "forget"}, {"split"})


def test_clearing_up_keeps_what_is_needed(chain: Chain) -> None:
    store = Store(chain.root)
    entries = {path.name for path in store.entries()}
    assert len(entries) == 4
    chain.sweep()
    assert {path.name for path in store.entries()} == entries
    chain.run(small(forget_sets__random__fraction=0.2))
    assert len({path.name for path in store.entries()}) == 5
    assert "removed" in chain.sweep()
    assert len({path.name for path in store.entries()}) == 4
    before = chain.bytes()
    chain.touch()
    assert chain.computed(small(forget_sets__random__fraction=0.2)) == set()
    assert chain.bytes() == before
    # What was cleared up is computed again, to the same bytes.
    assert chain.computed(small()) == {"forget@random"}


def test_what_is_computed_again_has_the_same_bytes(chain: Chain) -> None:
    before = chain.bytes()
    Store(chain.root).empty()
    chain.touch()
    for key, _ in JOBS.values():
        (chain.root / paths.record_of(key)).unlink()
    assert chain.computed(small()) == ALL
    assert chain.bytes() == before
    assert ForgetSplit.read(chain.root / "forget/mlp/seed0/random.safetensors").forget.dtype == np.int64
