"""One unlearning request, the data of a (setting, seed, forget set), ready to be unlearned from any weights.

Apart from ``setup.py``, since training uses that too and must not depend on the code of unlearning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from grokforget.data.examples import ExampleTable, ForgetSplit, read_examples
from grokforget.data.language.encode import Encoded, with_answers
from grokforget.data.loader import Examples
from grokforget.data.subset import subset
from grokforget.jobs.setup import encoded, use_device
from grokforget.methods.base import Method, Problem
from grokforget.methods.runner import Record, unlearn
from grokforget.models.build import build_model
from grokforget.models.states import State, state_of
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.job import Job
from grokforget.runtime.progress import progress
from grokforget.runtime.seeds import derive_seed
from grokforget.training.evaluate import evaluate
from grokforget.training.objective import Objective
from grokforget.training.recalibrate import recalibrate, recalibration_inputs

if TYPE_CHECKING:
    from grokforget.config.specs.runs import EvaluatedSpec

MEASURES = [f"{split}_{measure}" for split in ("forget", "retain", "test") for measure in ("accuracy", "loss")]
"""What a row of a trajectory says of a model."""


class PreparedRequest:
    """The request's examples on the device, and a model to load weights into.

    Reads ``examples`` and ``split`` of the job, and the file ``forget``. ``seed`` is that of all draws of the request: one
    for all checkpoints and methods, which so differ in their weights alone, not in the order of the batches or the noise.

    A model with batch norms is looked at with their statistics on ``recalibration``, examples of the retain set drawn once:
    every checkpoint, result and reference alike. Rows of trajectories are of ``looked_at``, so many ``trajectory_examples``
    of each of forget, retain and test set, drawn once too; None: of all.
    """

    def __init__(self, job: Job[Any], forget: Path, forget_set: str, trajectory_examples: int | None = None) -> None:
        spec: EvaluatedSpec = job.spec
        device = use_device(spec)
        table, split = read_examples(job.input("examples"), job.input("split"))
        parted = ForgetSplit.read(forget)
        self.seed = derive_seed(spec.seed, forget_set)
        self.objective: Objective = spec.objective.build()
        self.model = build_model(spec.model, table.shape, seed=0, files=job.inputs.get("model", ())).to(device)
        indices = {"forget": parted.forget, "retain": parted.retain, "validation": split.validation, "test": split.test}
        # What an erroneous request left out, or asked for by mistake: looked at, never learned from.
        errors = {"missed": parted.missed, "mistaken": parted.mistaken}
        indices |= {name: index for name, index in errors.items() if len(index)}
        self.examples = {name: encoded(self.model, table, index, device) for name, index in indices.items()}
        self.labels = {name: table.labels[index] for name, index in indices.items()}
        refused = refusals(self.model, table, parted.forget, device)
        self.extras = {} if refused is None else {"refused": refused}
        self.table, self.indices, self.device = table, indices, device
        self.looked_at = {
            name: subset(self.examples[name], trajectory_examples, derive_seed(self.seed, "trajectory", name))
            for name in ("forget", "retain", "test")
        }
        self.recalibration = recalibration_inputs(
            self.model,
            self.examples["retain"],
            spec.recalibration_examples,
            derive_seed(self.seed, "recalibration"),
        )

    def load(self, weights: State) -> None:
        """Give the model these weights, to be looked at: recalibrated."""
        self.model.load_state_dict(dict(weights))
        if self.recalibration is not None:
            recalibrate(self.model, self.recalibration)

    def recalibrated(self, weights: State) -> State:
        """The weights as ``load`` would have them; nothing of nothing."""
        if self.recalibration is None or not weights:
            return weights
        self.load(weights)
        return state_of(self.model)

    def apply(
        self,
        method: ComponentSpec,
        weights: Mapping[str, Tensor],
        retrained: Mapping[str, Tensor],
        stride: int | None,
        updates: int | None = None,
        shared: dict[str, Any] | None = None,
        statistics: bool = False,
    ) -> tuple[nn.Module, Record]:
        """Unlearn from ``weights``, as ``methods.runner.unlearn`` does; the model is the request's own and serves until the
        next call. ``shared`` is what other candidates of the method worked out of the same weights (``Problem.once``)."""
        self.model.load_state_dict(dict(weights))
        built: Method = method.build()
        forget, retain, validation = (self.examples[name] for name in ("forget", "retain", "validation"))
        # For models with dropout: the draws must not depend on what this process did before.
        torch.manual_seed(self.seed)
        problem = Problem(self.model, forget, retain, validation, self.objective, self.seed, retrained, self.extras)
        problem.shared = {} if shared is None else shared
        with progress(type(built).__name__, None) as show:
            record = unlearn(
                built,
                problem,
                self.examples["test"],
                stride=stride,
                updates=updates,
                looked_at=self.looked_at,
                recalibration=self.recalibration,
                statistics=statistics,
                on_update=lambda update: show(update, ""),
            )
        return self.model, record

    def accuracies(self, weights: Mapping[str, Tensor]) -> dict[str, float]:
        """What the last row of a trajectory would say of a model with these weights."""
        self.load(weights)
        return evaluate(self.model, self.looked_at, self.objective, self.objective.of_digests.unlearning_loss)


def refusals(model: Any, table: ExampleTable, forget: np.ndarray, device: torch.device) -> Examples | None:
    """The question of every example to forget with every refusal of the data for an answer, as ``Problem.extras`` has them; None
    of data without refusals."""
    answers = table.extras.get("refusals")
    if table.targets is None or answers is None or not len(answers):
        return None
    pad = int(table.extras["special_tokens"][1])
    tokens, targets = with_answers(Encoded(table.inputs[forget], table.targets[forget]), answers, pad)
    return Examples(model.encode(torch.from_numpy(tokens)).to(device), torch.from_numpy(targets).to(device))
