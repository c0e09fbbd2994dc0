"""Analyses of models: of checkpoints, of what unlearning made of them, and of snapshots along training."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grokforget.analyses.base import Probe, Value
from grokforget.jobs.request import PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.models.states import State, read_state
from grokforget.runtime.components import load_implementation
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AnalyseAlongTrainingSpec, AnalyseSpec

log = logging.getLogger("grokforget")
Labelled = tuple[dict[str, Any], State, State, State]
"""Labels of a model's rows, its weights, and those of the original and the retrained model, empty where there is none."""


def analyse(job: Job[AnalyseSpec]) -> None:
    """Do one analysis of checkpoints and of what methods made of them, for one forget set.

    Reads ``examples``, ``split``, ``forget``, ``checkpoints`` (weights of the run on the full train set) and, where results
    of methods are analysed, ``unlearned`` (models, a file a method of the spec, in its order) and ``retrained`` (the
    checkpoints of the run without the forget set). Writes ``table``: a row a value, labelled with checkpoint and stage
    (``before``, or the method).
    """
    write_values(job, checkpoints_and_results(job), ("checkpoint", "stage"))


def analyse_along_training(job: Job[AnalyseAlongTrainingSpec]) -> None:
    """Do one analysis of snapshots along training, for one forget set.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: a row a value, labelled
    with the snapshot's step.
    """
    write_values(job, snapshots(job), ("step",))


def write_values(
    job: Job[AnalyseSpec] | Job[AnalyseAlongTrainingSpec], models: Iterable[Labelled], labels: tuple[str, ...]
) -> None:
    """Analyse models one after the other and write the values under the columns ``labels``.

    All are looked at with one seed, that of the request: they are compared on the same draws.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    analysis = load_implementation(spec.analysis.implementation)
    rows: list[dict[str, Any]] = []
    began, n = time.monotonic(), 0
    with progress(analysis.__name__, 0) as show:
        for labels_of_model, weights, original, retrained in models:
            request.model.load_state_dict(dict(weights))
            request.model.eval()
            probe = Probe(
                request.model, request.examples, request.objective, request.seed, spec.recipe, original, retrained
            )
            rows += [{**labels_of_model, **value._asdict()} for value in analysis(probe, **spec.analysis.settings)]
            n += 1
            show(n, "")
    log.info("%s: %d models, %.3f s a model", analysis.__name__, n, (time.monotonic() - began) / max(n, 1))
    # With their types, so that a table without rows (no ReLU, say) goes together with the others.
    types = {"step": pa.int64(), "value": pa.float64()}
    columns = {
        name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in (*labels, *Value._fields)
    }
    write_rows(job.outputs["table"], columns)


def checkpoints_and_results(job: Job[AnalyseSpec]) -> Iterator[Labelled]:
    """Every checkpoint, and what every method made of it."""
    spec = job.spec
    unlearned = dict(zip(spec.methods, job.inputs.get("unlearned", []), strict=True))
    for checkpoint in spec.checkpoints:
        original = read_state(job.input("checkpoints"), checkpoint)
        retrained: State = read_state(job.input("retrained"), checkpoint) if spec.methods else {}
        if spec.before:
            yield {"checkpoint": checkpoint, "stage": "before"}, original, original, retrained
        for method, models in unlearned.items():
            yield {"checkpoint": checkpoint, "stage": method}, read_state(models, checkpoint), original, retrained


def snapshots(job: Job[AnalyseAlongTrainingSpec]) -> Iterator[Labelled]:
    """Snapshots spread over the run."""
    for step, path in chosen(job.inputs["snapshots"], job.spec.snapshots):
        yield {"step": step}, read_state(path, str(step)), {}, {}
