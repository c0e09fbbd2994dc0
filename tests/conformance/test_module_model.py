"""The module model on gradients built from independent modules, and its gradients against one backward pass an example."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.module_model import fit, gradient_products, inner_products, module_model
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

CLASSES = 4


def synthetic(active: Tensor, rho: float, size: int, seed: int) -> Tensor:
    """Gradients (N, M, size): where active, unit vectors whose cosine with each other is ρ on average, each example's
    scaled by a factor of its own."""
    generator = torch.Generator().manual_seed(seed)
    n, m = active.shape
    own = torch.randn(n, m, size - 1, generator=generator, dtype=torch.float64)
    own = own / own.norm(dim=2, keepdim=True)
    shared = torch.full((n, m, 1), math.sqrt(rho), dtype=torch.float64)
    gradients = torch.cat([shared, math.sqrt(1 - rho) * own], dim=2) * active[..., None]
    return gradients * (4 * torch.randn(n, 1, 1, generator=generator, dtype=torch.float64)).exp()


def drawn(n: int, m: int, p: float, seed: int) -> Tensor:
    return torch.rand(n, m, generator=torch.Generator().manual_seed(seed)) < p


def halves(n: int) -> tuple[Tensor, Tensor]:
    first = torch.arange(n) < n // 2
    return first, ~first


@pytest.mark.parametrize(("p", "rho"), [(0.5, 0.9), (0.3, 0.4), (0.8, 0.2), (1.0, 0.5), (0.4, 1.0)])
def test_independent_modules_have_the_known_p_and_rho_and_correlate_by_their_product(p: float, rho: float) -> None:
    a, b = halves(40)
    products = inner_products(synthetic(drawn(40, 500, p, seed=1), rho, 20, seed=2))
    for one, other in ((a, b), (a, a), (b, b)):
        found = fit(products, one, other, 0.01)
        assert found.p == pytest.approx(p, abs=0.02)
        assert found.rho == pytest.approx(rho, abs=0.01)
        assert found.predicted == pytest.approx(p * rho, abs=0.02)
        assert found.measured == pytest.approx(p * rho, abs=0.02)
        assert found.overlap == pytest.approx(p, abs=0.02)


def test_two_sets_with_different_shares_correlate_by_the_geometric_mean() -> None:
    a, b = halves(40)
    active = torch.cat([drawn(20, 600, 0.2, seed=3), drawn(20, 600, 0.8, seed=4)])
    found = fit(inner_products(synthetic(active, 0.6, 20, seed=5)), a, b, 0.01)
    assert found.predicted == pytest.approx(0.4 * 0.6, abs=0.015)
    assert found.measured == pytest.approx(0.4 * 0.6, abs=0.015)


def test_dependent_activity_breaks_the_prediction_and_shows_in_the_overlap() -> None:
    always = torch.arange(300).expand(20, 300) < 150
    a, _ = halves(20)
    found = fit(inner_products(synthetic(always, 0.7, 20, seed=6)), a, a, 0.01)
    assert (found.p, found.overlap) == (0.5, pytest.approx(1, abs=1e-12))
    assert found.predicted == pytest.approx(0.35, abs=0.01)
    assert found.measured == pytest.approx(0.7, abs=0.01)


def test_three_modules_by_hand() -> None:
    x = [[2.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    other = [[3.0, 4.0], [1.0, 1.0], [0.0, 0.2]]  # the last is shorter than a tenth of the longest, 5
    found = fit(inner_products(torch.tensor([x, other], dtype=torch.float64)), *halves(2), 0.1)
    assert found.p == pytest.approx(2 / 3)
    assert found.rho == pytest.approx(0.6)
    assert found.predicted == pytest.approx(0.4)
    assert found.measured == pytest.approx(6.2 / math.sqrt(5 * 27.04))
    assert found.overlap == pytest.approx(1 / 2)


def looped(gradients: Tensor, a: list[int], b: list[int], share: float) -> tuple[float, ...]:
    """The definitions, one pair and one module after the other."""
    n, m, _ = gradients.shape
    length = [[gradients[i, k].norm().item() for k in range(m)] for i in range(n)]
    active = [[length[i][k] > share * max(length[i]) for k in range(m)] for i in range(n)]
    p = [sum(sum(active[i]) for i in some) / (len(some) * m) for some in (a, b)]
    inside, whole, overlap = [], [], []
    for i in a:
        for j in b:
            if i == j:
                continue
            both = [k for k in range(m) if active[i][k] and active[j][k]]
            inside += [(gradients[i, k] @ gradients[j, k]).item() / length[i][k] / length[j][k] for k in both]
            flat = gradients[i].flatten(), gradients[j].flatten()
            whole.append((flat[0] @ flat[1] / flat[0].norm() / flat[1].norm()).item())
            overlap.append(len(both) / math.sqrt(sum(active[i]) * sum(active[j])))
    rho, p_both = sum(inside) / len(inside), math.sqrt(p[0] * p[1])
    return p_both, rho, p_both * rho, sum(whole) / len(whole), sum(overlap) / len(overlap)


@pytest.mark.parametrize("sides", [(0, 1), (0, 0), (1, 1)])
def test_fit_is_its_definitions_written_as_loops(sides: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(7)
    gradients = torch.randn(9, 6, 3, generator=generator, dtype=torch.float64) + 0.4
    gradients *= 10 ** (2 * torch.randn(9, 6, 1, generator=generator, dtype=torch.float64))
    masks = torch.arange(9) < 4, torch.arange(9) >= 4
    indices = [0, 1, 2, 3], [4, 5, 6, 7, 8]
    found = fit(inner_products(gradients), masks[sides[0]], masks[sides[1]], 0.05)
    assert 0.1 < found.p < 0.9
    assert found == pytest.approx(looped(gradients, indices[sides[0]], indices[sides[1]], 0.05), abs=1e-12)


def test_no_pair_gives_nan() -> None:
    found = fit(
        inner_products(torch.ones(1, 2, 3, dtype=torch.float64)), torch.tensor([True]), torch.tensor([True]), 0.1
    )
    assert found.p == 1
    assert math.isnan(found.rho)
    assert math.isnan(found.measured)


# gradients cut into modules


def randomised(model: nn.Module, scale: float = 0.5) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.eval()


def mlp() -> nn.Module:
    shape = DataShape((5,), CLASSES)
    return randomised(MLP(shape, hidden=[6, 3], activation="relu", bias=True, initialisation="default"))


def cnn() -> nn.Module:
    return randomised(CNN(DataShape((2, 4, 4), CLASSES), channels=[3, 2], kernel_size=3, hidden=5))


def transformer(layers: int) -> nn.Module:
    return randomised(Transformer(DataShape((2,), CLASSES, 5), layers=layers, width=6, heads=2, mlp_width=4))


def rows(name: str, units: int) -> list[Callable[[dict[str, Tensor]], list[Tensor]]]:
    return [lambda g, u=u: [g[f"{name}.weight"][u].flatten(), g[f"{name}.bias"][u : u + 1]] for u in range(units)]


def block(prefix: str) -> list[Callable[[dict[str, Tensor]], list[Tensor]]]:
    def head(g: dict[str, Tensor], at: slice) -> list[Tensor]:
        into = [g[f"{prefix}.{way}.weight"][at].flatten() for way in ("query", "key", "value")]
        return [*into, g[f"{prefix}.merge.weight"][:, at].flatten()]

    def neuron(g: dict[str, Tensor], u: int) -> list[Tensor]:
        out = g[f"{prefix}.mlp_out.weight"][:, u]
        return [g[f"{prefix}.mlp_in.weight"][u], g[f"{prefix}.mlp_in.bias"][u : u + 1], out]

    heads = [lambda g, at=at: head(g, at) for at in (slice(0, 3), slice(3, 6))]
    return [*heads, *(lambda g, u=u: neuron(g, u) for u in range(4))]


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


PAIRS = torch.tensor([[1, 1], [2, 3], [3, 2], [0, 0], [1, 4], [4, 0]])
MODELS = {
    "mlp": (mlp, gaussian(6, 5), [*rows("features.0", 6), *rows("features.2", 3)], [6, 3]),
    "cnn": (
        cnn,
        gaussian(6, 2, 4, 4),
        [*rows("features.0", 3), *rows("features.3", 2), *rows("features.7", 5)],
        [3, 2, 5],
    ),
    "transformer": (lambda: transformer(1), PAIRS, block("blocks.0"), [2, 4]),
    "two blocks": (lambda: transformer(2), PAIRS, [*block("blocks.0"), *block("blocks.1")], [2, 4, 2, 4]),
}


def backward(model: nn.Module, x: Tensor, y: Tensor) -> list[dict[str, Tensor]]:
    """Every example's gradient of -log p(y|x), by parameter."""
    found = []
    for example, label in zip(x, y, strict=True):
        model.zero_grad()
        (-model(example[None]).softmax(1)[0, label].log()).backward()
        found.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
    return found


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_cut_into_the_stated_modules(name: str) -> None:
    make, x, modules, sizes = MODELS[name]
    model, y = make().double(), torch.arange(len(x)) % CLASSES
    gradients = backward(model, x, y)
    vectors = [torch.stack([torch.cat(module(g)) for g in gradients]) for module in modules]
    expected = torch.stack([v @ v.T for v in vectors])
    assert (expected.diagonal(dim1=1, dim2=2).sum(1) > 0).sum() > len(modules) / 2
    whole = torch.stack([torch.cat([value.flatten() for value in g.values()]) for g in gradients])
    products, rest = gradient_products(model, Examples(x, y), OBJECTIVE, whole_layers=False)
    torch.testing.assert_close(products, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(products.sum(0) + rest, whole @ whole.T, rtol=0, atol=1e-10)
    assert rest.diagonal().min() > 0
    by_layer, same = gradient_products(model, Examples(x, y), OBJECTIVE, whole_layers=True)
    torch.testing.assert_close(by_layer, torch.stack([p.sum(0) for p in expected.split(sizes)]), rtol=0, atol=1e-10)
    torch.testing.assert_close(same, rest, rtol=0, atol=0)


def probe(model: nn.Module, forget: Tensor, retain: Tensor) -> Probe:
    sets = {"forget": forget, "retain": retain, "validation": retain, "test": retain}
    examples = {name: Examples(x.float(), torch.arange(len(x)) % CLASSES) for name, x in sets.items()}
    return Probe(model, examples, OBJECTIVE, 0, None)


SETTINGS = {"module": "unit", "examples": 20, "active_share": 0.01}


def lively() -> nn.Module:
    """A net in which every example has a gradient in some module."""
    model = mlp()
    with torch.no_grad():
        model.features[2].bias.fill_(2)
    return model


@pytest.mark.parametrize("kind", ["unit", "layer"])
def test_values_are_those_of_the_gradients(kind: str) -> None:
    model, x = lively(), gaussian(11, 5).float().double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rows_found = module_model(probe(model, x[:4], x[4:]), module=kind, examples=50, active_share=0.1)
    found = {(measure, part): value for measure, part, value in rows_found}
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    labels = torch.cat([torch.arange(4) % CLASSES, torch.arange(7) % CLASSES])
    gradients = backward(lively().double(), x, labels)
    size = 6 * 5 + 6, 3 * 6 + 3
    inside = [torch.cat([torch.cat(module(g)) for module in MODELS["mlp"][2]]) for g in gradients]
    outside = [torch.cat([g["output.weight"].flatten(), g["output.bias"]]) for g in gradients]
    whole = torch.stack([torch.cat(pair) for pair in zip(inside, outside, strict=True)])
    held = [float(a @ a / (a @ a + b @ b)) for a, b in zip(inside, outside, strict=True)]
    assert found["module_held", ""] == pytest.approx(sum(held) / len(held), abs=1e-12)
    assert found["module_count", ""] == {"unit": 9, "layer": 2}[kind]
    assert found["module_vanished", ""] == 0
    # Modules as rows of one length: zeros beside a vector change neither its norm nor a cosine.
    cut = torch.zeros(11, 9 if kind == "unit" else 2, 40, dtype=torch.float64)
    for i, g in enumerate(gradients):
        vectors = [torch.cat(module(g)) for module in MODELS["mlp"][2]]
        if kind == "layer":
            vectors = list(torch.cat(vectors).split(size))
        for k, vector in enumerate(vectors):
            cut[i, k, : len(vector)] = vector
    sides = {"forget": list(range(4)), "retain": list(range(4, 11))}
    for a, b in (("forget", "retain"), ("retain", "retain"), ("forget", "forget")):
        expected = looped(cut, sides[a], sides[b], 0.1)
        names = ("p", "rho", "predicted", "measured", "overlap")
        assert [found[f"module_{name}", f"{a}-{b}"] for name in names] == pytest.approx(expected, abs=1e-12)
        cosines = [
            float(whole[i] @ whole[j] / whole[i].norm() / whole[j].norm())
            for i in sides[a] for j in sides[b] if i != j
        ]  # fmt: skip
        assert found["module_whole", f"{a}-{b}"] == pytest.approx(sum(cosines) / len(cosines), abs=1e-12)
    assert len(found) == len(rows_found) == 3 + 3 * 6


def test_an_example_without_gradient_in_any_module_is_left_out_and_counted() -> None:
    model, x = lively(), gaussian(8, 5)
    with torch.no_grad():
        model.features[0].bias.fill_(-0.01)
        model.features[2].bias.fill_(-0.01)
        model.features[2].weight.abs_()
    silent = torch.zeros(2, 5, dtype=torch.float64)  # every neuron is off: only the output's bias has a gradient
    given = probe(model, x[:4], torch.cat([x[4:], silent]))
    found = {(measure, part): value for measure, part, value in module_model(given, **SETTINGS)}
    without = {(m, part): value for m, part, value in module_model(probe(model, x[:4], x[4:]), **SETTINGS)}
    assert found["module_vanished", ""] == pytest.approx(0.2)
    assert without["module_vanished", ""] == 0
    assert found["module_held", ""] == pytest.approx(0.8 * without["module_held", ""])
    for key in found.keys() - {("module_vanished", ""), ("module_held", "")}:
        assert found[key] == pytest.approx(without[key], abs=1e-12)
