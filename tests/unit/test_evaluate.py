"""Evaluation of a model."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.classification import Classification
from grokforget.training.evaluate import BATCH, accuracy_and_loss, accuracy_of, evaluate, outputs_of, weight_norm


def test_weight_norm_is_euclidean_over_all_parameters() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 3.0]]))
        model.bias.fill_(6.0)
    assert weight_norm(model) == 7.0


def test_evaluation_keeps_the_mode_of_the_model() -> None:
    model, examples = (
        nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3)),
        Examples(torch.ones(5, 4), torch.zeros(5, dtype=torch.int64)),
    )
    objective = Classification(loss="mse")
    for mode in (True, False):
        model.train(mode)
        first, second = (accuracy_and_loss(model, examples, objective, objective.training_loss) for _ in range(2))
        assert first == second
        assert model.training is mode


class Counting(nn.Module):
    """A linear layer that notes how many examples each of its calls was given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(4, 3), list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append(len(x))
        return self.layer(x)


def examples(n: int) -> Examples:
    return Examples(torch.randn(n, 4), torch.arange(n) % 3)


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ((30, 300, 100), [430]),
        ((BATCH - 2, 0, 2, 5), [BATCH, 5]),
        ((7, 2 * BATCH, 1), [BATCH, BATCH, 8]),
        ((BATCH,), [BATCH]),
        ((2 * BATCH, BATCH), [BATCH] * 3),
        ((0,), [0]),
    ],
)
def test_sets_are_evaluated_in_one_pass_and_each_gets_its_own_outputs(sizes: tuple[int, ...], calls: list[int]) -> None:
    model, sets = Counting(), [examples(n).x for n in sizes]
    outputs = outputs_of(model, sets)
    assert model.calls == calls
    for x, given in zip(sets, outputs, strict=True):
        torch.testing.assert_close(given, model.layer(x))
        assert not given.requires_grad


def test_a_row_holds_accuracy_and_loss_of_every_split() -> None:
    model, objective = nn.Linear(4, 3), Classification(loss="mse")
    splits = {name: examples(n) for name, n in (("forget", 11), ("retain", 600), ("test", 90))}
    row = evaluate(model, splits, objective, nn.functional.cross_entropy)
    assert list(row) == [f"{split}_{what}" for split in splits for what in ("accuracy", "loss")]
    for split, given in splits.items():
        logits = model(given.x)
        assert row[f"{split}_accuracy"] == sum((logits.argmax(1) == given.y).tolist()) / len(given)
        assert row[f"{split}_loss"] == pytest.approx(nn.functional.cross_entropy(logits, given.y).item(), rel=1e-5)


def test_the_accuracy_of_no_examples_is_no_number() -> None:
    assert math.isnan(accuracy_of(nn.Linear(4, 3), examples(0), Classification(loss="mse")))
