"""An evaluation of forget, retain and test set: in one pass in batches that fit the cache, or set by set in large ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.timing import processor_seconds
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification
from grokforget.training.evaluate import evaluate

SIZES = {"forget": 30, "retain": 270, "test": 1000}
LARGE = 4096


def run() -> str:
    """Median of 30 evaluations each, in turn: the laptop study's digits models."""
    torch.manual_seed(0)
    shape = DataShape((1, 8, 8), 10)
    models = {
        "CNN": CNN(shape, channels=[32, 32], kernel_size=3, hidden=128),
        "MLP": MLP(shape, hidden=[200, 200], activation="relu", bias=True, initialisation="default"),
    }
    return "\n".join(ratio(name, model) for name, model in models.items())


def ratio(name: str, model: nn.Module) -> str:
    objective = Classification(loss="mse")
    splits = {
        split: Examples(model.encode(torch.rand(n, 1, 8, 8)), torch.randint(10, (n,))) for split, n in SIZES.items()
    }

    def ours() -> None:
        evaluate(model, splits, objective, objective.unlearning_loss)

    @torch.no_grad()
    def set_by_set() -> list[Tensor]:
        losses = []
        for examples in splits.values():
            model.eval()
            outputs = torch.cat([model(part) for part in examples.x.split(LARGE)])
            losses += [objective.correct(outputs, examples.y), objective.unlearning_loss(outputs, examples.y)]
            model.train()
        return losses

    one, three = processor_seconds([ours, set_by_set], 30)
    return (
        f"evaluation of the {name}: {1e3 * one:.2f} ms in one pass, {1e3 * three:.2f} ms set by set in batches of {LARGE}, "
        f"ratio {one / three:.2f}"
    )
