"""What a dry run says of the jobs that a run would do: about how long they take, and how much memory and disk.

What jobs of their kind (one rule, one setting) took before counts, where some have run and would be told the same today; else a
forecast (``config/cost.py``), times what this machine's jobs took compared with theirs.
"""

from __future__ import annotations

import atexit
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from grokforget.runtime import paths
from grokforget.runtime.remaining import Kind, cost, duration, kind_of
from grokforget.runtime.results import RECORD, records_of
from grokforget.runtime.spec_file import load_spec


class Cost(NamedTuple):
    """Of a job: seconds, memory, bytes on disk and how many of these are unlearned models, cores, whether it has a GPU."""

    seconds: float
    memory_mb: float
    disk: float = 0.0
    models: float = 0.0
    cores: int = 1
    on_gpu: bool = False


class Forecast(Protocol):
    """What jobs cost of which none has run."""

    device: str
    jobs_per_gpu: int
    basis: str
    """As on what machine that is."""
    unknown: Mapping[str, str]
    """Settings whose jobs it cannot tell of, and why."""

    def of(self, rule: str, name: str) -> Cost | None:
        """Of a job of a rule, in a setting or of whatever else has that name; None where it cannot tell."""

    def gpu_needs(self) -> dict[str, float]:
        """Bytes on a GPU that training needs at least, by setting."""


def seconds_of(forecast: Forecast, kind: Kind) -> float:
    """Of a job of a kind, by a forecast; where it cannot tell, of any."""
    known = forecast.of(*kind)
    return known.seconds if known else 10.0


def remembered(root: Path, device: str) -> dict[Kind, Cost]:
    """What jobs of each kind took, by the records of those that were computed on the device as they would be now: the largest
    memory, and the means of all else. ``cores`` and ``on_gpu`` are not among it."""
    found: dict[Kind, list[tuple[float, ...]]] = defaultdict(list)
    for job, record in records_of(root):
        # A record of an older format tells nothing, and is no reason to end a dry run with an error.
        with suppress(KeyError, TypeError):
            if is_as_now(root, job, record, device):
                sizes = {file: float(wrote["bytes"]) for file, wrote in record["wrote"].items()}
                models = sum(size for file, size in sizes.items() if file.endswith(Path(paths.MODELS).name))
                values = (cost(record), float(record["costs"].get("peak_mb", 0)), sum(sizes.values()), models)
                found[kind_of(record["spec"]["rule"], job)].append(values)
    means = {kind: [sum(column) / len(rows) for column in zip(*rows, strict=True)] for kind, rows in found.items()}
    return {
        kind: Cost(seconds, max(row[1] for row in found[kind]), disk, models)
        for kind, (seconds, _, disk, models) in means.items()
    }


def is_as_now(root: Path, job: str, record: Mapping[str, Any], device: str) -> bool:
    """Whether all of a job was computed, on the device, and as its spec file has it now."""
    items, now = record["spec"]["items"], load_spec(root / paths.spec_of(job))["items"]
    return all(
        record["items"][name]["status"] == "computed"
        and item["spec"] == now.get(name, item)["spec"]
        and item["spec"].get("device", device) == device
        for name, item in items.items()
    )


def costs_of(
    jobs: Mapping[str, str], forecast: Forecast, before: Mapping[Kind, Cost]
) -> tuple[list[Cost], int, list[str]]:
    """What each of the jobs costs, of how many that is a forecast, and the settings that nothing is known of."""
    told = {kind: forecast.of(*kind) for kind in {kind_of(rule, job) for job, rule in jobs.items()} | before.keys()}
    both = [(before[kind].seconds, known.seconds) for kind, known in told.items() if known and kind in before]
    slower = sum(real for real, _ in both) / sum(known for _, known in both) if both else 1.0
    found, forecasts, unknown = [], 0, set()
    for job, rule in jobs.items():
        kind = kind_of(rule, job)
        known = told[kind]
        if kind in before:
            where = known or Cost(0, 0)
            found.append(before[kind]._replace(cores=where.cores, on_gpu=where.on_gpu))
        elif known:
            found.append(known._replace(seconds=known.seconds * slower))
            forecasts += 1
        else:
            unknown.add(kind[1])
    return found, forecasts, sorted(unknown)


def sentence(jobs: Mapping[str, str], forecast: Forecast, before: Mapping[Kind, Cost], cores: int | None) -> str:
    """The costs of jobs (rule by job) in words, with the time that so many cores take where that is told."""
    found, forecasts, unknown = costs_of(jobs, forecast, before)
    parts = []
    if found:
        of_gpu = sum(one.seconds for one in found if one.on_gpu) / forecast.jobs_per_gpu
        of_cores = [one for one in found if not one.on_gpu]
        work = sum(one.seconds * one.cores for one in of_cores)
        if of_gpu:
            parts.append(f"about {told_hours(of_gpu, 'GPU')}, and {told_hours(work, 'core')} beside them")
        else:
            # No sooner than the longest of them, however many cores there are.
            rest = max(work / cores, *(one.seconds for one in of_cores)) if cores and of_cores else 0
            where = f" on {cores} core{'s' * (cores != 1)} ({duration(rest)})" if cores and rest else ""
            parts.append(f"about {told_hours(work, 'core')}{where}")
        disk, models = sum(one.disk for one in found), sum(one.models for one in found)
        parts.append(f"up to {gigabytes(max(one.memory_mb for one in found) * 1e6)} of memory a job")
        kept = f" ({gigabytes(models)} of them unlearned models: `keep_models`)" if models else ""
        parts.append(f"{gigabytes(disk)} on disk{kept}")
        basis = f"as on {forecast.basis}" if forecasts == len(found) else "as such jobs took before"
        parts.append(basis + (f", {forecasts} of {len(found)} jobs estimated" if 0 < forecasts < len(found) else ""))
    if unknown:
        reasons = ", ".join(f"{name} ({forecast.unknown.get(name, 'not estimated')})" for name in unknown)
        parts.append(f"nothing is known of the jobs of {reasons} until some have run")
    return f"Expected: {'; '.join([', '.join(parts[:3]), *parts[3:]]) if found else parts[0]}."


def told_hours(seconds: float, of: str) -> str:
    """So many hours of cores or GPUs, minutes where they are few."""
    if seconds < 5400:
        return f"{max(seconds / 60, 1):.0f} {of} minute{'s' * (seconds >= 90)}"
    return f"{seconds / 3600:.1f} {of} hours"


def gigabytes(size: float) -> str:
    """A size as one says it."""
    return f"{size / 1e6:.0f} MB" if size < 1e8 else f"{size / 1e9:.1f} GB"


def tell_at_end(workflow: Any, root: Path, forecast: Forecast) -> None:
    """Have a dry run say what it would cost, when it ends.

    Snakemake calls none of its hooks in a dry run, and while it reads the Snakefile it does not know yet what there is to do.
    """

    def tell() -> None:
        # Nor does it differ from a summary or a graph until something is executed, if only in play.
        if not workflow.dryrun or any(one.name == "ALL" for one in workflow.output_settings.quiet or ()):
            return
        jobs = jobs_of(workflow)
        resources = workflow.resource_settings
        cores = resources.cores if resources.nodes is None else None
        if jobs:
            print(sentence(jobs, forecast, remembered(root, forecast.device), cores), file=sys.stderr)

    if workflow.output_settings.dryrun:
        atexit.register(tell)


def jobs_of(workflow: Any) -> dict[str, str]:
    """The jobs that Snakemake's ``workflow`` is to run, or would be, rule by job; after a dry run it takes them for finished."""
    outputs: Iterable[Any] = (
        (job.rule.name, RECORD.fullmatch(str(file)))
        for job in workflow.dag.needrun_jobs(exclude_finished=False)
        for file in job.output
    )
    return {record[2]: rule for rule, record in outputs if record}
