"""What the checks on a GPU are made of. Nothing here needs pydantic or Snakemake, which a borrowed GPU may not have."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.data.digits import Digits
from grokforget.data.examples import ExampleTable, Split
from grokforget.data.loader import Examples
from grokforget.data.modular import Modular
from grokforget.data.shape import DataShape
from grokforget.jobs.setup import encoded, use_device
from grokforget.models.cnn import CNN
from grokforget.models.images import ImageModel
from grokforget.models.mlp import MLP
from grokforget.models.resnet import ResNet
from grokforget.models.transformer import Transformer
from grokforget.runtime.seeds import numpy_generator
from grokforget.training import loop
from grokforget.training.augmentations.crop_flip import CropFlip
from grokforget.training.classification import Classification
from grokforget.training.loop import Segment, TrainingState, start, train

REHEARSE = "GROKFORGET_REHEARSE"
"""Where it is set the checks run on the CPU: what they find is that they themselves run."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
needs_gpu = pytest.mark.skipif(
    DEVICE == "cpu" and not os.environ.get(REHEARSE), reason="no GPU: torch.cuda.is_available() is False"
)
needs_real_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="no GPU: torch.cuda.is_available() is False")
SGD = {"name": "sgd", "learning_rate": 0.05, "weight_decay": 5e-4, "momentum": 0.9, "nesterov": True}
ADAMW = {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.1}
OBJECTIVE = Classification(loss="cross-entropy")


class Normed(ImageModel):
    """A small convolutional model with batch norm, dropout and channels last."""

    output_layer = "output"

    def __init__(self, shape: DataShape) -> None:
        super().__init__(shape)
        channels = shape.image_shape()[0]
        self.features = nn.Sequential(
            *(nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.Conv2d(16, 32, 3, 2, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )
        self.dropout = nn.Dropout(0.0)
        self.output = nn.Linear(32, shape.n_classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x).contiguous(memory_format=torch.channels_last)

    def from_embedding(self, x: Tensor) -> Tensor:
        return self.output(self.dropout(self.features(x)))


def dropping(shape: DataShape) -> Normed:
    """With dropout, whose draws are the GPU's own."""
    model = Normed(shape)
    model.dropout.p = 0.3
    return model


def resnet18(shape: DataShape, width: int = 64) -> nn.Module:
    """The ResNet-18 that throughput is measured with: 3x3 stem, batch norm, post-activation."""
    return ResNet(shape, depth=18, width=width, stem="3x3", norm="batch", preactivation=False)


MODELS: dict[str, Callable[[DataShape], nn.Module]] = {
    "mlp": lambda shape: MLP(shape, hidden=[64, 64], activation="relu", bias=True, initialisation="default"),
    "cnn": lambda shape: CNN(shape, channels=[16, 32], kernel_size=3, hidden=32),
    "normed": Normed,
    "dropping": dropping,
    "transformer": lambda shape: Transformer(shape, layers=1, width=32, heads=2, mlp_width=64),
}


def table_of(model: str) -> tuple[ExampleTable, Split]:
    """Digits as uint8 images of which the models know mean and spread; pairs of tokens for the transformer."""
    if model == "transformer":
        task: Any = Modular(modulus=23, operation="+", train_fraction=0.5, validation_fraction=0.2)
        table = task.examples()
    else:
        task = Digits(train=300, validation=200)
        plain = task.examples()
        pixels = (plain.inputs * 255).round().astype(np.uint8)
        table = ExampleTable(pixels, plain.labels, plain.n_classes, mean=(0.3,), std=(0.35,))
    return table, task.split(table.labels, numpy_generator(0, "split"))


def recipe(optimizer: Mapping[str, Any] = SGD, **changes: Any) -> Any:
    """A training recipe as a job is given it."""
    defaults = {"momentum": 0.0, "nesterov": False, "betas": [0.9, 0.999], "schedule": "cosine", "decay_steps": 1000}
    settings = {"batch_size": 64, "augmentation": None, "precision": "float32", "cuda_graph": True, "penalty": None}
    grids = {"evaluate_every": 10, "evaluations_per_decade": 4, "snapshots_per_decade": 2, "snapshot_change": 1.0}
    spec = SimpleNamespace(
        **{
            **defaults,
            "warmup_steps": 5,
            "clip": None,
            "sam_rho": 0.0,
            "switches": [],
            "gradient_filter": None,
            "matrix_learning_rate": None,
            **optimizer,
        }
    )
    return SimpleNamespace(optimizer=spec, **{**settings, **grids, **changes})


def crops(padding: int = 1, flip: bool = False) -> Any:
    """An augmentation as it stands in a recipe."""
    return SimpleNamespace(build=lambda: CropFlip(padding=padding, flip=flip))


class Run:
    """A model on its task and a device, to be trained."""

    def __init__(self, model: str, recipe: Any, device: str, seed: int = 0) -> None:
        self.name, self.recipe, self.seed = model, recipe, seed
        self.device = use_device(SimpleNamespace(threads=1, device=device))  # type: ignore[arg-type]
        self.table, self.split = table_of(model)

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return MODELS[self.name](self.table.shape).to(self.device)

    def begin(self) -> TrainingState:
        model = self.build(self.seed)
        torch.manual_seed(7)
        return start(model, self.recipe.optimizer)

    def splits(self, model: nn.Module) -> dict[str, Examples]:
        return {name: encoded(model, self.table, index, self.device) for name, index in vars(self.split).items()}

    def go(self, state: TrainingState, stop: int, **callbacks: Any) -> Segment:
        splits = self.splits(state.model)
        return train(state, splits, self.recipe, OBJECTIVE, seed=self.seed, stop=stop, **callbacks)


def side_by_side(model: str, recipe: Any, device: str, runs: int, stop: int) -> list[loop.Run]:
    """Runs at their beginning that differ in their seeds."""
    found = []
    for seed in range(runs):
        given = Run(model, recipe, device, seed)
        state = given.begin()
        found.append(loop.Run(state, given.splits(state.model), recipe, OBJECTIVE, seed=seed, stop=stop))
    return found


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor], origin: Mapping[str, Tensor]) -> float:
    """How far two states that went out from ``origin`` are apart, as a share of the way that the first has gone."""

    def norm(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> float:
        return sum(((one[name].double() - two[name].double()) ** 2).sum().item() for name in one) ** 0.5

    return norm(a, b) / norm(a, origin)


@contextmanager
def switched(where: Any, **values: Any) -> Iterator[None]:
    """Attributes of ``where`` as given, and afterwards as they were."""
    before = {name: getattr(where, name) for name in values}
    for name, value in values.items():
        setattr(where, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(where, name, value)


REPOSITORY = Path(__file__).parents[2]
