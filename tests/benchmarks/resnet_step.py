"""A small ResNet on pixels, trained by the project's loop and by a plain PyTorch loop of the same recipe: the same curve, and as
many images a second."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from grokforget.config.training import TrainingSettings
from grokforget.data.loader import DeviceLoader, Examples
from grokforget.data.shape import DataShape
from grokforget.models.resnet import ResNet
from grokforget.training.classification import Classification
from grokforget.training.loop import Segment, start, train

IMAGES, BATCH, STEPS, ROUNDS = 1280, 128, 15, 10
RATE, DECAY, MOMENTUM = 0.1, 5e-4, 0.9
SHAPE = DataShape((3, 16, 16), 10, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SETTINGS = TrainingSettings.model_validate(
    {
        "loss": "cross-entropy",
        "optimizer": {
            **{"name": "sgd", "learning_rate": RATE, "weight_decay": DECAY, "momentum": MOMENTUM},
            **{"schedule": "cosine", "decay_steps": STEPS},
        },
        "batch_size": BATCH,
        **{"steps": 1000, "segment_steps": 1000, "evaluate_every": 1000},
    }
)
# Evaluations and snapshots at step 1, which is not timed, and never again.
RECIPE = SETTINGS.recipe().model_copy(
    update={"evaluations_per_decade": 0.01, "snapshots_per_decade": 0.01, "snapshot_change": 2.0}
)


class Recorded(Classification):
    """Cross-entropy that remembers what was minimised."""

    def __init__(self) -> None:
        super().__init__(loss="cross-entropy")
        self.losses: list[Tensor] = []

    def training_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        loss = super().training_loss(outputs, targets)
        if outputs.requires_grad:
            self.losses.append(loss.detach())
        return loss


def run() -> str:
    """Trainings in turn, and the least time of either. Raises AssertionError where the curves differ."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(10, 3, 16, 16, generator=generator)
    y = torch.randint(10, (IMAGES,), generator=generator)
    pixels = (128 * prototypes[y] + 127 * torch.rand(IMAGES, 3, 16, 16, generator=generator)).to(torch.uint8)
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        losses, seconds = zip(ours(pixels, y), plain(pixels, y), strict=True)
        for taken, one in zip(times, seconds, strict=True):
            taken.append(one)
        torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-3, atol=1e-4)
    mine, theirs = map(min, times)
    images = BATCH * (STEPS - 1)
    return (
        f"ResNet-18 of width 16 on 16x16 pixels, batch {BATCH}: {images / mine:.0f} images/s, plain torch with normalised "
        f"floats, channels last and fused SGD {images / theirs:.0f}, ratio {theirs / mine:.2f} (at least 1.0); the same losses, "
        f"{losses[0][0]:.2f} to {losses[0][-1]:.2f}"
    )


def new_model() -> ResNet:
    torch.manual_seed(0)
    return ResNet(SHAPE, depth=18, width=16, stem="3x3", norm="batch", preactivation=False)


def ours(pixels: Tensor, y: Tensor) -> tuple[list[float], float]:
    """By the project's loop, from pixels."""
    model, objective, moments = new_model(), Recorded(), []

    def note(segment: Segment) -> None:
        moments.append(time.process_time())

    examples = Examples(model.encode(pixels), y)
    few = examples[torch.arange(2)]
    splits = {"train": examples, "validation": few, "test": few}
    # A step more than is timed, for the last is followed by an evaluation.
    train(start(model, RECIPE.optimizer), splits, RECIPE, objective, seed=0, stop=STEPS + 1, on_step=note)
    return [loss.item() for loss in objective.losses[:STEPS]], moments[STEPS - 1] - moments[0]


def plain(pixels: Tensor, y: Tensor) -> tuple[list[float], float]:
    """By hand, from floats that are normalised beforehand, in the same order."""
    model = new_model().train()
    # Rounded as the model rounds them: a last bit grows a hundredfold in ten steps of this rate.
    mean, std = (255 * torch.tensor(values)[:, None, None] for values in (SHAPE.mean, SHAPE.std))
    x = ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    order = batches(Examples(x, y))
    losses, moments = [], []
    for _ in range(STEPS):
        index = next(order)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[index]), y[index])
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.detach())
        moments.append(time.process_time())
    return [loss.item() for loss in losses], moments[-1] - moments[0]


def batches(examples: Examples) -> Iterator[Tensor]:
    """The positions of the project's batches."""
    loader = DeviceLoader(examples, BATCH, 0, "order")
    epoch = 0
    while True:
        yield from loader.order(epoch)
        epoch += 1
