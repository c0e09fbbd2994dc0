"""Analyses of a run itself along training, of which nothing is forgotten."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from grokforget.analyses.base import Value
from grokforget.analyses.run_probe import RunProbe
from grokforget.data.examples import read_examples
from grokforget.jobs.setup import encoded, use_device
from grokforget.jobs.snapshots import chosen, snapshots_of
from grokforget.models.build import build_model
from grokforget.models.states import read_state
from grokforget.runtime import paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress
from grokforget.runtime.seeds import derive_seed
from grokforget.statistics.flags import FLAG, flag_of
from grokforget.training.recalibrate import recalibrate, recalibration_inputs

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AnalyseRunSpec

log = logging.getLogger("grokforget")


def analyse_run(job: Job[AnalyseRunSpec]) -> None:
    """Do one analysis of snapshots along the run on the full train set.

    Reads ``examples``, ``split`` and ``snapshots`` (all segments). Writes ``table``: a row a value, labelled with the snapshot's
    step, and the model's flag. All snapshots are looked at on the same draws; batch norms have statistics of the train set.
    """
    spec = job.spec
    device = use_device(spec)
    table, split = read_examples(job.input("examples"), job.input("split"))
    model = build_model(spec.model, table.shape, seed=0).to(device)
    indices = {"retain": split.train, "validation": split.validation, "test": split.test}
    examples = {name: encoded(model, table, index, device) for name, index in indices.items()}
    seed = derive_seed(spec.seed, paths.FULL)
    statistics = recalibration_inputs(
        model, examples["retain"], spec.recalibration_examples, derive_seed(seed, "recalibration")
    )
    analysis = load_implementation(spec.analysis.implementation)
    where = snapshots_of(job.inputs["snapshots"])
    last = read_state(where[max(where)], str(max(where)))
    looked_at = chosen(job.inputs["snapshots"], spec.snapshots)
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with progress(analysis.__name__, len(looked_at)) as show:
        for number, (step, path) in enumerate(looked_at, start=1):
            model.load_state_dict(read_state(path, str(step)))
            if statistics is not None:
                recalibrate(model, statistics)
            model.eval()
            probe = RunProbe(model, examples, spec.objective.build(), seed, spec.recipe, last=last)
            with noted("model", f"step {step}"):
                own = {"step": step, FLAG: flag_of(True, probe.finite)}
                rows += [{**own, **value._asdict()} for value in analysis(probe, **spec.analysis.settings)]
            show(number, "")
    log.info("%s: %d models, %.1f s", analysis.__name__, len(looked_at), time.monotonic() - began)
    # With their types, so that a table without rows goes together with the others.
    types = {"step": pa.int64(), "value": pa.float64()}
    names = ("step", FLAG, *Value._fields)
    columns = {name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in names}
    write_rows(job.outputs["table"], columns)
