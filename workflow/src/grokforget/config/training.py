"""Training recipes and the selection of checkpoints."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from grokforget.config.augmentations import AugmentationSettings
from grokforget.config.base import Strict, problem
from grokforget.config.gradient_filters import GradientFilterSettings
from grokforget.config.penalties import PenaltySettings
from grokforget.runtime.components import ComponentSpec

Accuracy = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["float32", "bfloat16"]


class Switch(Strict):
    """What is changed in mid-run."""

    step: int = Field(ge=1)
    """How many updates come before it: it holds from the next one on, until a later switch."""
    learning_rate: float | None = Field(default=None, gt=0, le=100)
    """Of warm-up and schedule, which go on; null: as before."""
    weight_decay: float | None = Field(default=None, ge=0, le=100)
    """0 switches it off; null: as before."""

    @model_validator(mode="after")
    def _of_something(self) -> Self:
        if self.learning_rate is None and self.weight_decay is None:
            raise problem("a switch of nothing", self.step, "a learning_rate, a weight_decay or both", at=["step"])
        return self


class OptimizerSettings(Strict):
    """Optimizer and learning-rate schedule."""

    name: Literal["sgd", "adam", "adamw", "muon"]
    """PyTorch's ``SGD``, ``Adam`` or ``AdamW``; ``muon``: its ``Muon`` (Jordan et al. 2024) for the weight matrices of all linear
    layers but the output layer, and ``AdamW`` for all other parameters: embeddings, output layer, convolutions, biases, norms."""
    learning_rate: float = Field(gt=0, le=100)
    """At the start, where a schedule changes it."""
    weight_decay: float = Field(default=0.0, ge=0, le=100)
    """Decoupled for ``adamw`` and ``muon``, an L2 term of the gradient for ``sgd`` and ``adam``."""
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """Of ``sgd``; of ``muon``, where the default is .95."""
    nesterov: bool = False
    """Of ``sgd``; needs a momentum. Of ``muon``, where the default is true."""
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    """Of ``adam`` and ``adamw``, and of what ``muon`` leaves to ``AdamW``."""
    matrix_learning_rate: float | None = Field(default=None, gt=0, le=100)
    """Of ``muon``, for the matrices: times √max(1, rows / columns) the scale of an orthogonal update (Jordan et al.; .02 there).
    Schedules and switches change it as they change ``learning_rate``, in proportion. null: ``learning_rate`` times .2
    √max(rows, columns), with which numbers move as far as AdamW's and its settings can stay (Liu et al. 2025, arXiv
    2502.16982)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """``cosine`` takes the learning rate to 0 along half a cosine."""
    decay_steps: int | None = Field(default=None, ge=1)
    """Updates over which ``cosine`` takes the learning rate to 0; required with it. Not the run's length: a longer run
    is no other run."""
    warmup_steps: int = Field(default=0, ge=0)
    """Updates of a linear warm-up before the schedule begins: update ``i`` of them, from 1, has ``i / warmup_steps`` of the
    learning rate, so that the last has all of it. 0 is without."""
    clip: float | None = Field(default=None, gt=0)
    """Length of the gradient, over all weights together and as a filter left it, that an update takes at most: a longer one is
    made so long. null is without."""
    switches: list[Switch] = Field(default=[])
    """Changes of weight decay and learning rate in mid-run, in the order of their steps: weight decay that comes late, say, or
    ends once all is memorised. The segments before a switch stay valid where it is added or changed."""
    sam_rho: float = Field(default=0.0, ge=0, le=100)
    """ρ of sharpness-aware minimisation (Foret et al. 2021, arXiv 2010.01412; .05 there): every update takes its gradient
    that far uphill, at twice the cost. 0 is without."""
    gradient_filter: GradientFilterSettings | None = None
    """What is done to the gradient, that of a penalty and of SAM included, before the optimizer is given it; weight decay comes
    behind it."""

    @model_validator(mode="before")
    @classmethod
    def _of_muon(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("name") == "muon":
            return {"momentum": 0.95, "nesterov": True, **value}
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.schedule == "cosine" and self.decay_steps is None:
            raise problem("a cosine schedule without an end", None, "a number of updates", at=["decay_steps"])
        if self.schedule == "constant" and self.decay_steps is not None:
            raise problem("decay_steps with a constant schedule", self.decay_steps, "none", at=["decay_steps"])
        own = {
            "sgd": {"momentum", "nesterov"},
            "muon": {"momentum", "nesterov", "betas", "matrix_learning_rate"},
        }.get(self.name, {"betas"})
        strangers = {"momentum", "nesterov", "betas", "matrix_learning_rate"} - own
        for key in sorted(strangers & self.model_fields_set):
            raise problem(f"a setting that {self.name} does not have", getattr(self, key), "none", at=[key])
        if self.nesterov and not self.momentum:
            raise problem("nesterov without momentum", self.momentum, "a momentum above 0", at=["momentum"])
        for number, (before, after) in enumerate(pairwise(self.switches), 1):
            if after.step <= before.step:
                at = ["switches", str(number), "step"]
                raise problem("switches that are not in order", after.step, f"a step behind {before.step}", at=at)
        return self


class SwitchSpec(BaseModel):
    """``Switch`` in a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    learning_rate: float | None
    weight_decay: float | None


class OptimizerSpec(BaseModel):
    """``OptimizerSettings`` in a spec: values that were checked before, every one given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    learning_rate: float
    weight_decay: float
    momentum: float
    nesterov: bool
    betas: list[float]
    matrix_learning_rate: float | None
    schedule: str
    decay_steps: int | None
    warmup_steps: int
    clip: float | None = None
    switches: list[SwitchSpec]
    sam_rho: float
    gradient_filter: ComponentSpec | None


class RecipeSpec(BaseModel):
    """``TrainingSettings`` in a spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimizer: OptimizerSpec
    batch_size: int | None
    augmentation: ComponentSpec | None
    precision: Precision
    cuda_graph: bool
    penalty: ComponentSpec | None
    evaluate_every: int
    evaluations_per_decade: int
    snapshots_per_decade: int
    snapshot_change: float
    snapshot_precision: Precision


class TrainingSettings(Strict):
    """A training recipe. Evaluations and snapshots lie on grids that do not depend on ``steps``."""

    loss: Literal["mse", "cross-entropy", "stablemax", "next-token", "squared-error"]
    """What training minimises: of classes ``mse``, the squared error of the outputs from one-hot labels, ``cross-entropy``, or
    ``stablemax``, the cross-entropy of StableMax in place of softmax (Prieto et al. 2025, arXiv 2501.04697), whose gradient does
    not end where float32's digits do; of texts ``next-token``, the cross-entropy of every token of the answers; of numbers
    ``squared-error``."""
    tolerance: float = Field(default=0.1, gt=0)
    """Of ``squared-error``: how far an output may be from its target and count as right, in units of the targets (those of
    ``polynomial`` have the standard deviation 1). Accuracy is the share that is right."""
    optimizer: OptimizerSettings
    batch_size: int | None = Field(default=None, ge=1)
    """Examples per update; null is the full batch."""
    processes: int = Field(default=1, ge=1, le=64)
    """GPUs of one machine that train a run together, each its part of every batch, and each with all of the data; on a CPU
    processes. They give what one gives but for the last bits, with which the outcome may change: so it is part of what a run
    is. Batch norms normalise by the whole batch; dropout draws otherwise than in one process."""
    augmentation: AugmentationSettings | None = None
    """What is done to the images of every batch; evaluation and unlearning see them as they are."""
    precision: Precision = "float32"
    """Of the forward and backward pass in training. ``bfloat16`` is torch's autocast: weights, optimizer and loss stay float32,
    and so do evaluation, unlearning and analyses. Fast on GPUs, and on processors with ``avx512_bf16`` or ``amx_bf16`` among the
    flags of /proc/cpuinfo; on others slower than float32."""
    cuda_graph: bool = True
    """On a GPU: a step's kernels are recorded once and launched together, which small models need to keep a GPU busy. Without
    meaning on a CPU, with SAM and with a penalty, whose steps are launched kernel by kernel."""
    penalty: PenaltySettings | None = None
    """A term beside the loss; the curves show the loss without it."""
    steps: int = Field(ge=1)
    """Updates in all; a multiple of ``segment_steps``, so that asking for more runs only new segments."""
    segment_steps: int = Field(ge=1)
    """Updates per job: what a kill can lose. A multiple of ``evaluate_every``, so that a segment ends on an evaluation."""
    evaluate_every: int = Field(default=100, ge=1)
    """Updates between regular evaluations."""
    evaluations_per_decade: int = Field(default=20, ge=1, le=1000)
    """Further, log-spaced evaluations."""
    snapshots_per_decade: int = Field(default=8, ge=1, le=1000)
    """Log-spaced snapshots of the weights."""
    snapshot_change: float = Field(default=0.05, gt=0, le=1)
    """A further snapshot whenever train or validation accuracy has moved by this since the last one."""
    snapshot_precision: Precision = "float32"
    """Of the weights in the snapshots, from which checkpoints are taken; ``bfloat16`` takes half the disk and rounds them to 8
    bits. The state that training goes on from is exact."""

    @model_validator(mode="after")
    def _tolerance_of_numbers(self) -> Self:
        # What is dumped has every default, and is a study as well.
        if self.tolerance != type(self).model_fields["tolerance"].default and self.loss != "squared-error":
            raise problem(f"a tolerance with {self.loss}", self.tolerance, "none", at=["tolerance"])
        return self

    @model_validator(mode="after")
    def _whole_segments(self) -> Self:
        if self.optimizer.warmup_steps > self.steps:
            raise problem(
                "a warm-up that is longer than the run",
                self.optimizer.warmup_steps,
                f"at most steps, {self.steps}",
                at=["optimizer", "warmup_steps"],
            )
        for number, switch in enumerate(self.optimizer.switches):
            if switch.step >= self.steps:
                at = ["optimizer", "switches", str(number), "step"]
                raise problem("a switch behind the end of the run", switch.step, f"below steps, {self.steps}", at=at)
        if self.batch_size and self.batch_size < self.processes:
            allowed = f"at most batch_size, {self.batch_size}"
            raise problem("more processes than examples in a batch", self.processes, allowed, at=["processes"])
        if self.processes > 1 and self.penalty:
            # What it draws is drawn for one process's batch.
            raise problem("several processes with a penalty", self.processes, "1", at=["processes"])
        if self.steps % self.segment_steps:
            raise problem(
                "not a whole number of segments", self.steps, f"a multiple of {self.segment_steps}", at=["steps"]
            )
        if self.segment_steps % self.evaluate_every:
            allowed = f"a multiple of evaluate_every, {self.evaluate_every}"
            raise problem("a segment that ends between evaluations", self.segment_steps, allowed, at=["segment_steps"])
        return self

    def recipe(self, stop: int | None = None) -> RecipeSpec:
        """What a training job is told of the recipe: not how long it is, nor how it is cut into jobs and processes, and of
        switches only those before the step where it is to ``stop``."""
        apart = {"loss", "tolerance", "augmentation", "penalty", "steps", "segment_steps", "processes"}
        settings = self.model_dump(mode="json", exclude=apart)
        gradient_filter = self.optimizer.gradient_filter
        settings["optimizer"]["gradient_filter"] = gradient_filter.spec() if gradient_filter else None
        if stop is not None:
            switches = settings["optimizer"]["switches"]
            settings["optimizer"]["switches"] = [switch for switch in switches if switch["step"] < stop]
        return RecipeSpec(
            **settings,
            augmentation=self.augmentation.spec() if self.augmentation else None,
            penalty=self.penalty.spec() if self.penalty else None,
        )

    @property
    def objective_name(self) -> Literal["classification", "language", "regression"]:
        """What the model is trained for: to tell classes apart, to go on with a text, or to predict a number."""
        if self.loss == "squared-error":
            return "regression"
        return "language" if self.loss == "next-token" else "classification"

    def objective(self) -> ComponentSpec:
        """What the model is trained for: to tell classes apart, by this loss, to answer, or to predict within a tolerance."""
        if self.objective_name == "regression":
            implementation = "grokforget.training.regression:Regression"
            return ComponentSpec(implementation=implementation, settings={"tolerance": self.tolerance})
        if self.objective_name == "language":
            return ComponentSpec(implementation="grokforget.training.language:Language")
        if self.loss == "stablemax":
            return ComponentSpec(implementation="grokforget.training.stablemax:StableMax")
        implementation = "grokforget.training.classification:Classification"
        return ComponentSpec(implementation=implementation, settings={"loss": self.loss})


class SelectionSettings(Strict):
    """How t_mem, t_grok and the checkpoints are read off a run's curves."""

    transition: Literal["accuracy", "plateau", "late-rise"]
    """``accuracy``: t_grok is where validation accuracy reaches ``grokked_accuracy`` (algorithmic data); ``plateau``:
    where it has made half its way from the plateau after memorisation to its final value (natural data); ``late-rise``: half
    its way from the best that it had before the training data were fitted (up to ``early_train_accuracy``) to its final value,
    which is what the paper's θ_pre and θ_grok lie on either side of, and which annealing alone may bring about."""
    memorised_accuracy: Accuracy = 0.99
    """t_mem: first step with this train accuracy, sustained."""
    grokked_accuracy: Accuracy = 0.99
    """t_grok under ``accuracy``."""
    sustained: int = Field(default=3, ge=1, le=100)
    """Evaluations in a row that must hold for a crossing to count."""
    fitted_accuracy: float = Field(default=0.999, gt=0, le=1)
    """Checkpoint ``memorised``: first snapshot with this train accuracy."""
    early_train_accuracy: Accuracy = 0.8
    """Checkpoint ``early``: best validation accuracy among the snapshots up to this train accuracy. The paper's θ_pre
    has .79 on ResNet-18 and .61 on the CNN (Table 1)."""
