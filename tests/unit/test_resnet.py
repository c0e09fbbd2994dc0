"""The residual network against torchvision's and against a plain calculation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.config.data import Digits, Modular
from grokforget.config.models import ResNet as Settings
from grokforget.config.specs.runs import ModelSpec
from grokforget.data.shape import DataShape
from grokforget.data.torchvision_cpu import torchvision
from grokforget.methods.last_layers import layers
from grokforget.models.build import build_model
from grokforget.models.fresh import fresh_copy
from grokforget.models.resnet import ResNet

SMALL = DataShape((3, 8, 8), 4, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


def build(shape: DataShape = SMALL, **settings: object) -> ResNet:
    chosen = Settings(**{"width": 4, **settings}).spec()
    model: ResNet = build_model(ModelSpec(**dict(chosen)), shape, seed=0)
    return model


def shaken(model: nn.Module) -> nn.Module:
    """With weights and statistics of which no two are alike."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
            elif value.is_floating_point():
                value.add_(torch.randn(value.shape, generator=generator) * 0.1)
    return model.eval()


def torchvisions_name(name: str) -> str:
    """Ours → torchvision's name of a weight or a statistic."""
    part, _, rest = name.partition(".")
    if part == "output":
        return f"fc.{rest}"
    if part == "stem":
        position, key = rest.split(".")
        return f"{['conv1', 'bn1'][int(position)]}.{key}"
    stage, block, way, position, key = rest.split(".")
    place = f"layer{int(stage) + 1}.{block}"
    if way == "shortcut":
        return f"{place}.downsample.{position}.{key}"
    number, of_norm = divmod(int(position), 3)
    return f"{place}.{'bn' if of_norm else 'conv'}{number + 1}.{key}"


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_weights_give_torchvisions_outputs(depth: int) -> None:
    shape = DataShape((3, 64, 48), 7)
    ours = shaken(build(shape, depth=depth, width=64, stem="7x7")).double()
    theirs = getattr(torchvision().models, f"resnet{depth}")(num_classes=7).double().eval()
    renamed = {torchvisions_name(name): value for name, value in ours.state_dict().items()}
    theirs.load_state_dict(renamed)
    x = torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-10)


def test_the_standard_one_for_cifar_has_as_many_parameters_as_is_published() -> None:
    model = build(DataShape((3, 32, 32), 10), width=64)
    assert sum(p.numel() for p in model.parameters()) == 11_173_962
    assert model.from_embedding(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def normalised(w: dict[str, Tensor], name: str, x: Tensor, norm: str) -> Tensor:
    if norm == "none":
        return x
    if norm == "batch":
        mean, variance = w[f"{name}.running_mean"][:, None, None], w[f"{name}.running_var"][:, None, None]
    else:
        groups = x.unflatten(1, (min(x.shape[1] // 2, 32), -1))
        spread = groups.var((2, 3, 4), unbiased=False, keepdim=True)
        mean = groups.mean((2, 3, 4), keepdim=True).expand_as(groups).flatten(1, 2)
        variance = spread.expand_as(groups).flatten(1, 2)
    scale, shift = w[f"{name}.weight"][:, None, None], w[f"{name}.bias"][:, None, None]
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def by_hand(w: dict[str, Tensor], x: Tensor, norm: str, bottleneck: bool, preactivation: bool) -> Tensor:
    """The network block by block."""

    def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = w[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def relu(name: str, x: Tensor) -> Tensor:
        return normalised(w, name, x, norm).clamp(min=0)

    x = conv("stem.0", x)
    if not preactivation:
        x = relu("stem.1", x)
    counts = (3, 4, 6, 3) if bottleneck else (2, 2, 2, 2)
    for stage, count in enumerate(counts):
        for number in range(count):
            at, stride = f"stages.{stage}.{number}", 2 if stage and not number else 1
            h = relu(f"{at}.before.0", x) if preactivation else x
            beside = conv(f"{at}.shortcut.0", h, stride) if f"{at}.shortcut.0.weight" in w else x
            if not preactivation and beside is not x:
                beside = normalised(w, f"{at}.shortcut.1", beside, norm)
            strides = [1, stride, 1] if bottleneck else [stride, 1]
            for position, step in enumerate(strides):
                h = conv(f"{at}.branch.{3 * position}", h, step)
                if position < len(strides) - 1:
                    h = relu(f"{at}.branch.{3 * position + 1}", h)
            if preactivation:
                x = h + beside
            else:
                x = (normalised(w, f"{at}.branch.{3 * len(strides) - 2}", h, norm) + beside).clamp(min=0)
    if preactivation:
        x = relu("last.0", x)
    return x.flatten(2).sum(2) / x[0, 0].numel() @ w["output.weight"].T + w["output.bias"]


@pytest.mark.parametrize("preactivation", [False, True])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("depth", [18, 50])
def test_every_variant_is_what_its_blocks_are(depth: int, norm: str, preactivation: bool) -> None:
    model = shaken(build(SMALL, depth=depth, norm=norm, preactivation=preactivation)).double()
    pixels = torch.randint(256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    x = (pixels / 255.0 - torch.tensor(SMALL.mean)[:, None, None]) / torch.tensor(SMALL.std)[:, None, None]
    expected = by_hand(model.state_dict(), x.double(), norm, depth == 50, preactivation)
    assert expected.std() > 1e-3
    torch.testing.assert_close(model(model.encode(pixels)), expected, rtol=1e-4, atol=1e-5)
    assert all(p.dim() != 1 for name, p in model.named_parameters() if norm == "none" and not name.startswith("output"))
    relus = [module for module in model.modules() if isinstance(module, nn.ReLU)]
    seen: list[nn.Module] = []
    for module in relus:
        module.register_forward_hook(lambda module, args, output: seen.append(module))
    model(model.encode(pixels))
    assert len(seen) == len(set(seen)) == len(relus) == (17 if depth == 18 else 49)
    assert not any(module.inplace for module in relus)


def test_without_norms_nothing_grows_from_block_to_block() -> None:
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for norm, low, high in (("none", 1e-3, 1.0), ("batch", 1.0, 1e9)):
        model = build(DataShape((3, 32, 32), 10), depth=34, width=16, norm=norm).eval()
        size = model.stages(model.stem(x)).std()
        assert low < size < high, norm


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_fresh_weights_are_those_of_a_new_model(norm: str) -> None:
    model = build(norm=norm)
    other = fresh_copy(shaken(build(norm=norm)), seed=0)
    expected = fresh_copy(model, seed=0)
    for (name, value), (_, own) in zip(other.state_dict().items(), expected.state_dict().items(), strict=True):
        assert torch.equal(value, own), name
    spread = {name: p.std() for name, p in model.named_parameters() if p.dim() == 4 and p.numel() > 500}
    for name, value in spread.items():
        assert 0.9 < other.get_parameter(name).std() / value < 1.1, name
    assert not torch.equal(model.stem[0].weight, other.stem[0].weight)


@pytest.mark.parametrize("preactivation", [False, True])
def test_its_last_layers_are_those_that_an_example_passes_last(preactivation: bool) -> None:
    model = build(preactivation=preactivation)
    found = layers(model)
    names = {module: name for name, module in model.named_modules()}
    order = [names[layer[0]] for layer in found]
    assert order[:2] == ["stem.0", "stages.0.0.branch.0"]
    assert order[-3:] == ["stages.3.1.branch.0", "stages.3.1.branch.3", "output"]
    assert len(order) == 18 + 3
    parameters = [p for layer in found for module in layer for p in module.parameters(recurse=False)]
    assert len(parameters) == len(list(model.parameters()))


def test_what_does_not_fit_is_said_before_any_work() -> None:
    digits = Digits(train=100)
    assert Settings().conflict_with(digits) is None
    assert Settings(stem="7x7").conflict_with(digits) == ("a 7x7 stem on images of 8 pixels", "32 pixels or more")
    assert Settings().conflict_with(Modular(modulus=7, train_fraction=0.5)) == ("a resnet on tokens", "data of images")
    with pytest.raises(ValueError, match="32 pixels or more, not 8x8"):
        build(stem="7x7")
    with pytest.raises(ValueError, match="channels, height, width"):
        build(DataShape((5,), 3))
