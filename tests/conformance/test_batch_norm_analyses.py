"""The analyses on networks with batch norm, in eval mode with running statistics, against plain calculations example by
example; and that all of them run on a small residual network of pixels and leave it as it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from conformance import plain
from grokforget.analyses.ablation import ablation, remove
from grokforget.analyses.base import Probe, Value
from grokforget.analyses.distance import distance
from grokforget.analyses.features import layers as cka_layers
from grokforget.analyses.features import outputs
from grokforget.analyses.gradient_alignment import gradient_alignment
from grokforget.analyses.layer_gradients import gradients
from grokforget.analyses.local_complexity import crossings
from grokforget.analyses.module_model import gradient_products
from grokforget.analyses.modules import hidden_layers
from grokforget.analyses.relearning import trained
from grokforget.analyses.robustness import robustness
from grokforget.analyses.sharpness import sharpness
from grokforget.config.analyses import ANALYSES
from grokforget.config.training import OptimizerSpec, RecipeSpec
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.resnet import ResNet
from grokforget.runtime.components import load_implementation
from grokforget.training.classification import Classification

CLASSES = 3
SHAPE = DataShape((3, 8, 8), CLASSES, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
CE = Classification(loss="cross-entropy")


def shaken(model: nn.Module) -> nn.Module:
    """With statistics and norms unlike those of a new model."""
    generator = torch.Generator().manual_seed(3)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                values.data = 0.5 + torch.rand(values.shape, generator=generator).to(values)
            for values in (module.bias, module.running_mean):
                values.data = 0.3 * torch.randn(values.shape, generator=generator).to(values)
    return model.eval()


def net() -> nn.Sequential:
    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)]
    model = nn.Sequential(*convolutions, nn.ReLU(), nn.Flatten(), nn.Linear(20, CLASSES))
    model.output_layer = "7"
    return shaken(model)


def forward(w: dict[str, Tensor], x: Tensor, seen: list[Tensor] | None = None) -> Tensor:
    """The net by hand, with its running statistics; ``seen`` gets what enters the ReLUs."""
    for conv, norm in (("0", "1"), ("3", "4")):
        x = functional.conv2d(x, w[f"{conv}.weight"], w.get(f"{conv}.bias"))
        of = {key: w[f"{norm}.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias")}
        x = (x - of["running_mean"]) / (of["running_var"] + 1e-5).sqrt() * of["weight"] + of["bias"]
        if seen is not None:
            seen.append(x)
        x = x.clamp(min=0)
    return x.flatten(1) @ w["7.weight"].T + w["7.bias"]


def some(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    return Examples(torch.rand(n, 3, 6, 6, generator=generator), torch.randint(CLASSES, (n,), generator=generator))


SETS = {"forget": some(5, 1), "retain": some(9, 2), "validation": some(4, 3), "test": some(8, 4)}
RECIPE = RecipeSpec.model_construct(
    batch_size=4,
    optimizer=OptimizerSpec.model_construct(
        name="sgd", learning_rate=0.05, weight_decay=0.01, momentum=0.9, nesterov=False
    ),
)


def probe(model: nn.Module | None = None, **changes: object) -> Probe:
    return Probe(
        **({"model": model or net(), "examples": SETS, "objective": CE, "seed": 0, "recipe": RECIPE} | changes)
    )


def by_name(values: list[Value]) -> dict[tuple[str, str], float]:
    return {(value.measure, value.part): value.value for value in values}


def doubles(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.double() for name, value in model.state_dict().items()}


def one_by_one(state: dict[str, Tensor], examples: Examples) -> list[dict[str, Tensor]]:
    """Each example's gradient of its cross-entropy by every parameter."""
    statistics = {name: value for name, value in state.items() if "running" in name or "tracked" in name}
    weights = {name: value for name, value in state.items() if name not in statistics}
    found = []
    for x, y in zip(examples.x.double().split(1), examples.y.split(1), strict=True):

        def loss(w: dict[str, Tensor], x: Tensor = x, y: Tensor = y) -> Tensor:
            return plain.cross_entropy(forward({**statistics, **w}, x), y)

        found.append(plain.gradient(loss, weights))
    return found


def test_mean_gradients_and_their_cosines_are_those_of_single_examples() -> None:
    got = by_name(gradient_alignment(probe(), examples=50, batches=2, batch_size=3, pairs=4))
    state = doubles(net())
    parts = {name: one_by_one(state, SETS[name]) for name in ("forget", "retain")}
    for layer in ("", "0", "1", "3", "4", "7"):
        mean = {}
        for name, each in parts.items():
            rows = [torch.cat([g.flatten() for key, g in one.items() if key.startswith(layer)]) for one in each]
            mean[name] = torch.stack(rows).mean(0)
            assert got[f"{name}_gradient_norm", layer] == pytest.approx(mean[name].norm().item(), rel=1e-9)
        expected = mean["forget"] @ mean["retain"] / (mean["forget"].norm() * mean["retain"].norm())
        assert got["gradient_cosine", layer] == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_lengths_and_products_of_a_norms_gradients_are_those_of_single_examples(norm: str) -> None:
    torch.manual_seed(1)
    kinds = {"batch": nn.BatchNorm2d(4), "group": nn.GroupNorm(2, 4), "layer": nn.LayerNorm((4, 4))}
    model = nn.Sequential(nn.Conv2d(3, 4, 3), kinds[norm], nn.Tanh(), nn.Flatten(), nn.Linear(64, CLASSES))
    with torch.no_grad():
        for parameter in model[1].parameters():
            parameter.add_(torch.randn(parameter.shape))
    model = shaken(model).double()
    data = Examples(SETS["test"].x.double(), SETS["test"].y)
    rows = []
    for x, y in zip(data.x.split(1), data.y.split(1), strict=True):
        parts = torch.autograd.grad(plain.cross_entropy(model(x), y), list(model[1].parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    expected = torch.stack(rows)
    got = gradients(model, data, CE)["1"]
    torch.testing.assert_close(got.squared_norms(), expected.square().sum(1), rtol=1e-9, atol=0)
    torch.testing.assert_close(got.products(got), expected @ expected.T, rtol=1e-9, atol=1e-12)


def test_features_are_those_after_norm_and_relu_by_running_statistics() -> None:
    data, seen = Examples(SETS["test"].x.double(), SETS["test"].y), []
    forward(doubles(net()), data.x, seen)
    got = outputs(net().double(), cka_layers(net()), data)
    assert list(got) == ["2", "5", "representation"]
    for name, entering in zip(("2", "5", "representation"), (*seen, seen[1]), strict=True):
        torch.testing.assert_close(got[name], entering.clamp(min=0).flatten(1), rtol=1e-9, atol=1e-12)


def test_sign_changes_are_those_of_one_vertex_after_the_other() -> None:
    model, state = net().double(), doubles(net())
    x = SETS["test"].x.double()
    offsets = 0.2 * torch.randn(6, *x.shape[1:], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    got = crossings(model, model, x, offsets)
    for position, name in enumerate(("2", "5")):
        expected = []
        for point in x:
            signs = []
            for offset in offsets:
                seen: list[Tensor] = []
                forward(state, (point + offset)[None], seen)
                signs.append(seen[position].flatten() > 0)
            expected.append(sum(int(len(set(neuron)) == 2) for neuron in torch.stack(signs).T.tolist()))
        assert sum(expected) > 0
        assert got[name].tolist() == expected


def test_a_unit_is_a_channel_with_its_norm_and_its_products_are_those_of_single_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = net().double()
    units = [(layer.name, layer.units, [part.parameter for part in layer.parts]) for layer in hidden_layers(model)]
    assert units == [
        ("0", 4, ["0.weight", "1.weight", "1.bias"]),
        ("3", 5, ["3.weight", "3.bias", "4.weight", "4.bias"]),
    ]
    data = Examples(SETS["retain"].x.double(), SETS["retain"].y)
    each = one_by_one(doubles(net()), data)
    expected = []
    for _, count, names in units:
        for unit in range(count):
            rows = torch.stack([torch.cat([one[name][unit].flatten() for name in names]) for one in each])
            expected.append(rows @ rows.T)
    rest = torch.stack([torch.cat([one["7.weight"].flatten(), one["7.bias"]]) for one in each])
    for held in (1, 2**25):
        monkeypatch.setattr("grokforget.analyses.module_model.HELD_FLOATS", held)
        products, others = gradient_products(model, data, CE, whole_layers=False)
        torch.testing.assert_close(products, torch.stack(expected), rtol=1e-9, atol=1e-14)
        torch.testing.assert_close(others, rest @ rest.T, rtol=1e-9, atol=1e-14)


def test_a_removed_channel_gives_nothing_and_not_the_constant_of_its_norm() -> None:
    model, x = net(), SETS["test"].x
    second = hidden_layers(model)[1]
    with torch.no_grad():
        channels = model[:6](x)
        channels[:, [1, 3]] = 0
        expected = model[6:](channels)
        remove(model, second, torch.tensor([1, 3]))
        torch.testing.assert_close(model(x), expected)
    assert model[4].bias[0] != 0


def test_accuracies_without_units_are_taken_over_as_many_examples_as_are_asked_for() -> None:
    settings = {"units": ["all"], "shares": [0.3], "draws": 1, "examples": 9}
    right = forward(doubles(net()), SETS["test"].x.double()).argmax(1) == SETS["test"].y
    whole = by_name(ablation(probe(), evaluated=8, **settings))
    few = by_name(ablation(probe(), evaluated=3, **settings))
    assert whole["ablated_accuracy", "test/none"] == right.double().mean().item()
    part = probe().sample("test", 3)
    assert few["ablated_accuracy", "test/none"] == pytest.approx(right[part].double().mean().item())


def test_sharpness_is_the_rise_of_the_loss_by_running_statistics() -> None:
    model, state, data = net(), doubles(net()), SETS["retain"]
    each = one_by_one(state, data)
    mean = {name: torch.stack([one[name] for one in each]).mean(0) for name in each[0]}
    length = torch.cat([g.flatten() for g in mean.values()]).norm()
    there = {**state, **{name: state[name] + 0.05 * g / length for name, g in mean.items()}}
    here, above = (plain.cross_entropy(forward(w, data.x.double()), data.y) for w in (state, there))
    got = by_name(sharpness(probe(model), examples=50, radius=0.05))
    assert got["sharpness", ""] == pytest.approx((above - here).item(), rel=1e-9)


def test_attacks_go_along_the_gradient_by_running_statistics() -> None:
    state, data = doubles(net()), SETS["test"]
    everything = torch.cat([part.x for part in SETS.values()]).double()
    low, high = everything.amin((0, 2, 3), keepdim=True), everything.amax((0, 2, 3), keepdim=True)
    leaf = data.x.double().requires_grad_()
    (slope,) = torch.autograd.grad(plain.cross_entropy(forward(state, leaf), data.y) * len(data), leaf)
    moved = (data.x.double() + 0.05 * slope.sign()).clamp(low, high)
    right = (forward(state, moved).argmax(1) == data.y).double().mean().item()
    got = by_name(robustness(probe(), radii=[0.05], steps=2, step_share=0.5, examples=50))
    assert got["attacked_accuracy", "fgsm/cross-entropy/0.05"] == pytest.approx(right)


def test_relearning_trains_as_training_does_and_moves_the_statistics() -> None:
    model = net().double()
    sets = {name: Examples(part.x.double(), part.y) for name, part in SETS.items()}
    expected = copy.deepcopy(model).train()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    seen: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    list(trained(model, probe(model, examples=sets), 5))
    everything = Examples(
        torch.cat([sets[n].x for n in ("forget", "retain")]), torch.cat([sets[n].y for n in ("forget", "retain")])
    )
    for x in seen:
        y = torch.stack([everything.y[(everything.x == one).flatten(1).all(1)][0] for one in x])
        optimizer.zero_grad()
        functional.cross_entropy(expected(x), y).backward()
        optimizer.step()
    assert len(seen) == 5
    for (name, value), (_, ours) in zip(expected.state_dict().items(), model.state_dict().items(), strict=True):
        torch.testing.assert_close(ours, value, rtol=1e-9, atol=1e-12, msg=name)
    assert not torch.equal(model[1].running_mean, net().double()[1].running_mean)


def test_distances_are_of_weights_and_of_outputs_by_running_statistics() -> None:
    other = {name: value + 0.1 if value.is_floating_point() else value for name, value in net().state_dict().items()}
    got = by_name(distance(probe(original=other, retrained=other)))
    logits = [
        forward({k: v.double() for k, v in state.items()}, SETS["test"].x.double())
        for state in (net().state_dict(), other)
    ]
    p, q = map(plain.softmax, logits)
    middle = (p + q) / 2
    expected = ((p * (p / middle).log() + q * (q / middle).log()).sum(1) / 2).mean().item()
    assert got["js_divergence", "test"] == pytest.approx(expected, rel=1e-4)
    n = sum(p.numel() for p in net().parameters())
    assert got["weight_distance", ""] == pytest.approx(0.1 * n**0.5, rel=1e-4), "statistics are no weights"


def pixels(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(256, (n, 3, 8, 8), generator=generator, dtype=torch.uint8)
    return Examples(x.contiguous(memory_format=torch.channels_last), torch.arange(n) % CLASSES)


SETTINGS: dict[str, dict[str, object]] = {
    "gradient-alignment": {"batches": 2, "pairs": 3},
    "local-complexity": {"points": 3, "vertices": 4},
    "robustness": {"steps": 1, "radii": [0.01]},
    "ablation": {"shares": [0.2], "draws": 1},
    "relearning": {"updates": 2},
    "cka": {"matchings": 2},
    "module-model": {"examples": 4},
    "hessian": {"iterations": 2},
}


@pytest.mark.parametrize("kind", [kind for kind, one in ANALYSES.items() if one.needs != "tokens"])
def test_every_analysis_runs_on_a_residual_network_of_pixels_and_leaves_it_as_it_was(kind: str) -> None:
    torch.manual_seed(0)
    model = shaken(ResNet(SHAPE, depth=18, width=4, stem="3x3", norm="batch", preactivation=False))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    other = {name: value * 1.1 if value.is_floating_point() else value for name, value in before.items()}
    sets = {name: pixels(n, n) for name, n in (("forget", 7), ("retain", 11), ("validation", 6), ("test", 9))}
    spec = ANALYSES[kind](**SETTINGS.get(kind, {})).spec()
    given = probe(model, examples=sets, original=other, retrained=other)
    values = load_implementation(spec.implementation)(given, **spec.settings)
    assert values
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    known = [value for value in values if value.value == value.value]
    assert len(known) >= 0.75 * len(values), [value for value in values if value not in known]
    layered = {
        "gradient-alignment": "stages.3.1.branch.4",
        "cka": "stages.3.1.after",
        "local-complexity": "test/stem.2",
    }
    assert kind not in layered or layered[kind] in {value.part for value in values}
