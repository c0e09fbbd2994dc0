"""The smoke study, run once for all tests, copies of it to change, and which of the long tests run."""

from __future__ import annotations

import math
import shutil
import subprocess
import zlib
from collections import defaultdict
from pathlib import Path

import pytest
from filelock import FileLock

from snakemake_runs import CODE, REPOSITORY, Workspace, copied


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--long",
        choices=["none", "sample", "all"],
        default="none",
        help="which of the tests marked `long` run; a sample is another one at every commit, so that over time all run",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests that are not asked for; what is left runs as it stands, the quick tests first.

    ``long(sample=K)`` marks the cases of one test function, of which about K are a sample; where that is a fraction of its only
    case, it is in one of 1/K samples.
    """
    functions: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("long"):
            functions[item.nodeid.partition("[")[0]].append(item)
    wanted, long = config.getoption("long"), {item for cases in functions.values() for item in cases}
    chosen = long if wanted == "all" else set()
    if wanted == "sample":
        turn = commits()
        for name, cases in functions.items():
            mark = cases[0].get_closest_marker("long")
            turns = math.ceil(len(cases) / (mark.kwargs.get("sample", 1) if mark else 1))
            # From a place of its own, or all whose turn comes every other time would come at the same.
            chosen |= set(cases[(turn + zlib.crc32(name.encode())) % turns :: turns])
    left_out = [item for item in items if item in long and item not in chosen]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    # What a change needs to hear first comes first.
    items.sort(key=lambda item: (item in long, item.path.parent.name in ("workflow", "cluster")))


def commits() -> int:
    """How many commits the checkout has: whose turn it is."""
    counted = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-list", "--count", "HEAD"], capture_output=True, text=True
    )
    return int(counted.stdout or 0)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workspace:
    """The smoke study, run once for all processes of the tests. Tests that change results take a copy."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "smoke"
    with FileLock(f"{folder}.lock"):
        if not (done := folder.with_suffix(".done")).exists():
            folder.mkdir(exist_ok=True)
            Workspace(folder).snakemake()
            done.touch()
    return Workspace(folder)


@pytest.fixture
def checkout(tmp_path: Path) -> Workspace:
    """A copy of the checkout, to be changed, and an empty folder."""
    repository, folder = tmp_path / "checkout", tmp_path / "folder"
    for name in CODE:
        source, target = REPOSITORY / name, repository / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    folder.mkdir()
    return Workspace(folder, repository)


@pytest.fixture
def copy(smoke: Workspace, checkout: Workspace) -> Workspace:
    """A copy of the checkout and of the smoke study's results, to be changed."""
    copied(smoke.folder, checkout.folder)
    return checkout
