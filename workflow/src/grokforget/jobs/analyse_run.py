"""Analyses of a run itself along training, of which nothing is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from grokforget.analyses.run_probe import RunProbe
from grokforget.data.examples import read_examples
from grokforget.jobs.setup import encoded, use_device
from grokforget.jobs.snapshots import chosen, snapshots_of
from grokforget.jobs.values import Looked, write_values
from grokforget.models.build import build_model
from grokforget.models.states import read_state
from grokforget.runtime import paths
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import derive_seed
from grokforget.training.recalibrate import recalibrate, recalibration_inputs

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import AnalyseRunSpec


def analyse_run(job: Job[AnalyseRunSpec]) -> None:
    """Do one analysis of snapshots along the run on the full train set.

    Reads ``examples``, ``split`` and ``snapshots`` (all segments). Writes ``table``: a row a value, labelled with the snapshot's
    step, and the model's flag. All snapshots are looked at on the same draws; batch norms have statistics of the train set.
    """
    spec = job.spec
    device = use_device(spec)
    table, split = read_examples(job.input("examples"), job.input("split"))
    model = build_model(spec.model, table.shape, seed=0, files=job.inputs.get("model", ())).to(device)
    indices = {"retain": split.train, "validation": split.validation, "test": split.test}
    examples = {name: encoded(model, table, index, device) for name, index in indices.items()}
    seed = derive_seed(spec.seed, paths.FULL)
    statistics = recalibration_inputs(
        model, examples["retain"], spec.recalibration_examples, derive_seed(seed, "recalibration")
    )
    where = snapshots_of(job.inputs["snapshots"])
    last = read_state(where[max(where)], str(max(where)))
    looked_at = chosen(job.inputs["snapshots"], spec.snapshots)

    def models() -> Iterator[Looked]:
        for step, path in looked_at:
            model.load_state_dict(read_state(path, str(step)))
            if statistics is not None:
                recalibrate(model, statistics)
            model.eval()
            probe = RunProbe(model, examples, spec.objective.build(), seed, spec.recipe, last=last)
            yield Looked({"step": step}, True, probe)

    write_values(job.outputs["table"], spec.analysis, models(), len(looked_at), ("step",))
