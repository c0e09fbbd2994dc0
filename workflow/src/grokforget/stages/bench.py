"""What the unlearning stages share: one request's data on the device, ready to be unlearned from any weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from grokforget.components import build
from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.models.build import build_model
from grokforget.progress import progress
from grokforget.seeds import derive_seed
from grokforget.stages.job import Job
from grokforget.stages.load import encoded, use_device
from grokforget.unlearning.problem import Method, Problem
from grokforget.unlearning.runner import Record, unlearn

FINAL_ONLY = 2**31
"""A stride at which only the first and the final state are evaluated."""


class Bench:
    """The data of one (setting, seed, forget set) on the device, ready to be unlearned from any weights."""

    def __init__(self, job: Job) -> None:
        self.spec = job.spec
        device = use_device(self.spec)
        table = ExampleTable.read(job.input("examples"))
        split, parted = Split.read(job.input("split")), ForgetSplit.read(job.input("forget"))
        self.model = build_model(self.spec["model"], table.shape, seed=0).to(device)
        indices = {"forget": parted.forget, "retain": parted.retain, "validation": split.validation, "test": split.test}
        # What an erroneous request left out, or asked for by mistake: looked at, never learned from.
        errors = {"missed": parted.missed, "mistaken": parted.mistaken}
        indices |= {name: index for name, index in errors.items() if len(index)}
        self.examples = {name: encoded(self.model, table, index, device) for name, index in indices.items()}
        self.n_classes = table.n_classes

    def apply(
        self, method: Mapping[str, Any], weights: Mapping[str, Tensor], retrained: Mapping[str, Tensor], stride: int
    ) -> tuple[nn.Module, Record]:
        """Unlearn from ``weights`` with a method's spec; the model is the bench's own and serves until the next call."""
        self.model.load_state_dict(dict(weights))
        built: Method = build(method)
        forget, retain, validation = (self.examples[name] for name in ("forget", "retain", "validation"))
        # One seed for all checkpoints: they differ in their weights alone, not in the order of the batches or the noise drawn.
        seed = derive_seed(self.spec["seed"], self.spec["forget_set"])
        # For models with dropout: the draws must not depend on what this process did before.
        torch.manual_seed(seed)
        problem = Problem(self.model, forget, retain, validation, self.n_classes, seed, retrained)
        with progress(method["implementation"].rpartition(":")[2], 0) as show:
            record = unlearn(
                built, problem, self.examples["test"], stride=stride, on_update=lambda update: show(update, "")
            )
        return self.model, record
