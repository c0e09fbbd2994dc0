"""What a language model says of answers alone is what it says of them among everything else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.training.answer_logits import answer_logits
from grokforget.training.language import Language
from texts import VOCABULARY, TinyLM, texts

GIVEN = texts(7, seed=3)
ASKED = GIVEN.y != IGNORED


class Flat(nn.Module):
    """Its output layer is given tokens, not texts of them."""

    output_layer = "lm.lm_head"

    def __init__(self) -> None:
        super().__init__()
        self.lm = TinyLM()

    def forward(self, x: Tensor) -> Tensor:
        h = self.lm.embedding(x)
        return self.lm.lm_head(h.flatten(0, 1)).unflatten(0, x.shape)


class Unnamed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lm = TinyLM()

    def forward(self, x: Tensor) -> Tensor:
        return self.lm(x)


@pytest.mark.parametrize("model", [TinyLM(), Flat(), Unnamed()], ids=["texts", "tokens", "unnamed"])
def test_they_are_those_of_all_positions_one_text_behind_the_other(model: nn.Module) -> None:
    found = answer_logits(model, GIVEN.x, ASKED)
    assert found.shape == (ASKED.sum(), VOCABULARY)
    torch.testing.assert_close(found, model(GIVEN.x)[ASKED])
    assert model(GIVEN.x).shape == (*GIVEN.x.shape, VOCABULARY), "afterwards as before"


def test_the_output_layer_computes_no_others() -> None:
    model, given = TinyLM(), []
    model.lm_head.register_forward_hook(lambda module, inputs, output: given.append(len(output)))
    Language().outputs(model, GIVEN)
    assert given == [int(ASKED.sum())]


def test_a_model_that_fails_is_left_as_it_was() -> None:
    model = TinyLM()
    with pytest.raises(IndexError):
        answer_logits(model, GIVEN.x + VOCABULARY, ASKED)
    assert not model.lm_head._forward_pre_hooks


@pytest.mark.parametrize(
    "of",
    [
        "training_loss",
        "unlearning_loss",
        "token_losses",
        "sequence_losses",
        "example_losses",
        "digest",
        "correct",
        "confidences",
    ],
)
def test_every_loss_and_its_gradient_is_the_same_of_both(of: str) -> None:
    objective, model = Language(), TinyLM()
    found = []
    for outputs in (model(GIVEN.x), objective.outputs(model, GIVEN)):
        value = getattr(objective, of)(outputs, GIVEN.y)
        gradients = torch.autograd.grad(value.sum(), list(model.parameters())) if value.requires_grad else ()
        found.append((value, *gradients))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
