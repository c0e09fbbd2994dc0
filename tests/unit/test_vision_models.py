"""The small vision transformer, torchvision's models by name, and the paper's CNN."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from grokforget.analyses.features import layers as cka_layers
from grokforget.analyses.features import outputs
from grokforget.analyses.modules import hidden_layers
from grokforget.config.data import Digits
from grokforget.config.models import CNN, MODELS, Model, ResNet, TorchvisionModel, ViT
from grokforget.config.setting import Setting
from grokforget.config.specs.base import TORCH
from grokforget.config.specs.runs import ModelSpec, TrainSpec, model_spec
from grokforget.config.torchvision_names import torchvision_names
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.data.torchvision_cpu import torchvision
from grokforget.methods.fisher_diagonal import fisher_diagonal
from grokforget.methods.last_layers import layers
from grokforget.models.build import build_model
from grokforget.models.fresh import fresh_copy
from grokforget.models.rescale import degrees
from grokforget.training.evaluate import weight_norm

SHAPE = DataShape((3, 8, 8), 4, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
PIXELS = torch.randint(256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
SMALL: dict[str, Model] = {
    "cnn": CNN(channels=[4], hidden=5),
    "resnet": ResNet(width=4),
    "vit": ViT(width=8, depth=2, heads=2),
    "torchvision": TorchvisionModel(name="shufflenet_v2_x0_5"),
}


def build(settings: Model, shape: DataShape = SHAPE, alpha: float = 1.0, seed: int = 0) -> nn.Module:
    return build_model(ModelSpec(**dict(settings.spec()), alpha=alpha), shape, seed)


@pytest.mark.parametrize("kind", SMALL)
def test_a_model_is_built_scaled_copied_and_looked_at_as_every_other(kind: str) -> None:
    settings = SMALL[kind]
    model, same, large = build(settings), build(settings), build(settings, alpha=3.0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(3 * a, b) for a, b in zip(model.parameters(), large.parameters(), strict=True))
    assert weight_norm(large) == pytest.approx(3 * weight_norm(model))
    x = model.encode(PIXELS)
    assert x.dtype is torch.uint8
    assert model.train()(x).shape == (5, 4)
    assert isinstance(model.get_submodule(model.output_layer), nn.Linear)
    assert len(layers(model)) > 2
    fresh = fresh_copy(model.eval(), seed=1)
    for (name, value), (_, statistics) in zip(fresh.named_buffers(), same.named_buffers(), strict=True):
        assert torch.equal(value, statistics), name
    moved = [not torch.equal(a, b) for a, b in zip(fresh.parameters(), model.parameters(), strict=True) if a.dim() > 1]
    assert all(moved)
    assert torch.equal(fresh(x), fresh_copy(same.eval(), seed=1)(x))
    assert MODELS[kind].homogeneous == (kind == "cnn")
    if kind != "cnn":
        with pytest.raises(TypeError, match="homogeneous"):
            degrees(model)


def by_hand(w: dict[str, Tensor], x: Tensor, patch: int, depth: int, heads: int, act: str) -> Tensor:
    """Example by example, position by position."""

    def norm(name: str, z: Tensor) -> Tensor:
        centred = z - z.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    def linear(name: str, z: Tensor) -> Tensor:
        return z @ w[f"{name}.weight"].T + w.get(f"{name}.bias", torch.zeros(()).double())

    rows = []
    for image in x:
        side = image.shape[1] // patch
        starts = [(i * patch, j * patch) for i in range(side) for j in range(side)]
        cut = [image[:, i : i + patch, j : j + patch].flatten() for i, j in starts]
        s = linear("patch", torch.stack(cut)) + w["position.weight"]
        for number in range(depth):
            at = f"blocks.{number}"
            h = norm(f"{at}.attention_norm", s)
            parts = [linear(f"{at}.{way}", h).chunk(heads, -1) for way in ("query", "key", "value")]
            mixed = []
            for q, k, v in zip(*parts, strict=True):
                scores = (q @ k.T / math.sqrt(q.shape[1])).exp()
                mixed.append(scores / scores.sum(1, keepdim=True) @ v)
            s = s + linear(f"{at}.merge", torch.cat(mixed, -1))
            h = linear(f"{at}.mlp_in", norm(f"{at}.mlp_norm", s))
            h = h.clamp(min=0) if act == "relu" else h * (1 + torch.erf(h / math.sqrt(2))) / 2
            s = s + linear(f"{at}.mlp_out", h)
        rows.append(linear("output", norm("norm", s).mean(0)))
    return torch.stack(rows)


@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_the_vision_transformer_is_its_formula(activation: str) -> None:
    model = build(ViT(patch=2, width=8, depth=2, heads=2, activation=activation)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel())) * 0.1
            )
    x = model.embed(PIXELS)
    torch.testing.assert_close(model(PIXELS), by_hand(model.state_dict(), x, 2, 2, 2, activation), rtol=1e-9, atol=1e-9)


def test_its_units_are_heads_and_neurons_and_its_features_those_of_its_activations() -> None:
    model = build(ViT(width=8, depth=2, heads=2))
    assert [(layer.name, layer.units) for layer in hidden_layers(model)] == [
        ("blocks.0.heads", 2),
        ("blocks.0.mlp_in", 16),
        ("blocks.1.heads", 2),
        ("blocks.1.mlp_in", 16),
    ]
    assert cka_layers(model) == ["blocks.0.activation", "blocks.1.activation", "representation"]
    features = outputs(model.double(), ["blocks.0.activation"], Examples(PIXELS, torch.zeros(5, dtype=torch.int64)))
    assert features["blocks.0.activation"].shape == (5, 4 * 16)


def test_its_fisher_diagonal_is_told_by_its_layers_and_is_that_of_single_examples() -> None:
    model = build(ViT(width=4, depth=1, heads=2)).double()
    expected = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x in PIXELS.split(1):
        log_p = functional.log_softmax(model(x), 1)[0]
        for value in log_p:
            gradients = torch.autograd.grad(value, list(model.parameters()), retain_graph=True)
            for (_, sum_), g in zip(expected.items(), gradients, strict=True):
                sum_ += value.detach().exp() * g.square() / len(PIXELS)
    found = fisher_diagonal(model, Examples(PIXELS, torch.zeros(5, dtype=torch.int64)))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-14, msg=name)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_torchvisions_models_give_torchvisions_outputs(name: str) -> None:
    shape = DataShape((3, 32, 32), 4, mean=SHAPE.mean, std=SHAPE.std)
    model = build(TorchvisionModel(name=name), shape).eval()
    theirs = torchvision().models.get_model(name, num_classes=4).eval()
    theirs.load_state_dict(model.network.state_dict())
    pixels = torch.randint(256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(values)[:, None, None] for values in (SHAPE.mean, SHAPE.std))
    torch.testing.assert_close(model(model.encode(pixels)), theirs((pixels / 255 - mean) / std), rtol=1e-3, atol=1e-4)
    assert not any(getattr(module, "inplace", False) for module in model.modules())
    assert model.get_submodule(model.output_layer).out_features == 4
    fresh = fresh_copy(model, seed=1)
    for name, own in model.named_parameters():
        if own.numel() > 5000:
            assert fresh.get_parameter(name).std().item() == pytest.approx(own.std().item(), rel=0.1), (
                "as torchvision draws it"
            )


def test_options_grey_images_and_attention_of_torchvisions() -> None:
    grey = DataShape((1, 32, 32), 4)
    narrow = TorchvisionModel(name="resnet50", options={"width_per_group": 8})
    assert build(narrow, grey)(torch.rand(2, 1, 32, 32)).shape == (2, 4)
    vit = build(TorchvisionModel(name="vit_b_32", options={"image_size": 32}), grey)
    assert vit.output_layer == "network.heads.head"


@pytest.mark.parametrize(
    ("settings", "shape", "words"),
    [
        (TorchvisionModel(name="squeezenet1_0"), (3, 32, 32), "no linear output layer"),
        (TorchvisionModel(name="alexnet"), (3, 8, 8), "images of 8x8 pixels do not pass torchvision's alexnet"),
        (TorchvisionModel(name="resnet18", options={"deep": 3}), (3, 8, 8), "cannot be built with .*deep"),
        (
            TorchvisionModel(name="googlenet", options={"init_weights": False}),
            (3, 32, 32),
            "add aux_logits: false to options",
        ),
        (TorchvisionModel(name="resnet18"), (2, 8, 8), "3 channels, or of one, not of 2"),
        (
            TorchvisionModel.model_construct(name="resnet19", options={}),
            (3, 8, 8),
            "no model 'resnet19'; it has: alexnet",
        ),
        (ViT(patch=3), (3, 8, 8), "8x8 pixels cannot be cut into patches of 3x3"),
    ],
)
def test_what_cannot_be_built_says_why(settings: Model, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(settings, DataShape(shape, 4))


def test_a_study_is_told_of_names_and_sizes_before_any_work() -> None:
    with pytest.raises(ValidationError, match=r"no such model of torchvision.*resnet19.*did you mean 'resnet18'"):
        TorchvisionModel(name="resnet19")
    with pytest.raises(ValidationError, match="num_classes"):
        TorchvisionModel(name="resnet18", options={"num_classes": 3})
    digits = Digits(train=100)
    assert ViT(patch=2).conflict_with(digits) is None
    assert ViT(patch=3).conflict_with(digits) == ("patches of 3 on images of 8 pixels", "a divisor of the images' size")
    assert ViT(width=9).conflict() == ("width 9 and heads 4", "a width that is a multiple of heads")


def test_torchvisions_names_are_known_without_importing_it() -> None:
    models = torchvision().models
    assert torchvision_names() == sorted(models.list_models(module=models))
    source = Path(__file__).parents[2] / "workflow" / "src"
    code = (
        f"import sys; sys.path.insert(0, {str(source)!r})\n"
        "from grokforget.config.models import TorchvisionModel\n"
        "TorchvisionModel(name='resnet18')\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_version_of_torchvision_counts_for_its_models_alone() -> None:
    for model, expected in ((TorchvisionModel(name="resnet18"), ("torchvision",)), (ResNet(), ())):
        spec = model_spec(Setting.model_construct(model=model, initialisation_scale=1.0))
        assert TrainSpec.model_construct(model=spec).decided_by() == (*TORCH, *expected)


@pytest.mark.parametrize(("side", "features"), [(16, 2), (32, 4)])
def test_the_papers_cnn_takes_both_sizes_of_cifar(side: int, features: int) -> None:
    model = build(CNN(channels=[32, 64, 128], hidden=256), DataShape((3, side, side), 10))
    convolutions = 3 * 32 * 9 + 32 + 32 * 64 * 9 + 64 + 64 * 128 * 9 + 128
    assert sum(p.numel() for p in model.parameters()) == convolutions + 128 * features**2 * 256 + 256 + 2570
    assert model(torch.rand(2, 3, side, side)).shape == (2, 10)
