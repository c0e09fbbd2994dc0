"""What the project promises about itself: pins, schema, tuned values, light imports."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from grokforget.analysis.registry import ANALYSES
from grokforget.config.loader import load_study
from grokforget.config.schema import SCHEMA, schema_text
from grokforget.data.registry import DATA_SETS
from grokforget.forget_sets.registry import FORGET_SETS
from grokforget.measures.registry import MEASURES
from grokforget.models.registry import MODELS
from grokforget.stages import STAGES
from grokforget.training.penalties.registry import PENALTIES
from grokforget.unlearning.registry import METHODS
from grokforget.versions import locked_versions

ROOT = Path(__file__).parents[2]
STUDIES = [ROOT / "config.yaml", *sorted((ROOT / "workflow" / "studies").glob("*.yaml"))]


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_environments_pin_what_the_lock_pins(path: Path) -> None:
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    pins = next(entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert pins
    for pin in pins:
        name, version = pin.split("==")
        assert locked_versions()[name.lower()] == version, pin


def test_every_line_of_the_lock_pins_a_version_and_torch_is_the_one_we_need() -> None:
    lines = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert len(lines) == len(locked_versions())
    assert locked_versions()["torch"] == "2.13.0"
    assert locked_versions()["torchvision"] == "0.28.0"


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `make schema`"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_studies_name_the_schema_for_editors_and_load(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    assert (path.parent / named[1]).resolve() == SCHEMA.resolve()
    assert load_study(path).study == {"config.yaml": "laptop"}.get(path.name, path.stem)


def test_the_laptop_study_uses_the_values_that_were_chosen() -> None:
    study = load_study(ROOT / "config.yaml")
    with open(ROOT / "workflow" / "studies" / "tuning" / "laptop-choice.csv") as file:
        choices = list(csv.DictReader(file))
    assert {(row["setting"], row["method"]) for row in choices} == {
        (setting, method) for setting in study.settings if study.tuned(setting) for method in study.tuning.candidates
    }
    for row in choices:
        method = study.method(row["setting"], row["method"])
        assert getattr(method, row["parameter"]) == pytest.approx(float(row["value"])), row


@pytest.mark.parametrize("registry", [DATA_SETS, MODELS, FORGET_SETS, METHODS, MEASURES, ANALYSES, PENALTIES])
def test_every_entry_names_code_that_exists(registry: dict) -> None:
    from grokforget.components import load_implementation

    for component in registry.values():
        assert callable(load_implementation(component.implementation))


def test_every_stage_exists() -> None:
    from grokforget.components import load_implementation

    for path in STAGES.values():
        assert callable(load_implementation(path))


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (
            ["grokforget.config.study", "grokforget.config.claims", "grokforget.plan", "grokforget.fingerprint"],
            {"torch", "pandas", "numpy"},
        ),
        (["grokforget.stages.prepare"], {"torch", "torchvision", "seaborn", "matplotlib"}),
        (
            ["grokforget.stages.train", "grokforget.stages.unlearn"],
            {"torchvision", "seaborn", "matplotlib", "pandas", "sklearn"},
        ),
        (["grokforget.stages.measure", "grokforget.stages.collect"], {"torch", "torchvision", "seaborn", "matplotlib"}),
        (
            [
                f"grokforget.stages.{name}"
                for name in ("attack", "tuned", "claims", "published", "paper_table", "select")
            ],
            {"torch", "torchvision", "seaborn", "matplotlib"},
        ),
        (
            ["grokforget.stages.analyse", "grokforget.stages.shadow"],
            {"torchvision", "seaborn", "matplotlib", "sklearn"},
        ),
        (["grokforget.stages.figure1a", "grokforget.stages.figure2"], {"torch", "torchvision"}),
    ],
)
def test_stages_import_only_what_they_use(modules: list[str], unwanted: set[str]) -> None:
    code = f"import sys, {', '.join(modules)}; print(*({unwanted!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.split() == []


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "src")}
