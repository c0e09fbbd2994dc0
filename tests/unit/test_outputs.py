"""What a model says of every example, to the last digit of float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.training.classification import Classification
from grokforget.training.outputs import confidences, outputs_by_split, per_example

OBJECTIVE = Classification(loss="cross-entropy")


class Says(nn.Module):
    """A model whose logits are its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def said(logits: list[list[float]], labels: list[int]) -> dict[str, np.ndarray]:
    return per_example(Says(), Examples(torch.tensor(logits), torch.tensor(labels)), OBJECTIVE)


@pytest.mark.parametrize("margin", [0.0, 1.0, 16.0, 25.0, 60.0, 500.0])
def test_confidence_and_loss_keep_their_digits_at_any_margin(margin: float) -> None:
    found = said([[margin, 0.0], [margin, 0.0], [margin, -math.log(2)]], [0, 1, 0])
    second = float(np.float32(math.log(2)))
    np.testing.assert_allclose(found["confidence"], [margin, -margin, margin + second], rtol=1e-15)
    np.testing.assert_allclose(
        found["loss"],
        [math.log1p(math.exp(-margin)), margin + math.log1p(math.exp(-margin)), math.log1p(math.exp(-margin - second))],
        rtol=1e-12,
    )
    assert found["confidence"].dtype == found["loss"].dtype == np.float64
    assert (found["loss"] > 0).all()


def test_among_several_classes_it_is_the_right_one_against_all_others_together() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = 5 * torch.randn(40, 7, generator=generator), torch.arange(40) % 7
    found = per_example(Says(), Examples(logits, labels), OBJECTIVE)
    p = torch.softmax(logits.double(), 1)[torch.arange(40), labels].numpy()
    np.testing.assert_allclose(found["confidence"], np.log(p / (1 - p)), rtol=1e-9)
    np.testing.assert_allclose(found["loss"], -np.log(p), rtol=1e-12)
    assert found["correct"].tolist() == (logits.argmax(1) == labels).tolist()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 1, 2])
def test_an_example_with_an_output_that_is_not_finite_has_no_confidence(value: float, where: int) -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    logits[1, where] = value
    found = per_example(Says(), Examples(logits, torch.tensor([0, 1])), OBJECTIVE)
    for name in ("confidence", "loss"):
        assert np.isnan(found[name]).tolist() == [False, True]
    assert confidences(logits, torch.tensor([0, 1]), OBJECTIVE).isnan().tolist() == [False, True]


def test_a_row_an_example_in_the_order_of_the_splits() -> None:
    x = torch.tensor([[30.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    splits = {"test": Examples(x, torch.tensor([0, 0, 0])), "forget": Examples(x[:1], torch.tensor([1]))}
    table = outputs_by_split(Says(), splits, OBJECTIVE)
    assert list(table.columns) == ["split", "label", "confidence", "loss", "correct"]
    assert table.split.tolist() == ["test"] * 3 + ["forget"]
    assert table.confidence.tolist() == [30, -1, 2, -30]
    assert table.correct.tolist() == [True, False, True, False]
