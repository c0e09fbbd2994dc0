"""A setting: what is trained, and how much of the study is done with it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Strict, no_repeats
from grokforget.config.models import ModelSettings
from grokforget.config.training import SelectionSettings, TrainingSettings

CheckpointName = Literal["early", "memorised", "grokked", "rescaled", "matched", "final"]
Checkpoints = Annotated[list[CheckpointName], Field(min_length=1), AfterValidator(no_repeats)]
Seeds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1), AfterValidator(no_repeats)]
# Names become folder names, and "without-NAME" names a train set.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
SomeNames = Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)]


class Resources(Strict):
    """What a scheduler is asked for; it changes no result. A job that fails is tried again with as much more."""

    memory_mb: int = Field(default=1500, ge=100)
    """Of each job that runs the setting's model, and of each of the ``processes`` that train it together; `logs/` say what such
    jobs have taken."""
    minutes: int = Field(default=60, ge=1)
    """Of a training segment; unlearning by all methods on one forget set or along training, and analyses, get twice as much."""


class Control(Strict):
    """That a setting is a control of another one: the same question, asked of a model that was trained otherwise."""

    of: str
    """Name of the setting that it is compared with. Its changes to the methods hold here too."""
    name: Name
    """What it stands for in tables and claims: ``sam``, ``spline-...``, ``no-grokking``, ``constant-rate``, ..."""


class Start(Strict):
    """What a setting's runs go on from, in place of an initialisation: the runs of another setting, of the same seed and on the
    same train set. Steps go on being counted from that setting's initialisation, and its curves and snapshots up to there count
    as this one's. The memory of the optimizer goes on where both have the same one, by name, and that of a gradient filter where
    both have the same, settings and all."""

    setting: str
    """Name of the other setting, of the same data, model and initialisation."""
    step: int = Field(ge=1)
    """After how many of its updates: where a segment of both ends."""


class Transfer(Strict):
    """Layers whose initial weights are not drawn: they are those that another setting's run of the same seed has on the same
    train set (embedding transfer: after Xu et al. 2025, arXiv 2504.13292, who take them from a smaller model)."""

    setting: str
    """Name of the other setting, of the same data; its model may be another one, but for these layers."""
    step: int = Field(ge=1)
    """After how many of its updates: where a segment ends."""
    layers: SomeNames
    """Names of the layers, as ``named_modules`` of PyTorch gives them, or of single parameters: ``token`` and ``position`` are
    the embeddings of ``transformer``, ``features.0`` is the first layer of ``mlp``."""


Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=40)]


class Setting(Strict):
    """Data set × model × training recipe: what is trained, once a seed."""

    data: str
    """Name of one of the study's data sets."""
    model: ModelSettings
    """What is trained."""
    initialisation_scale: float = Field(default=1.0, gt=0, le=1000)
    """α: factor on all initial weights and biases; large values delay generalisation (Omnigrok, arXiv 2210.01117)."""
    training: TrainingSettings
    starts_from: Start | None = None
    """Given where it goes on from another setting's runs with a recipe of its own: what was trained long without weight decay,
    say, is now trained with it."""
    transfer: Transfer | None = None
    """Given where some layers begin with another setting's weights."""
    selection: SelectionSettings
    vary: dict[str, Any] | list[dict[str, Any]] | None = None
    """Given where the setting is a grid of settings: key → values (``training.optimizer.weight_decay: [.1, 1]``), or ``{log:
    {start: .03, stop: 3, count: 9}}``, or ``linear:`` alike, or ``values:``, each with a ``label:`` if wanted. Keys are those of
    ``model``, ``training``, ``starts_from`` and ``transfer`` with dots between them, ``initialisation_scale``, ``data`` and the
    keys of the data set (``data.train_fraction``). All combinations are settings; of a list of such mappings those of each. They
    are called after what is varied, ``NAME-weight-decay-0p1``, and have ``labels`` of it."""
    grid: Name | None = None
    """The grid that it belongs to; of a setting with ``vary`` its own name."""
    labels: dict[Label, str | int | float | bool | None] = Field(default={})
    """Columns of the tables ``runs`` and ``rates``, by name: what is varied, and what else it is to be found by."""
    unlearn: bool = True
    """Whether something is unlearned from its runs. Otherwise it is only trained and looked at, as all settings are in a study
    that has no methods."""
    together: bool | Literal["stacked"] = False
    """Whether one job trains the runs of one seed, of all settings of the grid, one after another, their data and splits
    included: where a run takes seconds, to start a job for each takes longer. For settings with nothing to unlearn.
    ``stacked``: those of one model and shape of data take their steps together, for small models on a GPU."""
    control: Control | None = None
    """Given where the setting is a control of another; the headline figures and tables leave controls out."""
    seeds: Seeds | None = None
    """Instead of the study's."""
    forget_sets: SomeNames | None = None
    """Of the study's; null is all of them."""
    checkpoints: Checkpoints | None = None
    """Instead of the study's."""
    trajectory_stride: int | None = Field(default=None, ge=1)
    """Instead of the study's; null is the study's."""
    resources: Resources = Resources()
    methods: dict[str, dict[str, Any]] = Field(default={})
    """Changes to the study's methods in this setting, by method name: the same for all checkpoints."""
