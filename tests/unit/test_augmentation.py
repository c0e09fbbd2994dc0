"""Crops and flips of a whole batch are those that torchvision makes image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.augmentations import AUGMENTATIONS
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.torchvision_cpu import torchvision
from grokforget.runtime.seeds import derive_seed
from grokforget.training.augmentations.crop_flip import CropFlip
from grokforget.training.classification import Classification
from grokforget.training.loop import start, train

pytestmark = pytest.mark.usefixtures("one_thread")


def images(n: int = 64, channels: int = 3, height: int = 9, width: int = 7, dtype: torch.dtype = torch.uint8) -> Tensor:
    return torch.randint(1, 256, (n, channels, height, width), generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("padding", "flip"), [(4, True), (2, False), (0, True), (0, False)])
def test_a_batch_is_what_torchvision_makes_of_each_image(
    padding: int, flip: bool, channels: int, dtype: torch.dtype
) -> None:
    torchvision()
    from torchvision.transforms import functional

    x, augmentation = images(channels=channels, dtype=dtype), CropFlip(padding=padding, flip=flip)
    got = augmentation(x, seed=3, step=5)
    for image, made, (top, left, mirrored) in zip(x, got, augmentation.draw(len(x), 3, 5).T.tolist(), strict=True):
        expected = functional.crop(functional.pad(image, [padding] * 4), top, left, *image.shape[1:])
        assert torch.equal(made, functional.hflip(expected) if mirrored else expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_what_comes_out_is_laid_out_as_what_goes_in_which_is_left_alone(
    layout: torch.memory_format, dtype: torch.dtype
) -> None:
    x = images(dtype=dtype).contiguous(memory_format=layout)
    before = x.clone()
    got = CropFlip(padding=4, flip=True)(x, seed=0, step=0)
    assert (got.shape, got.dtype, got.stride()) == (x.shape, x.dtype, x.stride())
    assert torch.equal(x, before)
    assert not torch.equal(got, x)


def test_every_offset_and_both_sides_are_drawn_evenly() -> None:
    drawn = CropFlip(padding=4, flip=True).draw(81_000, 0, 0)
    counts = torch.bincount(9 * drawn[0] + drawn[1], minlength=81)
    # A thousand each, with a standard deviation of 31.
    assert counts.min() > 850
    assert counts.max() < 1150
    assert drawn[2].float().mean() == pytest.approx(0.5, abs=0.01)
    assert drawn[2].unique().tolist() == [0, 1]


def test_draws_depend_on_seed_and_step_alone() -> None:
    augmentation = CropFlip(padding=4, flip=True)
    first = augmentation.draw(50, 1, 2)
    torch.manual_seed(7)
    assert torch.equal(augmentation.draw(50, 1, 2), first)
    assert not torch.equal(augmentation.draw(50, 1, 3), first)
    assert not torch.equal(augmentation.draw(50, 2, 2), first)


class Seen(nn.Module):
    """A model that notes what it is given, in training and in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.batches: list[Tensor] = []
        self.evaluated: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batches.append(x.clone())
        else:
            self.evaluated.append(x.clone())
        return x.float().flatten(1)[:, :2] * self.weight


def test_training_sees_augmented_batches_and_evaluation_images_as_they_are() -> None:
    x, y = images(20), torch.arange(20) % 2
    recipe = TrainingSettings.model_validate(
        {"loss": "mse", "optimizer": {"name": "sgd", "learning_rate": 0.1}, "batch_size": 5, "steps": 4}
        | {"segment_steps": 4, "evaluate_every": 1, "augmentation": {"kind": "crop-flip", "padding": 2}}
    ).recipe()
    assert recipe.augmentation == AUGMENTATIONS["crop-flip"](padding=2).spec()
    model, splits = Seen(), {name: Examples(x, y) for name in ("train", "validation", "test")}
    train(start(model, recipe.optimizer), splits, recipe, Classification(loss="mse"), seed=9, stop=4)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(derive_seed(9, "order", 0)))
    augmentation = CropFlip(padding=2, flip=True)
    expected = [augmentation(x[index], seed=9, step=step) for step, index in enumerate(order.split(5))]
    assert len(model.batches) == 4
    assert all(torch.equal(got, made) for got, made in zip(model.batches, expected, strict=True))

    assert all(torch.equal(got, torch.cat([x, x, x])) for got in model.evaluated)
