"""The job that measures cells: each with its own rows, and without libraries that would take longer than the job."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from grokforget.config.metrics import METRICS
from grokforget.config.specs.unlearning import MeasureSpec
from grokforget.data.examples import ExampleTable
from grokforget.jobs.checkpoint_rows import by_checkpoint
from grokforget.jobs.measure import measure
from grokforget.metrics.base import Cell
from grokforget.runtime.files import read_columns, read_table, write_rows, write_table
from grokforget.runtime.job import Job

SOURCE = str(Path(__file__).parents[2] / "workflow" / "src")
METHODS, CHECKPOINTS = ["original", "retrain", "scrub"], ["early", "grokked"]
FLAGS = {("scrub", "grokked"): "not found"}
KINDS = [kind for kind, row in METRICS.items() if "classification" in row.objectives and kind != "request"]


@pytest.fixture
def job(tmp_path: Path) -> Job[MeasureSpec]:
    generator = np.random.default_rng(0)
    ExampleTable(np.zeros((4, 2), np.float32), np.arange(4) % 3, 3).write(tmp_path / "examples.safetensors")
    inputs: dict[str, list[Path]] = {"examples": [tmp_path / "examples.safetensors"]}
    for method in METHODS:
        outputs, trajectory, diagnostics = [], [], []
        for checkpoint in CHECKPOINTS:
            for split, n in (("forget", 12), ("retain", 30), ("test", 25)):
                loss = generator.gamma(1, 1, n)
                of_split = {"label": np.arange(n) % 3, "loss": loss, "correct": generator.random(n) < 0.7}
                outputs.append(pd.DataFrame({"checkpoint": checkpoint, "split": split, **of_split}))
            for update in range(4):
                shares = {f"{split}_accuracy": generator.random() for split in ("forget", "retain", "test")}
                trajectory.append({"checkpoint": checkpoint, "update": update, "forget_loss": 1.0, **shares})
            notes = {"diverged": 0.0, "updates": 3.0}
            labels = {"checkpoint": checkpoint, "flag": FLAGS.get((method, checkpoint), "")}
            diagnostics += [{**labels, "measure": name, "value": v} for name, v in notes.items()]
        tables = {"outputs": pd.concat(outputs), "trajectory": pd.DataFrame(trajectory)}
        for kind, table in {**tables, "diagnostics": pd.DataFrame(diagnostics)}.items():
            inputs.setdefault(kind, []).append(tmp_path / f"{method}-{kind}.parquet")
            write_table(inputs[kind][-1], table.reset_index(drop=True))
    spec = MeasureSpec(
        methods=METHODS,
        original="original",
        retrain="retrain",
        checkpoints=CHECKPOINTS,
        metrics={kind: METRICS[kind]().spec() for kind in KINDS},
        seed=5,
    )
    return Job(inputs, {"table": tmp_path / "table.parquet"}, spec)


def measured(job: Job[MeasureSpec]) -> pd.DataFrame:
    measure(job)
    return read_table(job.outputs["table"])


def test_every_cell_is_measured_by_its_own_rows(job: Job[MeasureSpec]) -> None:
    table = measured(job)
    assert [*zip(table.method, table.checkpoint, strict=True)] == [(m, c) for m in METHODS for c in CHECKPOINTS]
    files = {kind: [read_table(path) for path in job.inputs[kind]] for kind in ("outputs", "trajectory")}

    def of(kind: str, method: str, checkpoint: str) -> pd.DataFrame:
        whole = files[kind][METHODS.index(method)]
        return whole[whole.checkpoint == checkpoint]

    for row in table.to_dict("records"):
        method, checkpoint = row["method"], row["checkpoint"]
        three = (of("outputs", which, checkpoint) for which in (method, "original", "retrain"))
        level = of("trajectory", "retrain", checkpoint).forget_accuracy.iloc[-1]
        followed = of("trajectory", method, checkpoint)
        cell = Cell(*three, followed, chance=1 / 3, seed=5, retrained_forget_accuracy=level)
        flag = FLAGS.get((method, checkpoint), "")
        expected: dict[str, Any] = {"updates": 3, "flag": flag, "reference_flag": ""}
        for kind in KINDS:
            expected |= METRICS[kind]().spec().build(cell)
        assert {name: row[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert table.forget_accuracy.nunique() > 3
    assert table.updates.dtype == np.int64


def test_what_is_measured_against_a_reference_that_is_none_is_no_number(job: Job[MeasureSpec]) -> None:
    sound = measured(job).set_index(["method", "checkpoint"])
    path = job.inputs["diagnostics"][1]
    notes = read_table(path)
    write_table(path, notes.assign(flag=np.where(notes.checkpoint == "grokked", "not found", "")))
    found = measured(job).set_index(["method", "checkpoint"])
    assert found.reference_flag.tolist() == ["", "not found"] * 3
    assert found.flag["retrain", "grokked"] == "not found"
    against = [
        "retrain_gap",
        "tow",
        "updates_to_retrained",
        "retain_accuracy_at_retrained",
        "test_accuracy_at_retrained",
    ]
    grokked = found.index.get_level_values("checkpoint") == "grokked"
    assert found.loc[grokked, against].isna().all(axis=None)
    assert sound.loc[grokked, "retrain_gap"].notna().all()
    same = [name for name in sound if name not in (*against, "flag", "reference_flag")]
    pd.testing.assert_frame_equal(found[same], sound[same])
    pd.testing.assert_frame_equal(found.loc[~grokked, against], sound.loc[~grokked, against])


def test_a_model_whose_outputs_are_not_finite_has_no_numbers_though_its_weights_are(job: Job[MeasureSpec]) -> None:
    path = job.inputs["outputs"][2]
    table = read_table(path)
    table.loc[(table.checkpoint == "early") & (table.split == "test"), "loss"] = math.nan
    write_table(path, table)
    found = measured(job).set_index(["method", "checkpoint"])
    bad = found.index == ("scrub", "early")
    numbers = found.drop(columns=["updates", "flag", "reference_flag"])
    assert numbers[bad].isna().all(axis=None)
    assert numbers[~bad][["forget_accuracy", "membership_accuracy", "retrain_gap"]].notna().all(axis=None)


def test_rows_of_a_checkpoint_need_not_stand_together(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", {"checkpoint": ["b", "a", "b"], "value": [1, 2, 3], "name": ["x", "y", "z"]})
    found = by_checkpoint(tmp_path / "a.parquet")
    assert list(found) == ["b", "a"]
    assert {key: values.tolist() for key, values in found["b"].items()} == {"value": [1, 3], "name": ["x", "z"]}
    assert found["a"]["value"].tolist() == [2]
    table = read_table(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(pd.DataFrame(read_columns(tmp_path / "a.parquet")), table, check_dtype=False)


@pytest.mark.parametrize("job_of", ["measure", "attack"])
def test_it_imports_neither_torch_nor_pandas_nor_scikit_learn_nor_scipy(job_of: str) -> None:
    code = (
        f"import sys, grokforget.jobs.{job_of}, grokforget.runtime.files\n"
        "from grokforget.config.metrics import METRICS\n"
        "from grokforget.runtime.components import load_implementation\n"
        "for kind in METRICS.values(): load_implementation(kind.implementation)\n"
        "import numpy as np\n"
        "from grokforget.metrics import mia_confidence, mia_loss\n"
        "x = np.linspace(0, 1, 20)\n"
        "mia_loss.attack_accuracy(x, x + 0.5, 4, 100.0, 0), mia_confidence.attack(x, x / 2, x, 4, np.random.default_rng(0))\n"
        "print(*sorted({'torch', 'pandas', 'sklearn', 'scipy'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": SOURCE})
    assert done.stdout == "\n", done.stdout + done.stderr
