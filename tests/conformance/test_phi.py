"""The Phi architecture against a plain loop over layers, positions and heads, and against ``transformers``."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.models import Phi as Settings
from grokforget.config.specs.runs import ModelSpec
from grokforget.data.shape import DataShape
from grokforget.data.torchvision_cpu import torchvision
from grokforget.models.build import build_model
from grokforget.models.fresh import fresh_copy
from grokforget.models.phi import Phi

VOCABULARY, LONGEST = 40, 12
SETTINGS = Settings(layers=2, width=24, heads=3, mlp_width=40)
TOKENS = torch.randint(VOCABULARY, (5, LONGEST), generator=torch.Generator().manual_seed(0))


def make(settings: Settings = SETTINGS, seed: int = 1) -> Phi:
    return build_model(ModelSpec(**dict(settings.spec())), DataShape((LONGEST,), 4, VOCABULARY), seed)


def stirred(model: Phi) -> Phi:
    """With weights large enough that every part matters, biases and norms too, which start at 0 and 1."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def by_hand(model: Phi, tokens: list[int]) -> Tensor:
    """Logits (T, V) of one text: every layer, position and head in a loop."""
    w = {name: value.detach().double() for name, value in model.named_parameters()}
    size = SETTINGS.width // SETTINGS.heads
    turned = int(SETTINGS.partial_rotary * size)

    def normed(x: Tensor, name: str) -> Tensor:
        mean, variance = x.mean(), ((x - x.mean()) ** 2).mean()
        return (x - mean) / torch.sqrt(variance + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def affine(x: Tensor, name: str) -> Tensor:
        return w[f"{name}.weight"] @ x + w[f"{name}.bias"]

    def rotated(head: Tensor, position: int) -> Tensor:
        out = head.clone()
        for i in range(turned // 2):
            angle = position / 10_000 ** (2 * i / turned)
            a, b = head[i], head[i + turned // 2]
            out[i] = a * math.cos(angle) - b * math.sin(angle)
            out[i + turned // 2] = b * math.cos(angle) + a * math.sin(angle)
        return out

    stream = [w["model.embed_tokens.weight"][token] for token in tokens]
    for layer in range(SETTINGS.layers):
        at = f"model.layers.{layer}"
        entering = [normed(x, f"{at}.input_layernorm") for x in stream]
        q, k, v = ([affine(x, f"{at}.self_attn.{p}_proj") for x in entering] for p in "qkv")
        after = []
        for t, x in enumerate(entering):
            heads = []
            for rows in torch.arange(SETTINGS.width).split(size):
                scores = torch.stack(
                    [rotated(q[t][rows], t) @ rotated(k[s][rows], s) / math.sqrt(size) for s in range(t + 1)]
                )
                share = scores.exp() / scores.exp().sum()
                heads.append(sum(share[s] * v[s][rows] for s in range(t + 1)))
            z = affine(x, f"{at}.mlp.fc1")
            gelu = 0.5 * z * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
            attention = affine(torch.cat(heads), f"{at}.self_attn.dense")
            after.append(stream[t] + attention + affine(gelu, f"{at}.mlp.fc2"))
        stream = after
    return torch.stack([affine(normed(x, "model.final_layernorm"), "lm_head") for x in stream])


def test_it_is_the_plain_function() -> None:
    model = stirred(make()).eval()
    found = model.double()(TOKENS)
    for row, tokens in zip(found, TOKENS.tolist(), strict=True):
        torch.testing.assert_close(row, by_hand(model, tokens), rtol=1e-6, atol=1e-6)


def test_what_stands_behind_a_token_has_no_part_in_its_output() -> None:
    """So pads on the right need no mask."""
    model = stirred(make()).eval()
    other = TOKENS.clone()
    other[:, 7:] = 0
    torch.testing.assert_close(model(other)[:, :7], model(TOKENS)[:, :7], rtol=0, atol=1e-5)
    torch.testing.assert_close(model(TOKENS[:, :7]), model(TOKENS)[:, :7], rtol=0, atol=1e-5)
    assert not torch.allclose(model(other)[:, 7:], model(TOKENS)[:, 7:])


def test_weights_are_drawn_as_transformers_draws_them() -> None:
    model = make(Settings(layers=1, width=128, heads=4, mlp_width=512))
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert (value == 0).all()
        elif "layernorm" in name:
            assert (value == 1).all()
        else:
            assert value.std().item() == pytest.approx(0.02, rel=0.05)
            assert abs(value.mean().item()) < 2e-3
    again, fresh = make(), fresh_copy(stirred(make()), seed=5)
    assert all(torch.equal(a, b) for a, b in zip(make().parameters(), again.parameters(), strict=True))
    assert fresh.lm_head.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert (fresh.model.final_layernorm.weight == 1).all()


def test_it_says_what_does_not_fit() -> None:
    assert Settings(width=10, heads=4).conflict()
    assert Settings(width=12, heads=4).conflict() == (
        "partial_rotary 0.5 of heads of 3",
        "a share that is an even number of it",
    )
    assert Settings().conflict() is None
    with pytest.raises(ValueError, match="needs texts"):
        build_model(ModelSpec(**dict(SETTINGS.spec())), DataShape((2,), 4), 0)


def of_transformers(settings: Settings) -> nn.Module:
    with suppress(ImportError):
        # transformers imports it too, which a build for another torch would not survive.
        torchvision()
    transformers = pytest.importorskip(
        "transformers", reason="transformers is an extra; without it the comparison with PhiForCausalLM cannot be made"
    )
    config = transformers.PhiConfig(
        vocab_size=VOCABULARY,
        hidden_size=settings.width,
        intermediate_size=settings.mlp_width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        partial_rotary_factor=settings.partial_rotary,
        pad_token_id=None,
        bos_token_id=None,
        eos_token_id=None,
    )
    return transformers.PhiForCausalLM(config).float().eval()


@pytest.mark.parametrize(
    "settings", [SETTINGS, Settings(layers=3, width=64, heads=2, mlp_width=96, partial_rotary=0.25)]
)
def test_weights_and_outputs_are_those_of_transformers(settings: Settings) -> None:
    theirs, ours = of_transformers(settings), stirred(make(settings)).eval()
    assert {n: v.shape for n, v in theirs.state_dict().items()} == {n: v.shape for n, v in ours.state_dict().items()}
    theirs.load_state_dict(ours.state_dict())
    with torch.no_grad():
        expected, found = theirs(TOKENS).logits, ours(TOKENS)
    assert (found - expected).abs().max() <= 5e-6 * max(1.0, expected.abs().max().item())
    targets = TOKENS.roll(-1, 1)
    for model, outputs in ((theirs, theirs(TOKENS).logits), (ours, ours(TOKENS))):
        nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten()).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
    for (name, mine), its in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-4, atol=5e-6, msg=name)
