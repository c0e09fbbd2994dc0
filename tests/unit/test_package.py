"""The package by itself: it installs, its public names are right, and asking for one imports no more than that."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import grokforget
from grokforget.runtime.fingerprint import digests, locked_versions

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "workflow" / "src"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = (
    "analyses",
    "data",
    "forget_sets",
    "grokking",
    "methods",
    "metrics",
    "models",
    "statistics",
    "training",
)
EVERYTHING = """
import importlib, pkgutil, sys
# Of the workflow and of the extras, not of the package: what needs them imports them where it does.
sys.modules.update(snakemake=None, torchvision=None)
import grokforget
for module in pkgutil.walk_packages(grokforget.__path__, "grokforget."):
    if module.name != "grokforget.__main__":
        importlib.import_module(module.name)
from grokforget.methods import Scrub
from grokforget.models import MLP
print(grokforget.__file__, grokforget.__version__, Scrub.__module__, MLP.__module__)
"""


def python(code: str, path: Path, folder: Path) -> list[str]:
    """The words that a fresh process prints, which runs in a folder and finds the package in ``path``."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_it_installs_and_works_where_the_checkout_is_not(tmp_path: Path) -> None:
    """What lies outside the package (lock, claims, published numbers) is not there, and nothing misses it at import."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend; it comes with torch")
    # A copy: pip builds where the sources lie, and leaves its folders there.
    copy, site = tmp_path / "copy", tmp_path / "site"
    shutil.copytree(SOURCE, copy / "workflow" / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, copy / name)
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--no-compile")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", *offline, "--target", site, copy]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(copy)

    file, version, *modules = python(EVERYTHING, site, tmp_path)
    assert Path(file) == site / "grokforget" / "__init__.py"
    assert version == grokforget.__version__
    assert modules == ["grokforget.methods.scrub", "grokforget.models.mlp"]
    assert [path.name for path in site.glob("*.dist-info")] == [f"grokforget-{version}.dist-info"]


def test_every_dependency_has_a_lower_bound_which_the_lock_is_not_below() -> None:
    from packaging.requirements import Requirement

    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        assert {part.operator for part in requirement.specifier} == {">="}, requirement
        assert locked_versions()[requirement.name] in requirement.specifier, requirement


def test_every_library_that_the_package_imports_is_a_dependency() -> None:
    modules = {"pillow": "PIL", "pydantic": "pydantic_core", "pyyaml": "yaml", "scikit-learn": "sklearn"}
    named = {line.partition(">=")[0] for line in PROJECT["dependencies"]}
    extras = {line.partition(">=")[0] for lines in PROJECT["optional-dependencies"].values() for line in lines}
    # Stems of words, for who asks for them and has installed it: the settings of `rouge-l` refuse it where it is not there.
    elsewhere = {"snakemake", "rouge_score", *extras}
    known = named | {modules[name] for name in named & modules.keys()} | elsewhere | {"grokforget"}
    for path in (SOURCE / "grokforget").rglob("*.py"):
        imports = [
            node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        names = [
            node.module if isinstance(node, ast.ImportFrom) else alias.name for node in imports for alias in node.names
        ]
        unknown = {str(name).partition(".")[0] for name in names} - known - sys.stdlib_module_names
        assert not unknown, f"{path}: {unknown}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_public_names_are_there_and_none_is_a_module_s(folder: str) -> None:
    package = import_module(f"grokforget.{folder}")
    assert package.__all__ == sorted(set(package.__all__)) == dir(package)
    for name in package.__all__:
        assert getattr(package, name) is not None
        assert not (SOURCE / "grokforget" / folder / f"{name}.py").exists(), "a name stands for one thing"
    with pytest.raises(AttributeError, match=f"module 'grokforget.{folder}' has no attribute 'nothing'"):
        _ = package.nothing


def test_asking_for_a_method_imports_no_other(tmp_path: Path) -> None:
    code = "import sys; from grokforget.methods import Scrub; print(*sys.modules)"
    loaded = {name for name in python(code, SOURCE, tmp_path) if name.startswith("grokforget.methods.")}
    assert loaded == {"grokforget.methods.base", "grokforget.methods.scrub"}


def test_folders_and_metrics_import_no_torch(tmp_path: Path) -> None:
    folders = ", ".join(f"grokforget.{folder}" for folder in FOLDERS)
    code = f"import sys, {folders}; from grokforget.metrics import measure_retrain_gap; print(*sys.modules)"
    assert "torch" not in python(code, SOURCE, tmp_path)


def test_the_table_of_names_is_no_part_of_a_job_s_code() -> None:
    covered = digests("grokforget.methods.scrub")
    assert "grokforget.methods.base" in covered
    assert not {"grokforget", "grokforget.methods", "grokforget.methods.nabla_tau"} & covered.keys()
