"""Ablation on a net in which one neuron serves the forget class alone, and its parts against calculations of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.ablation import ablation, remove, specificity
from grokforget.analyses.base import Probe
from grokforget.analyses.modules import hidden_layers
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

CLASSES = 3


def hand_made() -> nn.Module:
    """Inputs are one-hot; neuron 6 sees class 0, neurons 0 to 4 class 1, the others class 2. Nothing on: class 1."""
    model = MLP(DataShape((3,), CLASSES), hidden=[10], activation="relu", bias=True, initialisation="default")
    serves = torch.tensor([1, 1, 1, 1, 1, 2, 0, 2, 2, 2])
    with torch.no_grad():
        model.features[0].weight.copy_(torch.eye(3)[serves])
        model.features[0].bias.zero_()
        model.output.weight.copy_(torch.eye(3)[:, serves])
        model.output.bias.copy_(torch.tensor([0.0, 0.1, 0.0]))
    return model.eval()


def classes(*labels: int) -> Examples:
    y = torch.tensor(labels)
    return Examples(torch.eye(3)[y], y)


SETS = {
    "forget": classes(0, 0, 0),
    "retain": classes(1, 2, 1, 2, 2),
    "validation": classes(0, 1),
    "test": classes(0, 1, 2, 2),
}
SETTINGS = {"units": ["all"], "shares": [0.1, 0.64], "draws": 6, "examples": 50, "evaluated": 50}


def measured(given: Probe, **settings: object) -> dict[tuple[str, str], float]:
    rows = ablation(given, **(SETTINGS | settings))  # type: ignore[arg-type]
    found = {(measure, part): value for measure, part, value in rows}
    assert len(found) == len(rows)
    return found


def accuracy(model: nn.Module, examples: Examples) -> float:
    right = [int(model(x[None])[0].argmax()) == int(y) for x, y in zip(examples.x, examples.y, strict=True)]
    return sum(right) / len(right)


def test_the_neuron_that_serves_the_forget_class_alone_goes_first_and_takes_only_that_class_with_it() -> None:
    found = measured(Probe(hand_made(), SETS, OBJECTIVE, 0, None))
    values = {part: value for (measure, part), value in found.items() if measure == "ablated_accuracy"}
    assert [values[f"{split}/none"] for split in ("forget", "retain", "test")] == [1, 1, 1]
    assert [values[f"{split}/0.1/specific"] for split in ("forget", "retain", "test")] == [0, 1, 0.75]
    assert found["ablated_units", "0.1"] == 1
    assert found["ablated_units", "0.64"] == 6
    assert len(values) == 3 + 2 * 3 * 3


def test_the_baseline_removes_as_many_at_random_drawn_from_the_probes_seed() -> None:
    given = Probe(hand_made(), SETS, OBJECTIVE, 3, None)
    found = measured(given)
    for share, count in (("0.1", 1), ("0.64", 6)):
        by_draw = []
        for draw in range(6):
            model = hand_made()
            units = torch.randperm(10, generator=given.generator("ablation", draw))[:count]
            with torch.no_grad():
                model.features[0].weight[units] = 0
                model.features[0].bias[units] = 0
            by_draw.append([accuracy(model, SETS[split]) for split in ("forget", "retain", "test")])
        expected = torch.tensor(by_draw, dtype=torch.float64)
        for k, split in enumerate(("forget", "retain", "test")):
            mean, sd = (found["ablated_accuracy", f"{split}/{share}/{what}"] for what in ("random", "random_sd"))
            assert mean == pytest.approx(expected[:, k].mean().item(), abs=1e-12)
            assert sd == pytest.approx(expected[:, k].std().item(), abs=1e-12)
        assert share == "0.1" or expected.std(0).max() > 0
    assert measured(given) == found
    assert not any(part.endswith("random_sd") for _, part in measured(given, draws=1))


def test_the_weights_of_the_model_are_bitwise_what_they_were() -> None:
    model = hand_made()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measured(Probe(model, SETS, OBJECTIVE, 0, None))
    after = model.state_dict()
    assert all(torch.equal(after[name].view(torch.int32), value.view(torch.int32)) for name, value in before.items())
    assert all(parameter.grad is None for parameter in model.parameters())


# parts, on every kind of model


def randomised(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model.eval()


def mlp(activation: str = "relu") -> nn.Module:
    shape = DataShape((5,), CLASSES)
    return randomised(MLP(shape, hidden=[6, 4], activation=activation, bias=True, initialisation="default"))


def cnn() -> nn.Module:
    model = CNN(DataShape((2, 4, 4), CLASSES), channels=[3, 2], kernel_size=3, hidden=5)
    assert not model.features[0].weight.is_contiguous()
    return randomised(model)


def transformer(layers: int) -> nn.Module:
    return randomised(Transformer(DataShape((2,), CLASSES, 5), layers=layers, width=6, heads=2, mlp_width=7))


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3))


PAIRS = torch.tensor([[1, 1], [2, 3], [3, 2], [0, 0], [1, 4], [4, 0], [2, 2]])
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, gaussian(7, 5)),
    "quadratic": (lambda: mlp("quadratic"), gaussian(7, 5)),
    "cnn": (cnn, gaussian(7, 2, 4, 4)),
    "transformer": (lambda: transformer(1), PAIRS),
    "two blocks": (lambda: transformer(2), PAIRS),
}
Selection = list[tuple[str, object]]


def weights_of_unit(kind: str, layer: str, unit: int) -> Selection:
    """(parameter, index) of all weights of a unit, written out."""
    prefix, _, last = layer.rpartition(".")
    if last == "heads":
        at = slice(3 * unit, 3 * unit + 3)
        return [*((f"{prefix}.{way}.weight", at) for way in ("query", "key", "value")),
                (f"{prefix}.merge.weight", (slice(None), at))]  # fmt: skip
    row: Selection = [(f"{layer}.weight", unit), (f"{layer}.bias", unit)]
    return [*row, (f"{prefix}.mlp_out.weight", (slice(None), unit))] if last == "mlp_in" else row


def mean_margin(model: nn.Module, x: Tensor, y: Tensor) -> float:
    logits = [model(example[None])[0] for example in x]
    return sum(float(z[label] - z.mean()) for z, label in zip(logits, y, strict=True)) / len(x)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_specificity_is_how_the_margins_change_while_a_unit_shrinks(name: str) -> None:
    make, x = MODELS[name]
    y = torch.arange(len(x)) % CLASSES
    sets = {"forget": Examples(x[:3], y[:3]), "retain": Examples(x[3:], y[3:])}
    layers = hidden_layers(make())
    found = specificity(Probe(make(), sets, OBJECTIVE, 0, None), layers, 50)
    points = x.double() if x.is_floating_point() else x
    step, largest = 1e-5, 0.0
    for layer in layers:
        for unit in range(layer.units):
            derivative = []
            for some in (slice(0, 3), slice(3, None)):
                margins = []
                for factor in (1 + step, 1 - step):
                    model = make().double()
                    for parameter, index in weights_of_unit(name, layer.name, unit):
                        model.get_parameter(parameter)[index] *= factor
                    margins.append(mean_margin(model, points[some], y[some]))
                derivative.append((margins[0] - margins[1]) / (2 * step))
            assert found[layer.name][unit].item() == pytest.approx(derivative[0] - derivative[1], abs=1e-7)
            largest = max(largest, abs(derivative[0] - derivative[1]))
    assert largest > 0.02


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_exactly_the_weights_of_the_removed_units_are_zero(name: str) -> None:
    make, _ = MODELS[name]
    for layer in hidden_layers(make()):
        model, expected = make(), make()
        units = torch.tensor([layer.units - 1, 0])[: layer.units - 1]
        remove(model, layer, units)
        for unit in units.tolist():
            for parameter, index in weights_of_unit(name, layer.name, unit):
                expected.get_parameter(parameter)[index] = 0
        for key, value in model.state_dict().items():
            assert torch.equal(value, expected.state_dict()[key]), key


@torch.no_grad()
def test_of_every_layer_the_same_share_goes() -> None:
    model = transformer(1)
    y = torch.arange(len(PAIRS)) % CLASSES
    sets = {split: Examples(PAIRS, y) for split in ("forget", "retain", "test")}
    found = measured(Probe(model, sets, OBJECTIVE, 0, None), shares=[0.2, 0.25, 0.5])
    # 2 heads and 7 neurons, rounded to the nearest and halves up
    assert [found["ablated_units", share] for share in ("0.2", "0.25", "0.5")] == [0 + 1, 1 + 2, 1 + 4]


def test_a_model_without_hidden_layer_has_no_modules() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    model.output_layer = "0"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no hidden"):
        hidden_layers(model)
