"""Questions about the results of a study, answered without running anything: ``python -m grokforget.manage WHAT STUDY``.

``why``: what is out of date or missing, and why. ``verify``: whether every file is what its job wrote. ``clean``: what no
job of the study makes any more; ``--remove`` removes it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from grokforget import paths
from grokforget.config.loader import ConfigError, load_study
from grokforget.plan import Plan, PlannedJob
from grokforget.preflight import CannotRun, hold
from grokforget.recipes import units
from grokforget.records import read_record, sha256
from grokforget.staleness import UPSTREAM, Stale, reasons, standing, summary

RUN_STAGES = ["prepare", "split", "difficulty", "forget", "train", "select", "sweep", "unlearn", "measure"]
LEFT_OVER = re.compile(r"\..+\.\d+\.\w+")
"""What a killed job was writing: ``.name.<process>.ending``."""


def main(arguments: list[str] | None = None) -> int:
    """Answer, and exit with 1 where something was found wrong."""
    parser = argparse.ArgumentParser(prog="python -m grokforget.manage", description=__doc__)
    parser.add_argument("what", choices=["why", "verify", "clean"])
    parser.add_argument("study", type=Path)
    parser.add_argument("target", nargs="*", help="why: only these files")
    parser.add_argument("--remove", action="store_true", help="clean: remove what is listed")
    options = parser.parse_args(arguments)
    try:
        plan = Plan(load_study(options.study))
        match options.what:
            case "why":
                print("\n".join(why(plan, options.target)))
            case "verify":
                damaged = list(verify(plan))
                print("\n".join(damaged) or f"{plan.root}: every file is what its job wrote.")
                return int(bool(damaged))
            case "clean":
                print("\n".join(clean(plan, options.remove)))
    except (ConfigError, CannotRun) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def why(plan: Plan, targets: list[str]) -> Iterator[str]:
    """What would run for the targets (for everything, where there are none), and why, in words."""
    root = Path(plan.root)
    jobs = [*plan.jobs(), *plan.tuning_jobs()] if targets else list(plan.jobs())
    found = standing(root, jobs)
    stale = {item.job.key: item for item in found.stale}
    before: list[PlannedJob] = [] if targets else jobs
    for target in targets:
        job = _job_of(plan, jobs, target)
        if job is None:
            yield f"{target}: no job of this study makes it."
        elif job.key in found.valid:
            record = read_record(root / paths.record_of(job.key)) or {}
            yield f"{target}: up to date, made on {record['ended']} by commit {record['commit'][:12]}."
        else:
            yield f"{target}: {'; '.join(reasons(stale[job.key])) if job.key in stale else _missing(root, job)}"
            before += [other for other in jobs if _comes_before(other, job) and other not in before]
    causes = [stale[job.key] for job in before if job.key in stale and (not targets or _own_reasons(stale[job.key]))]
    missing = [job for job in before if job.key not in found.valid and job.key not in stale]
    if targets and (causes or missing):
        yield "Before that:"
    yield from (f"  {line}" for line in summary(causes))
    counts = Counter((job.task["stage"], _missing(root, job)) for job in missing)
    yield from (f"  {stage} ({count}): {what}" for (stage, what), count in counts.items())
    if not targets and not causes and not missing:
        yield f"{root}: everything is up to date."


def verify(plan: Plan) -> Iterator[str]:
    """Every file that is not what its job's record says. The record is removed then, so that the next run makes it anew."""
    root = Path(plan.root)
    for job in [*plan.jobs(), *plan.tuning_jobs()]:
        path = root / paths.record_of(job.key)
        record = read_record(path)
        damaged = False
        for name, wrote in (record or {"wrote": {}})["wrote"].items():
            file = root / name
            if not file.exists():
                yield f"{file} is missing; the next run makes it if it is needed."
            elif sha256(file) != wrote["sha256"]:
                damaged = True
                yield f"{file} is not what was written: its checksum is another. The next run makes it anew."
        if damaged:
            path.unlink()


def clean(plan: Plan, remove: bool) -> Iterator[str]:
    """What lies in the study's folder and no job of the study makes, and whether it was removed."""
    root = Path(plan.root)
    if remove:
        root.mkdir(parents=True, exist_ok=True)
        hold(root)
    found, size = [], 0
    for path in foreign(plan):
        files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
        size += sum(file.stat().st_size for file in files)
        found.append(path)
        yield f"{path}/ ({len(files)} files)" if path.is_dir() else str(path)
        if remove:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not found:
        yield f"{root}: every file belongs to a job of this study."
    else:
        done = "removed" if remove else "belongs to no job of this study; give REMOVE=yes to remove it"
        yield f"{size / 1e6:.1f} MB, {done}"


def foreign(plan: Plan) -> list[Path]:
    """The topmost files and folders below the study's own that no job of it makes."""
    root = Path(plan.root)
    ours: set[str] = set()
    for job in [*plan.jobs(), *plan.tuning_jobs()]:
        ours |= {*job.products, paths.log_of(job.key), paths.record_of(job.key)}
        ours.add(paths.kept_of(Path(paths.record_of(job.key))).as_posix())
    above = {parent.as_posix() for name in ours for parent in Path(name).parents}

    def look(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            name = path.relative_to(root).as_posix()
            if LEFT_OVER.fullmatch(path.name):
                yield path
            elif path.is_dir() and name in above and name not in ours:
                yield from look(path)
            elif path.is_dir() and name in ours:
                yield from (left for left in path.rglob(".*") if LEFT_OVER.fullmatch(left.name))
            elif name not in ours and name.rpartition(".")[0] not in ours and path.name != ".lock":
                yield path

    return list(look(root)) if root.is_dir() else []


def _own_reasons(item: Stale) -> bool:
    return any(not reason.startswith(UPSTREAM) for reason in reasons(item))


def _missing(root: Path, job: PlannedJob) -> str:
    record = read_record(root / paths.record_of(job.key))
    gone = [name for name in (record or {"wrote": {}})["wrote"] if not (root / name).exists()]
    return f"{Path(gone[0]).name} is gone" if gone else "not made yet"


def _comes_before(job: PlannedJob, target: PlannedJob) -> bool:
    """Whether a job may be behind another: of an earlier stage, and where the target is of one run, of the same run."""
    stage, last, above = job.task["stage"], target.task["stage"], target.task["upstream"]
    if stage not in RUN_STAGES:
        return stage.startswith("collect-") and stage.removeprefix("collect-") in above
    if stage == "sweep" and "sweep" not in [*above, last.removeprefix("collect-")]:
        return False
    # Training on the full train set comes before a difficulty, which forget sets may be drawn by.
    scoring = stage == "train" and "/full/" in job.key and _scored(target)
    if last in RUN_STAGES and RUN_STAGES.index(stage) >= RUN_STAGES.index(last) and not scoring:
        return False
    run = re.search(r"/([^/]+/)?seed\d+", target.key)
    return run is None or run[0] in f"/{job.key}" or stage in ("prepare", "split")


def _scored(job: PlannedJob) -> bool:
    """Whether a job measures difficulty, or reads it."""
    return job.task["stage"] == "difficulty" or any(
        "difficulty" in unit["upstream"] for unit in units(job.task).values()
    )


def _job_of(plan: Plan, jobs: list[PlannedJob], target: str) -> PlannedJob | None:
    path = Path(target)
    name = path.relative_to(plan.root).as_posix() if path.is_relative_to(plan.root) else target
    for job in jobs:
        if any(name == key or name.startswith((f"{key}/", f"{key}.")) for key in job.products):
            return job
    return None


if __name__ == "__main__":
    sys.exit(main())
