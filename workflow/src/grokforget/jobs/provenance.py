"""Who made the files of a study, when, with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokforget.runtime.files import write_json
from grokforget.runtime.job import Job
from grokforget.runtime.machine import commit
from grokforget.runtime.results import records_of

if TYPE_CHECKING:
    from grokforget.config.specs.collect import ProvenanceSpec


def provenance(job: Job[ProvenanceSpec]) -> None:
    """Put the records of all jobs together: of every file its SHA-256 and the job that wrote it, of every job its commit,
    cost and environment (Python, libraries, hardware).

    Reads the records of the study; writes ``provenance``. The tables themselves hold none of this, so that the same
    study gives the same bytes.
    """
    assert job.root
    files: dict[str, Any] = {}
    jobs: dict[str, Any] = {}
    environments: list[Any] = []
    for name, record in records_of(job.root):
        if record["environment"] not in environments:
            environments.append(record["environment"])
        jobs[name] = {
            **{what: record[what] for what in ("items", "ended", "costs", "commit")},
            "environment": environments.index(record["environment"]),
        }
        files |= {
            str(job.root / file): {**wrote, "job": name}
            for file, wrote in record["wrote"].items()
            if (job.root / file).exists()
        }
    study = job.spec.study
    write_json(
        job.outputs["provenance"],
        {"study": study, "commit": commit(), "environments": environments, "jobs": jobs, "files": files},
    )
