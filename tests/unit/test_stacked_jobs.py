"""The job of a grid whose runs take their steps together: an item a run all the same."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_grids import DECAY, FRACTION, looked_at

from grokforget.config.specs import runs
from grokforget.config.study import Study
from grokforget.jobs import stack
from grokforget.runtime import paths, signals, store
from grokforget.runtime.errors import ItemsFailed
from grokforget.runtime.files import read_metadata
from grokforget.runtime.run import run_job
from grokforget.runtime.spec_file import write_spec
from small import read

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS, SEGMENT = 80, 40
JOB = paths.TOGETHER.format(grid="mlp", seed=0)


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store of others, and signals as a job begins with them."""
    monkeypatch.delenv(store.VARIABLE, raising=False)
    for name, value in (("_asked", None), ("_saving", False)):
        monkeypatch.setattr(signals, name, value)


def grid(decays: list[float], together: Any = "stacked", **changes: Any) -> Study:
    tree = looked_at({DECAY: decays, FRACTION: [0.5, 0.6]}, together=together)
    tree["settings"]["mlp"]["training"] |= {"steps": STEPS, "segment_steps": SEGMENT, **changes}
    return Study.model_validate(tree)


def go(root: Path, study: Study) -> dict[str, str]:
    """Run the job of the first seed; what became of each training item."""
    spec = write_spec(root, JOB, runs.together(study, "mlp", "0"), "together")
    record = root / paths.record_of(JOB)
    run_job(spec, record)
    return {name: item["status"] for name, item in read(record)["items"].items() if name.startswith("3 train/")}


def curves(root: Path) -> dict[str, pd.DataFrame]:
    found = sorted((root / JOB).rglob("curve.parquet"))
    return {path.relative_to(root / JOB).as_posix(): pd.read_parquet(path) for path in found}


def test_every_run_is_an_item_with_the_files_of_a_run_by_itself(tmp_path: Path) -> None:
    stacked, apart = tmp_path / "results" / "stacked", tmp_path / "results" / "apart"
    computed = go(stacked, grid([0.3, 3]))
    assert len(computed) == 2 * 2 * 2
    assert set(computed.values()) == {"computed"}
    assert [name.split("/")[1] for name in computed] == ["001"] * 4 + ["002"] * 4
    go(apart, grid([0.3, 3], together=True))
    ours, theirs = curves(stacked), curves(apart)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 8
    for name, curve in ours.items():
        exact = ["step", "diverged", "train_accuracy", "validation_accuracy", "test_accuracy"]
        pd.testing.assert_frame_equal(curve[exact], theirs[name][exact], check_exact=False, atol=0.02)
        pd.testing.assert_frame_equal(curve, theirs[name], rtol=1e-2, atol=0.02)
    keys = [
        {item["key"] for name, item in read(root / paths.record_of(JOB))["items"].items() if name.startswith("3")}
        for root in (stacked, apart)
    ]
    assert not keys[0] & keys[1], "the last bits differ"


def test_a_grid_that_grows_trains_what_is_new(tmp_path: Path) -> None:
    go(tmp_path, grid([0.3, 3]))
    before = {name: curve.to_csv() for name, curve in curves(tmp_path).items()}
    computed = go(tmp_path, grid([0.3, 1, 3]))
    new = {name for name, status in computed.items() if status == "computed"}
    assert {name.rpartition("weight-decay-")[2] for name in new} == {"1"}
    assert len(new) == 4
    assert before.items() <= {name: curve.to_csv() for name, curve in curves(tmp_path).items()}.items()


def test_settings_that_are_the_same_are_trained_once(tmp_path: Path) -> None:
    tree = looked_at({DECAY: {"values": {"a": 0.3, "b": 0.3, "c": 1}}}, together="stacked")
    tree["settings"]["mlp"]["training"] |= {"steps": SEGMENT, "segment_steps": SEGMENT}
    computed = go(tmp_path, Study.model_validate(tree))
    assert [computed[f"3 train/001/mlp-weight-decay-{name}"] for name in "abc"] == ["computed", "kept", "computed"]


def test_asked_to_stop_all_are_saved_and_go_on_to_the_same_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halted = tmp_path / "results" / "whole", tmp_path / "results" / "halted"
    study = grid([0.3, 1, 3])
    go(whole, study)
    calls = iter(range(10**6))

    def asked() -> bool:
        if next(calls) == 20:
            signals._asked = signal.SIGTERM
        return signals._asked is not None

    monkeypatch.setattr(stack, "asked", asked)
    with pytest.raises(signals.Interrupted):
        go(halted, study)
    partials = list((halted / "store" / "unfinished").glob("*/partial.safetensors"))
    assert len(partials) == 6
    steps = sorted(read_metadata(path)["step"] for path in partials)
    assert steps[:3] == [0] * 3, "of the other share of the data, whose turn had not come"
    assert 0 < steps[3] == steps[5] < SEGMENT
    signals._asked = None
    monkeypatch.undo()
    go(halted, study)
    ours, theirs = curves(halted), curves(whole)
    assert ours.keys() == theirs.keys()
    for name, curve in ours.items():
        pd.testing.assert_frame_equal(curve, theirs[name], check_exact=True)


def test_one_that_fails_takes_its_stack_with_it_and_nothing_that_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(tmp_path, grid([0.3]))

    def fails(runs: Any, on_step: Any) -> None:
        raise RuntimeError("too many of them")

    monkeypatch.setattr(stack, "train_stacked", fails)
    with pytest.raises(ItemsFailed, match=r"^8 of 16 items .*weight-decay-1: RuntimeError: too many of them") as failed:
        go(tmp_path, grid([0.3, 1, 3]))
    assert str(failed.value).count("what it reads was not made by an item before it") == 4
    assert "weight-decay-0p3" not in str(failed.value)
    assert len(curves(tmp_path)) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"penalty": {"kind": "jacobian", "strength": 0.1}}, "stacked runs with a penalty"),
        ({"optimizer": {"name": "adamw", "learning_rate": 1e-3, "sam_rho": 0.1}}, "stacked runs with SAM"),
    ],
)
def test_what_cannot_be_stacked_is_refused(changes: dict[str, Any], says: str) -> None:
    tree = looked_at(together="stacked")
    tree["settings"]["mlp"]["training"] |= changes
    with pytest.raises(ValueError, match=says):
        Study.model_validate(tree)
    tree["settings"]["mlp"]["together"] = True
    Study.model_validate(tree)


def test_batch_norms_cannot_be_stacked() -> None:
    tree = looked_at(together="stacked")
    tree["data"]["digits"] = {"kind": "digits", "train": 100, "validation": 100}
    tree["settings"]["mlp"] |= {"data": "digits", "model": {"kind": "resnet", "width": 4}}
    with pytest.raises(ValueError, match="stacked runs with batch norms"):
        Study.model_validate(tree)
