"""Who made the files of a study, when, with what."""

from __future__ import annotations

from typing import Any

from grokforget.paths import JOBS
from grokforget.records import commit, read_record
from grokforget.stages.job import Job
from grokforget.storage import write_json


def provenance(job: Job) -> None:
    """Put the records of all jobs together: of every file its SHA-256 and the job that wrote it, of every job its commit,
    cost and environment (Python, libraries, hardware).

    Reads ``root``, the study's folder; writes ``provenance``. Spec: ``study`` (all of it). The tables themselves hold none
    of this, so that the same study gives the same bytes.
    """
    root = job.input("root")
    files: dict[str, Any] = {}
    jobs: dict[str, Any] = {}
    environments: list[Any] = []
    for path in sorted((root / JOBS).rglob("*.json")):
        record = read_record(path)
        if record is None:
            continue
        key = path.relative_to(root / JOBS).with_suffix("").as_posix()
        if record["environment"] not in environments:
            environments.append(record["environment"])
        jobs[key] = {
            **{name: record[name] for name in ("recipe", "ended", "costs", "commit")},
            "environment": environments.index(record["environment"]),
        }
        files |= {
            str(root / name): {**wrote, "job": key} for name, wrote in record["wrote"].items() if (root / name).exists()
        }
    write_json(
        job.outputs["provenance"],
        {"study": job.spec["study"], "commit": commit(), "environments": environments, "jobs": jobs, "files": files},
    )
