"""The objective of classification is plain torch to the bit."""

from __future__ import annotations

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
def test_classification_is_plain_torch_to_the_bit(loss: str, dtype: torch.dtype) -> None:
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
    assert torch.equal(objective.unlearning_loss(ours, labels), nn.functional.cross_entropy(theirs, labels))
    each = nn.functional.cross_entropy(theirs, labels, reduction="none")
    assert torch.equal(objective.example_losses(ours, labels), each)
    assert torch.equal(objective.correct(ours, labels), theirs.argmax(1) == labels)


def test_another_loss_is_refused() -> None:
    with pytest.raises(KeyError, match="hinge"):
        Classification(loss="hinge")
