"""Bad surroundings are named before anything is started."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_executor_plugins.settings import ExecMode

from grokforget.config.cost import Costs
from grokforget.config.specs import runs
from grokforget.runtime import gpu, paths, preflight, signals, slurm
from grokforget.runtime.preflight import (
    CannotRun,
    Settings,
    check_folder,
    check_store,
    end,
    hold,
    importable,
    lead_jobs,
    look,
    plan,
    user,
    writable,
)
from grokforget.runtime.remaining import LOG
from grokforget.runtime.run import FORCED, run_job
from grokforget.runtime.spec_file import write_spec
from grokforget.runtime.store import VARIABLE, Store
from small import SOURCE, small

NOBODY = 65534


def begin(root: Path, gpus: int, settings: Settings) -> None:
    """As a run of the small study does."""
    preflight.begin(root, gpus, settings, Costs(small()))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a folder of its own, with what this process holds let go at the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE, raising=False)
    held: list[Any] = []
    monkeypatch.setattr(preflight, "_held", held)
    monkeypatch.setattr(preflight, "_unwritten", [])
    yield
    for file in held:
        file.close()


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that cannot be written, not by root either."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount and not subprocess.run([mount, "-t", "tmpfs", "-o", "ro", "none", folder], capture_output=True).returncode:
        yield folder
        subprocess.run(["umount", folder], check=True)
    else:
        touch = Path.touch

        def refuse(path: Path, *arguments: Any, **more: Any) -> None:
            if folder in path.parents:
                raise PermissionError
            touch(path, *arguments, **more)

        monkeypatch.setattr(Path, "touch", refuse)
        yield folder


@contextmanager
def another_user() -> Iterator[None]:
    """This process as somebody else; skips the test for those who cannot become him."""
    if os.geteuid():
        pytest.skip("only root can become another user")
    try:
        os.setresuid(NOBODY, NOBODY, 0)
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in, in which everybody may write. Not one of pytest's own, which are for one user: opening those for
    a while would close them under the tests of another process."""
    with tempfile.TemporaryDirectory(prefix="reachable-") as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)
        yield Path(folder)


# The store.
def test_a_store_that_can_be_written_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv(VARIABLE, str(shared))
    check_store(tmp_path)
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("value", [None, ""])
def test_a_store_of_the_studys_own_needs_no_folder(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    check_store(tmp_path / "results" / "small")


@pytest.mark.parametrize(
    ("place", "what"),
    [("no", "there is no such folder"), ("file", "there is no such folder"),
     ("read-only", "cannot be written by you")],
)  # fmt: skip
def test_a_store_that_cannot_be_used_is_named_with_the_remedy(
    place: str, what: str, read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / place))
    with pytest.raises(CannotRun) as found:
        check_store(tmp_path)
    assert f"{VARIABLE}={tmp_path / place}: " in str(found.value)
    assert what in str(found.value)
    assert f"export {VARIABLE}=FOLDER; or unset {VARIABLE}" in str(found.value)


def test_a_store_of_somebody_else_is_named_as_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(preflight, "writable", lambda folder: False)
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 12345)
    owner = user(tmp_path.stat().st_uid)
    with pytest.raises(
        CannotRun, match=f"{tmp_path} cannot be written by you, and belongs to user {owner}; make a folder"
    ):
        check_store(tmp_path)


def test_a_shelf_of_the_store_that_somebody_else_made_for_himself_is_named(
    reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(reachable))
    for shelf in ("ab", "unfinished"):
        (reachable / shelf).mkdir()
    (reachable / "unfinished").chmod(0o777)
    with (
        another_user(),
        pytest.raises(CannotRun, match=f"{reachable}/ab cannot be written by you, and belongs to user"),
    ):
        check_store(reachable)
    (reachable / "ab").chmod(0o777)
    with another_user():
        check_store(reachable)


def test_folders_that_cannot_be_reached_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    with another_user():
        with pytest.raises(CannotRun, match="there is no such folder that you can reach"):
            check_store(tmp_path)
        with pytest.raises(CannotRun, match="cannot be made"):
            check_folder(tmp_path / "results" / "small")


# The folder.
def test_the_folder_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    for _ in range(2):
        check_folder(tmp_path / "results" / "small")
    assert list((tmp_path / "results" / "small").iterdir()) == []


@pytest.mark.parametrize(
    ("where", "what"),
    [("read-only/results/small", "cannot be made"), ("read-only", "cannot be written"), ("file/small", "cannot be made"),
     ("file", "cannot be made")],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_is_named(where: str, what: str, read_only: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotRun, match=f"{re.escape(str(tmp_path / where))} {what}.*--directory"):
        check_folder(tmp_path / where)


@pytest.mark.parametrize(("free", "runs"), [(0, False), (64 * 2**20 - 1, False), (64 * 2**20, True)])
def test_a_disk_without_room_is_named_with_what_it_needs(
    free: int, runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")(2**40, 0, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    if runs:
        check_folder(tmp_path)
    else:
        with pytest.raises(CannotRun, match=rf"{free / 2**20:.0f} MB are free on its disk, at least 64 MB must be"):
            check_folder(tmp_path)


def test_whether_a_folder_is_writable_is_tried_and_leaves_nothing(tmp_path: Path, read_only: Path) -> None:
    assert writable(tmp_path)
    assert list(tmp_path.iterdir()) == [read_only]
    assert not writable(read_only)
    assert not writable(tmp_path / "missing")


# Of somebody else.
@pytest.fixture
def theirs(reachable: Path) -> Path:
    """A study's results where everybody may write, but for what its files' own rights say."""
    root = reachable / "results" / "small"
    (root / "train" / "deep").mkdir(parents=True)
    for folder in (root.parent, root, root / "train", root / "train" / "deep"):
        folder.chmod(0o777)
    return root


@pytest.mark.parametrize("which", [".", "train", "train/deep", ".lock"])
def test_a_second_user_is_told_whose_the_results_are(which: str, theirs: Path) -> None:
    (theirs / ".lock").write_text("")
    (theirs / ".lock").chmod(0o666)
    with another_user():
        begin(theirs, 0, Settings([], True))
    preflight._held.pop().close()
    (theirs / which).chmod(0o755 if which != ".lock" else 0o644)
    with another_user(), pytest.raises(CannotRun) as found:
        begin(theirs, 0, Settings([], True))
    told = (
        f"{theirs / which} cannot be written by you, and belongs to user {user(0)}; ask for access, or work in a folder"
    )
    assert str(found.value).startswith(told)
    assert "--directory FOLDER" in str(found.value)


@pytest.mark.parametrize("mode", [0o644, 0o666])
@pytest.mark.parametrize("folder", [0o755, 0o777])
def test_a_second_user_is_told_who_is_at_work(mode: int, folder: int, theirs: Path) -> None:
    hold(theirs)
    (theirs / ".lock").chmod(mode)
    theirs.chmod(folder)
    named = (
        rf"{theirs} is being worked on by snakemake \(process {os.getpid()} of user {user(0)} on \S+, since \S+ \S+\); "
    )
    with another_user(), pytest.raises(CannotRun, match=named):
        begin(theirs, 0, Settings([], True))


def test_a_folder_that_cannot_be_made_in_somebody_elses_names_him(theirs: Path) -> None:
    theirs.parent.chmod(0o755)
    told = f"results/other cannot be made: {theirs.parent} cannot be written by you, and belongs to user {user(0)}; "
    with another_user(), pytest.raises(CannotRun, match=told):
        check_folder(theirs.parent / "other")


def planned(root: Path) -> Path:
    return plan(root, "data/addition/examples", runs.prepare(small(), "addition"), "prepare")


def test_planning_in_somebody_elses_folder_leaves_it_alone_and_a_run_is_refused(theirs: Path) -> None:
    spec = planned(theirs)
    assert spec == theirs / paths.spec_of("data/addition/examples")
    text = spec.read_text()
    with another_user():
        assert planned(theirs) == spec, "nothing needs to be written"
    spec.write_text("{}")
    with another_user():
        aside = planned(theirs)
        assert aside == planned(theirs)
    assert aside.read_text() == text
    assert spec.read_text() == "{}"
    assert theirs not in aside.parents
    for folder in (theirs / "specs").rglob("*"):
        folder.chmod(0o777)
    (theirs / "specs").chmod(0o777)
    with another_user(), pytest.raises(CannotRun, match="there is no permission; give yourself access"):
        begin(theirs, 0, Settings([], True))


def test_what_a_run_could_not_write_is_said_before_and_stops_a_dry_run_alone(
    theirs: Path, reachable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = reachable / ".snakemake"
    notes.mkdir()
    notes.chmod(0o777)
    with another_user():
        look(theirs, dryrun=True)
    assert capsys.readouterr().err == ""
    theirs.chmod(0o755)
    with another_user():
        look(theirs, dryrun=True)
    assert f"{theirs} cannot be written by you, and belongs to user {user(0)}; " in capsys.readouterr().err
    notes.chmod(0o755)
    told = f"{notes} cannot be written by you, and belongs to user {user(0)}; Snakemake keeps its notes there; "
    with another_user():
        look(theirs, dryrun=False)
        with pytest.raises(CannotRun, match=told):
            look(theirs, dryrun=True)
    assert told in capsys.readouterr().err


# What Snakemake was told.
def job(rule: str, *outputs: str) -> Any:
    """One of its jobs."""
    return SimpleNamespace(rule=SimpleNamespace(name=rule), output=outputs)


def snakemake(**changes: Any) -> Any:
    """What is looked at of Snakemake's own object; its settings hold sets of names."""
    jobs, storage = changes.pop("jobs", []), changes.pop("storage", None)
    values = {"forcerun": set(), "forceall": False, "forcetargets": False, "targets": set(), "nodes": None, **changes}
    return SimpleNamespace(
        dag_settings=SimpleNamespace(**{name: values[name] for name in values if name != "nodes"}),
        resource_settings=SimpleNamespace(nodes=values["nodes"]),
        dag=SimpleNamespace(needrun_jobs=lambda exclude_finished: jobs),
        storage_settings=SimpleNamespace(default_storage_provider=storage),
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Settings([], True)),
        ({"nodes": 4}, Settings([], False)),
        ({"forcerun": {"train", "results/small/a.json"}}, Settings(["results/small/a.json", "train"], True)),
        ({"forceall": True, "forcerun": {"train"}}, Settings(["*"], True)),
        ({"targets": {"measure"}}, Settings([], True)),
        ({"targets": {"measure"}, "forcetargets": True}, Settings(["measure"], True)),
        (
            {"jobs": [job("all"), job("train", "results/a/train/m/s1.x", "results/a/jobs/train/m/s1.json")]},
            Settings([], True, {"train/m/s1": "train"}),
        ),
    ],
)
def test_settings_say_what_is_forced_and_where_jobs_run(changes: Any, expected: Settings) -> None:
    assert Settings.of(snakemake(**changes)) == expected


def test_snakemake_has_the_settings_that_are_asked_for() -> None:
    """Its own classes, of the version that is installed."""
    import snakemake.api  # noqa: F401 - first: the others import each other
    from snakemake.settings.types import DAGSettings, ResourceSettings, StorageSettings
    from snakemake.workflow import DAG, Workflow

    workflow = SimpleNamespace(
        dag_settings=DAGSettings(),
        resource_settings=ResourceSettings(),
        storage_settings=StorageSettings(),
        dag=SimpleNamespace(needrun_jobs=lambda exclude_finished: []),
    )
    of = Settings.of(workflow)
    assert of == Settings([], True)
    assert isinstance(Workflow.dag, property)
    assert callable(DAG.needrun_jobs)
    assert ExecMode.DEFAULT


# All of it.
ROOT = Path("results/small")


def test_a_run_makes_the_folder_takes_the_lock_and_tells_what_is_forced() -> None:
    begin(ROOT, 0, Settings([], True))
    assert {path.name for path in ROOT.iterdir()} == {".lock"}
    end(ROOT, True)
    assert {path.name for path in ROOT.iterdir()} == {".lock"}


@pytest.mark.parametrize("finished", [True, False])
def test_what_is_forced_is_told_for_one_run(finished: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ROOT, 0, Settings(["train", "results/small/a"], True))
    assert json.loads((ROOT / FORCED).read_text()) == ["train", "results/small/a"]
    end(ROOT, finished)
    assert not (ROOT / FORCED).exists()
    # Nor does a killed run force the next one.
    (ROOT / FORCED).write_text('["train"]')
    monkeypatch.setattr(preflight, "hold", lambda root: None)
    begin(ROOT, 0, Settings([], True))
    assert not (ROOT / FORCED).exists()


def test_a_run_beside_another_one_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    begin(ROOT, 0, Settings(["train"], True))
    with pytest.raises(CannotRun, match="is being worked on by"):
        begin(ROOT, 0, Settings([], True))
    assert (ROOT / FORCED).exists(), "what the other one was told"


@pytest.mark.parametrize(
    ("needed", "here", "gpus", "refused"),
    [
        (1, True, [], r"shows no GPU; give `--config device=cpu`"),
        (1, True, ["0"], None),
        (1, False, [], None),
        (0, True, [], None),
        (2, True, ["0", "1"], None),
        (4, False, ["0"], None),
        (4, True, ["0", "1"], r"says `processes: 4`, and this machine shows GPUs for 2 only"),
    ],
)
def test_a_study_for_gpus_needs_them_where_its_jobs_run(
    needed: int, here: bool, gpus: list[str], refused: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "visible", lambda: gpus)
    monkeypatch.setattr(slurm, "is_there", lambda: False)
    if refused is None:
        begin(ROOT, needed, Settings([], here))
    else:
        with pytest.raises(CannotRun, match=refused):
            begin(ROOT, needed, Settings([], here))
    assert ROOT.exists() == (refused is None)


@pytest.mark.parametrize(("total", "width", "trained"), [(16384, 2**16, True), (16384, 2**16, False), (0, 2**16, True)])
def test_too_little_gpu_memory_is_told_before_a_setting_is_trained(
    total: int, width: int, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A layer of 2^32 weights, with its gradients and Adam's two states, takes 64 GiB."""
    listed = SimpleNamespace(stdout=f"0, GPU-a, {total}\n1, GPU-b, 81920\n" if total else "[N/A]\n")
    monkeypatch.setattr(gpu, "visible", lambda: ["0"])
    monkeypatch.setattr(gpu.shutil, "which", lambda name: name)
    monkeypatch.setattr(gpu.subprocess, "run", lambda *arguments, **options: listed)
    forecast = Costs(small(device="cuda", settings__mlp__model={"hidden": [width, width]}))
    jobs = {"train/mlp/seed0/full/segment001": "train"} if trained else {"data/addition/seed0": "split"}
    if total and trained:
        told = r"settings.mlp: a training step needs at least 64\.\d GiB on a GPU, which has 16\.0 GiB; give .* `batch_size`"
        with pytest.raises(CannotRun, match=told):
            preflight.begin(ROOT, 1, Settings([], True, jobs), forecast)
        # On the other one.
        monkeypatch.setattr(gpu, "visible", lambda: ["GPU-b"])
    preflight.begin(ROOT, 1, Settings([], True, jobs), forecast)
    end(ROOT, False)


@pytest.mark.parametrize(("here", "asked"), [(True, False), (False, True)])
def test_slurm_is_asked_where_jobs_go_to_a_cluster(here: bool, asked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = []
    monkeypatch.setattr(slurm, "is_there", lambda: True)
    monkeypatch.setattr(slurm, "complaint", lambda: "")
    monkeypatch.setattr(slurm, "watch", lambda: watched.append(1))
    begin(ROOT, 0, Settings([], here))
    assert bool(watched) == asked
    monkeypatch.setattr(slurm, "complaint", lambda: "Slurm does not answer.")
    if asked:
        with pytest.raises(CannotRun, match=re.escape(f"Slurm does not answer. {slurm.REMEDY}")):
            begin(Path("results/other"), 0, Settings([], here))
        assert not Path("results/other").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_how_far_a_run_came_is_told_at_its_end_and_noted(finished: bool) -> None:
    begin(ROOT, 0, Settings([], True, {"data/addition/examples": "prepare", "data/addition/seed0": "split"}))
    run(7)
    told = end(ROOT, finished)
    assert told.startswith("results/small: 1 of 2 jobs are done, about ")
    line = told.splitlines()[0].removeprefix("results/small: ").removesuffix(".")
    assert (ROOT / LOG).read_text().endswith(f" {line}\n")
    assert end(ROOT, finished).startswith("Store" if finished else "")


def run(steps: int) -> None:
    study = small(data__addition__modulus=steps)
    spec = write_spec(ROOT, "data/addition/examples", runs.prepare(study, "addition"), "prepare")
    run_job(spec, ROOT / paths.record_of("data/addition/examples"))


def test_a_finished_run_clears_the_store_up_and_tells_what_it_takes() -> None:
    run(7)
    run(11)
    assert len(list(Store(ROOT).entries())) == 2
    assert end(ROOT, False) == "", "what a run that failed has left is for the next one"
    assert len(list(Store(ROOT).entries())) == 2
    told = end(ROOT, True)
    assert re.fullmatch(
        rf"Store {ROOT}/store: 0\.\d MB, 0\.0 MB of them beside the results; 0\.\d MB that nothing needs any more were "
        r"removed\.\n",
        told,
    )
    assert len(list(Store(ROOT).entries())) == 1
    assert "removed" not in end(ROOT, True)


# What jobs are given.
def test_jobs_end_with_the_snakemake_whose_children_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.setenv(signals.LEADER, "before:1")
    monkeypatch.setenv(gpu.SHARED, "")
    lead_jobs()
    assert os.environ[signals.LEADER].endswith(f":{os.getpid()}")


def test_jobs_find_this_package_and_this_python_first(monkeypatch: pytest.MonkeyPatch) -> None:
    python = str(Path(sys.executable).parent)
    monkeypatch.setenv("PATH", f"/usr/bin:{python}::/bin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv(signals.LEADER, "")
    monkeypatch.setenv(gpu.SHARED, "")
    for _ in range(2):
        lead_jobs(3)
        assert os.environ[gpu.SHARED] == "3"
        assert os.environ["PATH"] == f"{python}:/usr/bin:/bin"
        assert os.environ["PYTHONPATH"] == f"{SOURCE}:/somewhere"


def test_a_checkout_with_a_colon_in_its_path_is_found_too(tmp_path: Path) -> None:
    """PYTHONPATH cannot name it."""
    source = tmp_path / "a:b" / "workflow" / "src"
    (source / "grokforget").mkdir(parents=True)
    found = importable(source)
    assert ":" not in str(found)
    assert found.samefile(source)
    assert importable(SOURCE) == SOURCE
    # What the package looks for beside itself is there too.
    assert found.parents[1].samefile(tmp_path / "a:b")
