"""The transformer's short cuts change nothing: all its forwards are the plain function."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from grokforget.data.shape import DataShape
from grokforget.models.transformer import Transformer

VOCABULARY, CLASSES, HEADS = 7, 5, 2
PAIRS = torch.tensor([[0, 0], [1, 2], [2, 1], [6, 6], [3, 0], [1, 2]])


def make(layers: int) -> Transformer:
    shape = DataShape((2,), CLASSES, VOCABULARY)
    model = Transformer(shape, layers=layers, width=8, heads=HEADS, mlp_width=12).double()
    generator = torch.Generator().manual_seed(layers)
    with torch.no_grad():
        for parameter in model.parameters():  # biases too, which start at 0
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model


def by_hand(model: Transformer, pair: Tensor) -> Tensor:
    """Logits of one pair (a, b, =): every layer, position and head in a loop."""
    w = dict(model.named_parameters())
    tokens = [*pair.tolist(), VOCABULARY]
    stream = [w["token.weight"][token] + w["position.weight"][t] for t, token in enumerate(tokens)]
    for layer in range(len(model.blocks)):
        block = {name: w[f"blocks.{layer}.{name}"] for name, _ in model.blocks[layer].named_parameters()}
        after = []
        for t, residual in enumerate(stream):
            heads = []
            for rows in torch.arange(len(residual)).chunk(HEADS):
                query = block["query.weight"][rows] @ residual
                seen = stream[: t + 1]
                scores = [query @ (block["key.weight"][rows] @ s) / math.sqrt(len(rows)) for s in seen]
                powers = [score.exp() for score in scores]
                values = [block["value.weight"][rows] @ s for s in seen]
                heads.append(sum(p * v for p, v in zip(powers, values, strict=True)) / sum(powers))
            x = residual + block["merge.weight"] @ torch.cat(heads)
            hidden = (block["mlp_in.weight"] @ x + block["mlp_in.bias"]).clamp(min=0)
            after.append(x + block["mlp_out.weight"] @ hidden + block["mlp_out.bias"])
        stream = after
    return w["output.weight"] @ stream[-1]


def gradients(model: Transformer, logits: Tensor) -> dict[str, Tensor]:
    labels = torch.arange(len(logits)) % CLASSES
    loss = torch.nn.functional.cross_entropy(logits, labels)
    return dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("form", ["forward", "forward_plain", "per_example_forward"])
def test_every_form_computes_causal_attention_as_written_out_by_hand(form: str, layers: int) -> None:
    model = make(layers)
    expected = torch.stack([by_hand(model, pair) for pair in PAIRS])
    torch.testing.assert_close(getattr(model, form)(PAIRS), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("form", ["forward", "per_example_forward"])
def test_every_form_has_the_gradients_of_the_plain_forward(form: str, layers: int) -> None:
    model = make(layers)
    got, expected = gradients(model, getattr(model, form)(PAIRS)), gradients(model, model.forward_plain(PAIRS))
    assert all(expected[name].abs().max() > 1e-3 for name in expected), "a gradient of 0 would test nothing"
    for name in expected:
        torch.testing.assert_close(got[name], expected[name], rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("layers", [1, 2])
def test_forms_agree_in_float32(layers: int) -> None:
    model = make(layers).float()
    plain = model.forward_plain(PAIRS)
    torch.testing.assert_close(model(PAIRS), plain, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.per_example_forward(PAIRS), plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_an_example_does_not_depend_on_its_batch(layers: int) -> None:
    model = make(layers)
    alone = torch.cat([model(pair[None]) for pair in PAIRS])
    torch.testing.assert_close(model(PAIRS), alone, rtol=0, atol=1e-12)


def test_the_order_of_a_pair_matters() -> None:
    model = make(1)
    assert (model(PAIRS[1:2]) - model(PAIRS[2:3])).abs().max() > 1e-3
