"""What the models of a run say of every example of the data set: shadow models for membership attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from grokforget.data.examples import ForgetSplit, read_examples
from grokforget.jobs.found import is_found, metadata_of
from grokforget.jobs.setup import encoded, use_device
from grokforget.models.build import build_model
from grokforget.models.states import read_state
from grokforget.runtime.files import write_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import derive_seed
from grokforget.training.evaluate import digests_of
from grokforget.training.objective import Objective
from grokforget.training.outputs import confidences
from grokforget.training.recalibrate import recalibrate, recalibration_inputs

if TYPE_CHECKING:
    from grokforget.config.specs.inspection import ShadowSpec


def shadow(job: Job[ShadowSpec]) -> None:
    """Confidence in the right answer to every example under every checkpoint of one run.

    Reads ``examples``, ``split``, ``checkpoints`` and, where the run has one, the ``forget`` set that it was trained without.
    Writes ``shadow``: ``confidence/<checkpoint>``, float64 (N,) in the order of the data set (``training/outputs.py``), and
    ``member``, uint8 (N,): was the example trained on? Which checkpoints were found is noted with them. Batch norms have
    statistics of what the run was trained on, as those of the models that are attacked.
    """
    spec = job.spec
    device = use_device(spec)
    table, split = read_examples(job.input("examples"), job.input("split"))
    model = build_model(spec.model, table.shape, seed=0, files=job.inputs.get("model", ())).to(device)
    objective: Objective = spec.objective.build()
    forget = job.optional("forget")
    trained = ForgetSplit.read(forget).retain if forget else split.train
    examples = encoded(model, table, np.arange(len(table.labels)), device)
    member = np.zeros(len(table.labels), dtype=np.uint8)
    member[trained] = 1
    arrays = {"member": member}
    seed = derive_seed(spec.seed, "recalibration")
    inputs = recalibration_inputs(model, examples[torch.from_numpy(trained)], spec.recalibration_examples, seed)
    for checkpoint in spec.checkpoints:
        model.load_state_dict(read_state(job.input("checkpoints"), checkpoint))
        if inputs is not None:
            recalibrate(model, inputs)
        told = confidences(digests_of(model, [examples], objective)[0], examples.y, objective)
        arrays[f"confidence/{checkpoint}"] = told.cpu().numpy()
    found = {checkpoint: is_found(job.input("checkpoints"), checkpoint) for checkpoint in spec.checkpoints}
    write_tensors(job.outputs["shadow"], arrays, metadata_of(found))
