"""Analyses of models: of checkpoints, of what unlearning made of them, and of snapshots along training."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
from torch import Tensor

from grokforget.analysis.probe import Probe, Value
from grokforget.components import load_implementation
from grokforget.progress import progress
from grokforget.seeds import derive_seed
from grokforget.stages.bench import Bench
from grokforget.stages.job import Job
from grokforget.stages.snapshots import chosen
from grokforget.storage import write_rows
from grokforget.training.state import read_state

log = logging.getLogger("grokforget")
State = Mapping[str, Tensor]


def analyse(job: Job) -> None:
    """Do one analysis for one forget set.

    Reads ``examples``, ``split``, ``forget`` (the folder of the run's forget sets), ``checkpoints`` (the folder of the
    run's checkpoints) and ``unlearned`` (the folder of its requests), or ``snapshots`` (all segments). Writes ``table``: a
    row a value, labelled with checkpoint and stage (``before``, or the method), or with the snapshot's step. Spec:
    ``analysis`` (a component), ``training``, and ``checkpoints``, ``before`` (whether they are analysed themselves) and
    ``methods`` (whose results are), or ``snapshots`` (how many); and what ``Bench`` asks for.
    """
    spec = job.spec
    forget = job.input("forget") / f"{spec['forget_set']}.safetensors"
    bench = Bench(Job({**job.inputs, "forget": [forget]}, job.outputs, spec))
    implementation = load_implementation(spec["analysis"]["implementation"])
    settings = spec["analysis"]["settings"]
    # One seed for all models of the request: they are compared on the same draws.
    seed = derive_seed(spec["seed"], spec["forget_set"])
    rows: list[dict[str, Any]] = []
    models = snapshots(job) if "snapshots" in spec else results(job)
    began, n = time.monotonic(), 0
    with progress(implementation.__name__, 0) as show:
        for labels, weights, original, retrained in models:
            bench.model.load_state_dict(dict(weights))
            bench.model.eval()
            probe = Probe(bench.model, bench.examples, bench.n_classes, seed, spec["training"], original, retrained)
            rows += [{**labels, **value._asdict()} for value in implementation(probe, **settings)]
            n += 1
            show(n, "")
    log.info("%s: %d models, %.3f s a model", implementation.__name__, n, (time.monotonic() - began) / max(n, 1))
    # With their types, so that a table without rows (no ReLU, say) goes together with the others.
    types = {"step": pa.int64(), "value": pa.float64()}
    columns = {
        name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in (*labels, *Value._fields)
    }
    write_rows(job.outputs["table"], columns)


def results(job: Job) -> Iterator[tuple[dict[str, Any], State, State, State]]:
    """Labels, weights, original and retrained weights of every checkpoint and of what every method made of it."""
    spec, folder = job.spec, job.input("checkpoints")
    for checkpoint in spec["checkpoints"]:
        original = read_state(folder / "full.safetensors", checkpoint)
        retrained: State = {}
        if spec["methods"]:
            retrained = read_state(folder / f"without-{spec['forget_set']}.safetensors", checkpoint)
        if spec["before"]:
            yield {"checkpoint": checkpoint, "stage": "before"}, original, original, retrained
        for method in spec["methods"]:
            models = job.input("unlearned") / spec["forget_set"] / method / "models.safetensors"
            labels = {"checkpoint": checkpoint, "stage": method}
            yield labels, read_state(models, checkpoint), original, retrained


def snapshots(job: Job) -> Iterator[tuple[dict[str, Any], State, State, State]]:
    """Labels and weights of snapshots spread over the run."""
    for step, path in chosen(job.inputs["snapshots"], job.spec["snapshots"]):
        yield {"step": step}, read_state(path, str(step)), {}, {}
