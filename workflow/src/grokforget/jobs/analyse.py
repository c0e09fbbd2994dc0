"""Analyses of models: of checkpoints, of what unlearning made of them, and of snapshots along training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from grokforget.analyses.base import Probe
from grokforget.jobs.found import is_found
from grokforget.jobs.request import PreparedRequest
from grokforget.jobs.snapshots import chosen
from grokforget.jobs.values import Looked, write_values
from grokforget.models.states import State, read_state
from grokforget.runtime.job import Job

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AnalyseAlongTrainingSpec, AnalyseSpec


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
    looked_at = request_of(job, checkpoints_and_results(job))
    write_values(job.outputs["table"], spec.analysis, looked_at, count, ("checkpoint", "stage"))


def analyse_along_training(job: Job[AnalyseAlongTrainingSpec]) -> None:
    """Do one analysis of snapshots along training, for one forget set.

    Reads ``examples``, ``split``, ``forget`` and ``snapshots`` (all segments). Writes ``table``: a row a value, labelled
    with the snapshot's step, and the model's flag.
    """
    looked_at = chosen(job.inputs["snapshots"], job.spec.snapshots)
    models = (Subject({"step": step}, read_state(path, str(step))) for step, path in looked_at)
    write_values(job.outputs["table"], job.spec.analysis, request_of(job, models), len(looked_at), ("step",))


def request_of(job: Job[AnalyseSpec] | Job[AnalyseAlongTrainingSpec], models: Iterable[Subject]) -> Iterator[Looked]:
    """The models of a request, each loaded as its turn comes.

    All are looked at with one seed, that of the request: they are compared on the same draws. Batch norms have statistics of
    the request's retained data, before as after unlearning.
    """
    spec = job.spec
    request = PreparedRequest(job, job.input("forget"), spec.forget_set)
    labels = {name: torch.from_numpy(of_split) for name, of_split in request.labels.items()}
    for subject in models:
        original, retrained = request.recalibrated(subject.original), request.recalibrated(subject.retrained)
        request.load(subject.weights)
        request.model.eval()
        probe = Probe(
            request.model, request.examples, request.objective, request.seed, spec.recipe, original, retrained, labels
        )
        yield Looked(subject.labels, subject.found, probe)


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
