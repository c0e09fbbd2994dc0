"""What a dry run says that its jobs cost: by a forecast, and by records where there are any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.settings.enums import Quietness

from grokforget.runtime import expected, paths
from grokforget.runtime.expected import Cost, remembered, seconds_of, sentence, tell_at_end, told_hours
from grokforget.runtime.files import write_json
from grokforget.runtime.remaining import START

TRAIN = {f"train/mlp/seed{seed}/full/segment001": "train" for seed in range(4)}
TABLE = {"tables/training": "collect"}
FIRST = next(iter(TRAIN))


class Told:
    """A forecast: 600 s of training, 60 s of anything else."""

    device, jobs_per_gpu, basis = "cpu", 1, "a machine of the test"
    unknown: Mapping[str, str] = {"vgg": "a model of kind torchvision"}

    def __init__(self, on_gpu: bool = False) -> None:
        self.on_gpu = on_gpu

    def of(self, rule: str, name: str) -> Cost | None:
        if name in self.unknown:
            return None
        return Cost(600, 500, 2e8, 5e7, 2, self.on_gpu) if rule == "train" else Cost(60, 250, 1e6)

    def gpu_needs(self) -> dict[str, float]:
        return {}


def test_costs_are_those_of_the_jobs_that_would_run() -> None:
    assert sentence({**TRAIN, **TABLE}, Told(), {}, 2) == (
        "Expected: about 81 core minutes on 2 cores (40 min), up to 0.5 GB of memory a job, 0.8 GB on disk (0.2 GB of them "
        "unlearned models: `keep_models`); as on a machine of the test."
    )
    assert sentence(TABLE, Told(), {}, None) == (
        "Expected: about 1 core minute, up to 0.2 GB of memory a job, 1 MB on disk; as on a machine of the test."
    )
    # No sooner than the longest job.
    assert "on 64 cores (10 min)" in sentence({**TRAIN, **TABLE}, Told(), {}, 64)


def test_gpu_hours_are_those_of_the_jobs_that_have_one() -> None:
    found = sentence({**TRAIN, **TABLE}, Told(on_gpu=True), {}, 2)
    assert found.startswith(
        "Expected: about 40 GPU minutes, and 1 core minute beside them, up to 0.5 GB of memory a job, "
    )
    shared = Told(on_gpu=True)
    shared.jobs_per_gpu = 4
    assert sentence({**TRAIN, **TABLE}, shared, {}, 2).startswith("Expected: about 10 GPU minutes, ")


def test_what_nothing_is_known_of_is_named() -> None:
    vgg = {"train/vgg/seed0/full/segment001": "train"}
    told = "nothing is known of the jobs of vgg (a model of kind torchvision) until some have run."
    assert sentence(vgg, Told(), {}, 2) == f"Expected: {told}"
    assert sentence({**TABLE, **vgg}, Told(), {}, 2).endswith(f"; as on a machine of the test; {told}")
    assert seconds_of(Told(), ("train", "mlp")) == 600
    assert seconds_of(Told(), ("train", "vgg")) > 0


def test_records_take_the_place_of_the_forecast_and_correct_the_rest_of_it() -> None:
    before = {("train", "mlp"): Cost(1200, 700, 1e8, 0)}
    assert sentence(TRAIN, Told(), before, 2).startswith(
        "Expected: about 2.7 core hours on 2 cores (80 min), up to 0.7 GB of memory a job, 0.4 GB on disk; as such jobs took"
    ), "with the cores that they have"
    # This machine takes twice as long as the forecast's.
    both = sentence({FIRST: "train", "tables/training": "collect", "tables/analysis": "collect"}, Told(), before, 1)
    assert both.startswith("Expected: about 44 core minutes on 1 core (44 min)")
    assert both.endswith("; as such jobs took before, 2 of 3 jobs estimated.")


def record(root: Path, job: str, **changes: Any) -> None:
    """A job that was computed, of which the spec file says the same still."""
    values = {"status": "computed", "device": "cpu", "now": 5, "seconds": 100.0, "peak_mb": 400, **changes}
    item = {"spec": {"steps": 5, "device": values["device"]}}
    models = {"models.safetensors": {"bytes": 30}} if "unlearn" in job else {}
    write_json(
        root / paths.record_of(job),
        {
            "spec": {"rule": job.split("/")[0], "items": {"": item}},
            "items": {"": {"status": values["status"]}},
            "read": {},
            "wrote": {"curve.parquet": {"bytes": 10}, **models},
            "costs": {"imports_s": 0.0, "work_s": values["seconds"] - START, "peak_mb": values["peak_mb"]},
        },
    )
    spec = root / paths.spec_of(job)
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"items": {"": {"spec": {**item["spec"], "steps": values["now"]}}}}))


def test_records_of_what_would_be_computed_alike_on_the_same_device_count(tmp_path: Path) -> None:
    record(tmp_path, "train/mlp/seed0", seconds=100.0, peak_mb=400)
    record(tmp_path, "train/mlp/seed1", seconds=200.0, peak_mb=900)
    record(tmp_path, "train/mlp/seed2", seconds=1.0, status="kept")
    record(tmp_path, "train/mlp/seed3", seconds=1.0, now=7)
    record(tmp_path, "train/mlp/seed4", seconds=1.0, device="cuda")
    record(tmp_path, "unlearn/mlp/seed0")
    assert remembered(tmp_path, "cpu") == {
        ("train", "mlp"): Cost(150, 900, 10),
        ("unlearn", "mlp"): Cost(100, 400, 40, 30),
    }
    assert remembered(tmp_path, "cuda") == {("train", "mlp"): Cost(1, 400, 10)}


def test_times_are_told_in_hours_or_minutes() -> None:
    assert [told_hours(seconds, "core") for seconds in (5, 100, 5399, 5400, 360000)] == [
        "1 core minute", "2 core minutes", "90 core minutes", "1.5 core hours", "100.0 core hours",
    ]  # fmt: skip


def snakemake(**changes: Any) -> Any:
    """What is looked at of Snakemake's own object at the end of a dry run."""
    values = {"dryrun": True, "quiet": None, "cores": 2, "nodes": None, "jobs": TRAIN, "asked": True, **changes}
    jobs = [
        SimpleNamespace(rule=SimpleNamespace(name=rule), output=[f"results/small/{paths.record_of(job)}", "other"])
        for job, rule in values["jobs"].items()
    ]
    return SimpleNamespace(
        dryrun=values["dryrun"],
        output_settings=SimpleNamespace(dryrun=values["asked"], quiet=values["quiet"]),
        resource_settings=SimpleNamespace(cores=values["cores"], nodes=values["nodes"]),
        dag=SimpleNamespace(needrun_jobs=lambda exclude_finished: [] if exclude_finished else jobs),
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "core minutes on 2 cores (40 min)"),
        ({"nodes": 100}, "80 core minutes, up to"),
        ({"asked": False}, None),
        ({"dryrun": False}, None),
        ({"jobs": {}}, None),
        ({"quiet": {Quietness.ALL}}, None),
        ({"quiet": {Quietness.RULES, Quietness.PROGRESS}}, "core minutes on 2 cores"),
    ],
)
def test_a_dry_run_that_would_run_something_says_it_once_at_its_end(
    changes: dict[str, Any],
    told: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(expected.atexit, "register", kept.append)
    tell_at_end(snakemake(**changes), tmp_path, Told())
    for tell in kept:
        tell()
    said = capsys.readouterr()
    assert said.out == ""
    assert (
        (said.err.startswith("Expected: ") and told in said.err and said.err.count("\n") == 1) if told else not said.err
    )


def test_a_record_of_an_older_format_counts_for_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / paths.record_of("train/mlp/seed0"), {"spec": {}, "items": {}, "read": {}, "wrote": {}})
    record(tmp_path, "train/mlp/seed1")
    assert remembered(tmp_path, "cpu") == {("train", "mlp"): Cost(100, 400, 10)}


def test_the_settings_of_snakemake_that_are_read_are_there() -> None:
    # Before its parts, which import each other.
    import snakemake.api
    from snakemake.settings.types import OutputSettings, ResourceSettings
    from snakemake.workflow import Workflow

    assert snakemake.api

    assert Quietness.ALL.name == "ALL"
    assert OutputSettings().dryrun is False
    assert OutputSettings().quiet is None
    assert ResourceSettings().nodes is None
    assert isinstance(Workflow.dryrun, property)
