"""Models of pixels: uint8 as stored gives what normalised floats give."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from grokforget.data.examples import ExampleTable
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.images import ImageModel
from grokforget.models.mlp import MLP
from grokforget.models.points import continuous, unit_of

MEAN, STD = (0.2, 0.5, 0.7), (0.3, 0.2, 0.1)
PIXELS = torch.randint(256, (4, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def by_hand(pixels: torch.Tensor) -> torch.Tensor:
    planes = [(pixels[:, c].double() / 255 - MEAN[c]) / STD[c] for c in range(3)]
    return torch.stack(planes, 1)


def cnn(shape: DataShape) -> ImageModel:
    return CNN(shape, channels=[4], kernel_size=3, hidden=5)


def mlp(shape: DataShape) -> ImageModel:
    return MLP(shape, hidden=[5], activation="relu", bias=True, initialisation="default")


@pytest.mark.parametrize("build", [cnn, mlp])
def test_pixels_give_what_normalised_floats_give(build) -> None:
    model = build(DataShape((3, 8, 8), 10, mean=MEAN, std=STD))
    floats = build(DataShape((3, 8, 8), 10))
    floats.load_state_dict(model.state_dict())
    assert model.encode(PIXELS).dtype is torch.uint8
    expected = floats.double()(floats.encode(by_hand(PIXELS)).double())
    assert torch.allclose(copy.deepcopy(model).double()(model.encode(PIXELS)), expected, atol=1e-6, rtol=0)
    assert torch.allclose(model(model.encode(PIXELS)).double(), expected, atol=1e-4, rtol=0)
    points, forward = continuous(model, model.encode(PIXELS))
    assert torch.allclose(points.double(), by_hand(PIXELS), atol=1e-5, rtol=0)
    assert torch.equal(forward(points), model(PIXELS))


def test_a_pixels_range_in_points() -> None:
    model = cnn(DataShape((3, 8, 8), 10, mean=MEAN, std=STD)).double()
    dark, bright = (model.embed(torch.full((1, 3, 8, 8), value, dtype=torch.uint8)) for value in (0, 255))
    assert torch.allclose((bright - dark)[0, :, :1, :1], unit_of(model, PIXELS))
    assert unit_of(model, torch.zeros(1, 3, 8, 8)) == 1


def test_constants_travel_with_the_data_and_not_with_the_weights(tmp_path: Path) -> None:
    table = ExampleTable(PIXELS.numpy(), np.array([0, 1, 0, 1]), n_classes=2, mean=MEAN, std=STD)
    table.write(tmp_path / "examples.safetensors")
    read = ExampleTable.read(tmp_path / "examples.safetensors")
    assert read.shape == DataShape((3, 8, 8), 2, mean=MEAN, std=STD)
    assert read.inputs.dtype == np.uint8
    assert {"mean", "std"}.isdisjoint(cnn(read.shape).state_dict())
