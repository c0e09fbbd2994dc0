"""The objective of classification: plain torch to the bit in training, and exact at every margin in unlearning."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from grokforget.training.classification import Classification


def test_mean_squared_error_is_over_examples_and_classes() -> None:
    logits, labels = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([0, 1])
    loss = Classification(loss="mse").training_loss(logits, labels)
    assert loss.item() == pytest.approx((0 + 0 + 0.25 + 0.25) / 4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("loss", ["mse", "cross-entropy"])
def test_training_is_on_plain_torch_to_the_bit_and_unlearning_on_the_cross_entropy(
    loss: str, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(7, (101,), generator=generator)
    leaves = [torch.randn(101, 7, generator=torch.Generator().manual_seed(1), dtype=dtype) * 3 for _ in range(2)]
    ours, theirs = (leaf.requires_grad_() for leaf in leaves)
    objective = Classification(loss=loss)
    if loss == "mse":
        expected = nn.functional.mse_loss(theirs, nn.functional.one_hot(labels, 7).to(dtype))
    else:
        expected = nn.functional.cross_entropy(theirs, labels)
    got = objective.training_loss(ours, labels)
    for value in (got, expected):
        value.backward()
    assert got.dtype == dtype
    assert torch.equal(got, expected)
    assert torch.equal(ours.grad, theirs.grad)
    each = nn.functional.cross_entropy(theirs, labels, reduction="none")
    torch.testing.assert_close(objective.example_losses(ours, labels), each)
    torch.testing.assert_close(objective.unlearning_loss(ours, labels), each.mean())
    assert torch.equal(objective.correct(ours, labels), theirs.argmax(1) == labels)


def test_another_loss_is_refused() -> None:
    with pytest.raises(KeyError, match="hinge"):
        Classification(loss="hinge")


MARGINS = [5.0, 17.0, 25.0, 60.0]


@pytest.mark.parametrize("margin", [*MARGINS, *(-margin for margin in MARGINS)])
def test_the_unlearning_loss_and_its_gradient_keep_their_digits_in_float32(margin: float) -> None:
    """Against float64 arithmetic of the odds: the loss is log(1 + r), its gradient (r_k / (1 + r)) by the other logits."""
    logits = torch.tensor([[0.5, margin + 2, 2.0]], requires_grad=True)
    objective, label = Classification(loss="mse"), torch.tensor([1])
    z = [float(value) for value in logits[0].detach()]
    odds = [math.exp(z[0] - z[1]), math.exp(z[2] - z[1])]
    (loss,) = objective.example_losses(logits, label)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(sum(odds)), rel=1e-5)
    (gradient,) = torch.autograd.grad(objective.unlearning_loss(logits, label), logits)
    others = [each / (1 + sum(odds)) for each in odds]
    expected = torch.tensor([others[0], -sum(others), others[1]], dtype=torch.float64)
    torch.testing.assert_close(gradient[0].double(), expected, rtol=1e-5, atol=0)
    cosine = (gradient[0].double() @ expected) / (gradient[0].double().norm() * expected.norm())
    assert cosine.item() == pytest.approx(1, abs=1e-10)


def test_the_confidence_that_the_loss_of_a_margin_of_25_says_is_25() -> None:
    loss = Classification(loss="mse").example_losses(torch.tensor([[25.0, 0.0]]), torch.tensor([0])).double()
    assert (-torch.log(torch.expm1(loss))).item() == pytest.approx(25, rel=1e-6)
