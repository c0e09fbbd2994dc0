"""Evaluation of a model."""

from __future__ import annotations

import torch
from torch import nn

from grokforget.data.loader import Examples
from grokforget.training.classification import Classification
from grokforget.training.evaluate import accuracy_and_loss, weight_norm


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
