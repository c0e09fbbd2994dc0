"""Analyses of models: of checkpoints, of what unlearning made of them, and of snapshots along training."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from grokforget.analyses.base import Probe, Value
from grokforget.jobs.found import is_found
from grokforget.jobs.request import PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.models.states import State, read_state
from grokforget.runtime.components import load_implementation
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress
from grokforget.statistics.flags import FLAG, flag_of

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AnalyseAlongTrainingSpec, AnalyseSpec

log = logging.getLogger("grokforget")


class Subject(NamedTuple):
    """A model to look at: the labels of its rows, its weights, whether its checkpoint was found, and the weights of the
    original and the retrained model, empty where there is none that is what its name says."""

    labels: dict[str, Any]
    weights: State
    found: bool = True
    original: State = MappingProxyType({})
    retrained: State = MappingProxyType({})


def analyse(job: Job[AnalyseSpec]) -> None:
    """Do one analysis of checkpoints and of what methods made of them, for one forget set.

    Reads ``examples``, ``split``, ``forget``, ``checkpoints`` (weights of the run on the full train set) and, where results
    of methods are analysed, ``unlearned`` (models, a file a method of the spec, in its order) and ``retrained`` (the
    checkpoints of the run without the forget set). Writes ``table``: a row a value, labelled with checkpoint and stage
    (``before``, or the method), and the model's flag.
    """
    spec = job.spec
    count = len(spec.checkpoints) * (spec.before + len(spec.methods))
    write_values(job, checkpoints_and_results(job), count, ("checkpoint", "stage"))


def analyse_along_training(job: Job[AnalyseAlongTrainingSpec]) -> None:
    """Do one analysis of snapshots along training, for one forget set.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: a row a value, labelled
    with the snapshot's step, and the model's flag.
    """
    looked_at = chosen(job.inputs["snapshots"], job.spec.snapshots)
    models = (Subject({"step": step}, read_state(path, str(step))) for step, path in looked_at)
    write_values(job, models, len(looked_at), ("step",))


def write_values(
    job: Job[AnalyseSpec] | Job[AnalyseAlongTrainingSpec],
    models: Iterable[Subject],
    count: int,
    labels: tuple[str, ...],
) -> None:
    """Analyse ``count`` models one after the other and write the values under the columns ``labels``.

    All are looked at with one seed, that of the request: they are compared on the same draws. Batch norms have statistics of
    the request's retained data, before as after unlearning. The values of a model that has
    diverged are NaN (``analyses/base.py``).
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    analysis = load_implementation(spec.analysis.implementation)
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with progress(analysis.__name__, count) as show:
        for number, subject in enumerate(models, start=1):
            original, retrained = request.recalibrated(subject.original), request.recalibrated(subject.retrained)
            request.load(subject.weights)
            request.model.eval()
            probe = Probe(
                request.model,
                request.examples,
                request.objective,
                request.seed,
                spec.recipe,
                original,
                retrained,
            )
            with noted("model", ", ".join(f"{label} {name}" for label, name in subject.labels.items())):
                own = {**subject.labels, FLAG: flag_of(subject.found, probe.finite)}
                rows += [{**own, **value._asdict()} for value in analysis(probe, **spec.analysis.settings)]
            show(number, "")
    log.info("%s: %d models, %.3f s a model", analysis.__name__, count, (time.monotonic() - began) / max(count, 1))
    # With their types, so that a table without rows (no ReLU, say) goes together with the others.
    types = {"step": pa.int64(), "value": pa.float64()}
    columns = {
        name: pa.array([row[name] for row in rows], types.get(name, pa.string()))
        for name in (*labels, FLAG, *Value._fields)
    }
    write_rows(job.outputs["table"], columns)


def checkpoints_and_results(job: Job[AnalyseSpec]) -> Iterator[Subject]:
    """Every checkpoint, and what every method made of it."""
    spec = job.spec
    unlearned = dict(zip(spec.methods, job.inputs.get("unlearned", []), strict=True))
    for checkpoint in spec.checkpoints:
        found = is_found(job.input("checkpoints"), checkpoint)
        original = read_state(job.input("checkpoints"), checkpoint)
        retrained: State = {}
        if spec.methods and is_found(job.input("retrained"), checkpoint):
            retrained = read_state(job.input("retrained"), checkpoint)
        if spec.before:
            yield Subject({"checkpoint": checkpoint, "stage": "before"}, original, found, original, retrained)
        for method, models in unlearned.items():
            labels = {"checkpoint": checkpoint, "stage": method}
            weights = read_state(models, checkpoint)
            yield Subject(labels, weights, is_found(models, checkpoint), original, retrained)
