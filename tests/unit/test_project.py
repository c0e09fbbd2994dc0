"""What the project promises about itself: pins, schema, tuned values, light imports."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from grokforget.config.analyses import ANALYSES
from grokforget.config.augmentations import AUGMENTATIONS
from grokforget.config.data import DATA_SETS
from grokforget.config.figures import FIGURES
from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.gradient_filters import GRADIENT_FILTERS
from grokforget.config.loader import load_study
from grokforget.config.methods import METHODS
from grokforget.config.metrics import METRICS
from grokforget.config.models import MODELS
from grokforget.config.paper_tables import PAPER_TABLES
from grokforget.config.penalties import PENALTIES
from grokforget.config.schema import SCHEMA, schema_text
from grokforget.runtime.fingerprint import locked_versions
from small import job_specs

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
    files = [ROOT / "requirements.lock", ROOT / "requirements-hub.lock"]
    lines = [line for file in files for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(locked_versions())
    assert locked_versions()["torch"] == "2.13.0"
    assert locked_versions()["torchvision"] == "0.28.0"


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `make schema`"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_studies_name_the_schema_for_editors(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, first
    assert (path.parent / named[1]).resolve() == SCHEMA.resolve()


@pytest.mark.parametrize(
    "name",
    ["config.yaml", *(f"workflow/studies/{name}.yaml" for name in ("cifar10-small", "tofu-small", "tofu-real-small"))],
)
def test_a_study_uses_the_values_that_were_chosen(name: str) -> None:
    study = load_study(ROOT / name)
    with open(ROOT / "workflow" / "studies" / "tuning" / f"{study.study}-choice.csv") as file:
        choices = list(csv.DictReader(file))
    # Where candidates are tried on the tuning seed alone, they stand in tuning.md.
    tried = study.tuning.candidates or study.methods.keys() - {"original", "retrain"}
    assert {(row["setting"], row["method"]) for row in choices} == {
        (setting, method) for setting in study.main_settings for method in tried
    }
    for row in choices:
        method = study.method(row["setting"], row["method"])
        assert getattr(method, row["parameter"]) == pytest.approx(float(row["value"])), row
        assert getattr(method, "updates", None) == (int(float(row["updates"])) if row["updates"] else None), row


@pytest.mark.parametrize(
    "registry", [DATA_SETS, MODELS, FORGET_SETS, METHODS, METRICS, ANALYSES, PENALTIES, GRADIENT_FILTERS, AUGMENTATIONS]
)
def test_every_entry_names_code_that_exists(registry: dict) -> None:
    from grokforget.runtime.components import load_implementation

    for component in registry.values():
        assert callable(load_implementation(component.implementation))


def test_every_figure_and_paper_table_names_code_that_exists() -> None:
    from grokforget.runtime.components import load_implementation

    for row in [*FIGURES.values(), *PAPER_TABLES.values()]:
        assert callable(load_implementation(row.implementation))


def test_every_job_has_one_rule_and_every_rule_a_job() -> None:
    """A rule is named for its function, where that is not one for several tables or figures."""
    rules = {
        name
        for path in (ROOT / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r'job\("(\w+)"', path.read_text(encoding="utf-8"))
    }
    functions = {kind.function.partition(":")[2] for kind in job_specs()}
    named = {
        "train_segment": "train",
        "train_stack": "train",
        "render": "figure",
        "analyse_along_training": "analyse",
        "analyse_run": "analyse",
        "record_losses": "difficulty",
    }
    # A grid's job does what those of data, splits and training do.
    assert {named.get(function, function) for function in functions} == rules - {"together"}


SCIENCE = {
    "torch",
    "pandas",
    "numpy",
    "scipy",
    "sklearn",
    "pyarrow",
    "safetensors",
    "matplotlib",
    "seaborn",
    "torchvision",
}


@pytest.mark.parametrize(
    ("modules", "unwanted"),
    [
        (["config.study", "config.claims", *(f"config.specs.{name}" for name in (
            "collect", "figures", "inspection", "runs", "tables", "unlearning"))], SCIENCE),
        # What Snakemake loads for every job of a cluster anew.
        (["runtime.fingerprint", "runtime.paths", "__main__"], SCIENCE),
        (["runtime.run", "runtime.preflight", "runtime.results", "runtime.spec_file"], SCIENCE - {"numpy", "safetensors"}),
        (["jobs.prepare"], {"torch", "torchvision", "seaborn", "matplotlib"}),
        (["jobs.train", "jobs.unlearn"], {"torchvision", "seaborn", "matplotlib", "pandas", "sklearn"}),
        (["jobs.measure", "jobs.collect"], {"torch", "torchvision", "seaborn", "matplotlib"}),
        (
            [f"jobs.{name}" for name in (
                "attack", "tuning", "claims", "published", "paper_table", "select", "summarise", "outcomes", "laws")],
            {"torch", "torchvision", "seaborn", "matplotlib"},
        ),
        (["jobs.analyse", "jobs.shadow"], {"torchvision", "seaborn", "matplotlib", "sklearn"}),
        (["jobs.render", "figures.figure1a", "figures.figure2"], {"torch", "torchvision"}),
    ],
)  # fmt: skip
def test_jobs_import_only_what_they_use(modules: list[str], unwanted: set[str]) -> None:
    names = [f"grokforget.{name}" for name in modules]
    code = f"import sys, {', '.join(names)}; print(*({unwanted!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.split() == []


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "src")}


@pytest.mark.xdist_group("together")
def test_tests_that_share_what_is_costly_run_in_one_process(request: pytest.FixtureRequest) -> None:
    """What the lock names must go together: of pytest 9.2 with pytest-xdist 3.8 a group is scattered, and nothing says so."""
    if "PYTEST_XDIST_WORKER" not in os.environ or request.config.option.loadgroup is False:
        pytest.skip("one process, or not `--dist loadgroup`")
    assert request.node.nodeid.endswith("@together")


def test_no_two_test_files_have_one_name() -> None:
    """In folders that are no packages pytest takes the second for the first, and refuses to collect it: seen only where both are
    collected."""
    files = (ROOT / "tests").rglob("test_*.py")
    names = [path.name for path in files if not (path.parent / "__init__.py").exists()]
    assert sorted(names) == sorted(set(names))
