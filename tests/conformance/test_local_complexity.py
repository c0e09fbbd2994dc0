"""Local complexity against hyperplanes counted by hand, and against one vertex after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import grokforget.analyses.local_complexity as local_complexity_module
from grokforget.analyses.base import Probe
from grokforget.analyses.local_complexity import (
    CHECKED,
    CHUNK_FLOATS,
    MARGIN,
    cross_polytope,
    crossings,
    local_complexity,
    tally,
    tolerances,
)
from grokforget.analyses.relu_inputs import ReluInputs, in_float32
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

CLASSES, SEED = 3, 5


def randomised(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
    return model.eval()


def gaussian(*shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def probe(model: nn.Module, retain: Tensor, **others: Tensor) -> Probe:
    inputs = {"forget": retain, "validation": retain, "test": retain} | others | {"retain": retain}
    examples = {split: Examples(x, torch.zeros(len(x), dtype=torch.int64)) for split, x in inputs.items()}
    return Probe(model, examples, OBJECTIVE, SEED, None)


def measured(*arguments: object, **settings: float) -> dict[tuple[str, str], float]:
    rows = local_complexity(*arguments, **settings)  # type: ignore[arg-type]
    found = {(measure, part): value for measure, part, value in rows}
    assert len(found) == len(rows)
    return found


def one_layer(distances: list[float], dimension: int) -> nn.Module:
    """A neuron a distance: its hyperplane lies that far from the origin, each in another direction, not all on one side."""
    model = MLP(
        DataShape((dimension,), CLASSES),
        hidden=[len(distances)],
        activation="relu",
        bias=True,
        initialisation="default",
    )
    normals = nn.functional.normalize(gaussian(len(distances), dimension), dim=1)
    with torch.no_grad():
        model.features[0].weight.copy_(normals * torch.tensor([1.0, -3.0])[torch.arange(len(distances)) % 2][:, None])
        model.features[0].bias.copy_(torch.tensor(distances) * model.features[0].weight.norm(dim=1))
    return model.eval()


def test_hyperplanes_of_one_layer_are_counted_as_by_hand_on_a_line() -> None:
    # In one dimension the vertices are ± radius: what lies nearer is crossed.
    model = one_layer([0.1, 0.49, -0.49, 0.51, -0.51, 7.0], dimension=1)
    found = measured(probe(model, torch.zeros(1, 1)), points=4, vertices=40, radius=0.5)
    assert found["local_complexity", "retain"] == 3
    assert found["local_complexity_layer", "test/features.1"] == 3
    assert math.isnan(found["local_complexity_sd", "forget"])


@pytest.mark.parametrize("seed", range(3))
def test_hyperplanes_of_one_layer_are_counted_as_by_hand_in_the_plane(seed: int) -> None:
    # A square with its corners at distance r holds the disc of radius r/√2 and lies in that of radius r, however turned.
    model = one_layer([0.01, -0.3, 0.7, -0.7, 1.01, -1.01, 1.5, 90.0], dimension=2)
    given = Probe(model, probe(model, torch.zeros(1, 2)).examples, OBJECTIVE, seed, None)
    assert measured(given, points=4, vertices=10, radius=1.0)["local_complexity", "test"] == 4


def test_vertices_are_pairs_along_orthonormal_directions() -> None:
    offsets = cross_polytope(7, 8, 0.25, torch.Generator().manual_seed(3))
    assert offsets.dtype == torch.float64
    torch.testing.assert_close(offsets[:4], -offsets[4:], rtol=0, atol=0)
    products = offsets[:4] @ offsets[:4].T
    torch.testing.assert_close(products, 0.25**2 * torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-15)
    assert cross_polytope(3, 40, 1, torch.Generator()).shape == (6, 3)


def one_by_one(pre: Callable[[Tensor], list[Tensor]], x: Tensor, offsets: Tensor) -> list[list[int]]:
    """For every point and layer the neurons that change sign, one vertex after the other; ``pre``: a vertex → what enters
    each ReLU."""
    rows = []
    for point in x:
        first = [z > 0 for z in pre(point + offsets[0])]
        changed = [torch.zeros_like(z) for z in first]
        for offset in offsets[1:]:
            for layer, z in enumerate(pre(point + offset)):
                changed[layer] |= (z > 0) != first[layer]
        rows.append([int(z.sum()) for z in changed])
    return rows


class Recorder(nn.Module):
    """A ReLU that keeps what it is given."""

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.flatten())
        return x.clamp(min=0)


def recorded(model: nn.Module, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], list[Tensor]]:
    """Put recorders in the place of a model's ReLUs."""
    seen: list[Tensor] = []
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, Recorder(seen))

    def pre(vertex: Tensor) -> list[Tensor]:
        seen.clear()
        with torch.no_grad():
            forward(vertex[None])
        return list(seen)

    return pre


def mlp() -> nn.Module:
    shape = DataShape((12,), CLASSES)
    return randomised(MLP(shape, hidden=[30, 20], activation="relu", bias=True, initialisation="default"))


def cnn() -> nn.Module:
    return randomised(CNN(DataShape((2, 6, 6), CLASSES), channels=[4, 3], kernel_size=3, hidden=9))


def transformer(layers: int) -> Transformer:
    model = Transformer(DataShape((2,), CLASSES, 7), layers=layers, width=8, heads=2, mlp_width=25)
    randomised(model)
    return model


PAIRS = torch.tensor([[0, 0], [1, 2], [2, 1], [6, 6], [3, 0]])
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor, list[str]]] = {
    "mlp": (mlp, gaussian(6, 12), ["features.1", "features.3"]),
    "cnn": (cnn, gaussian(5, 2, 6, 6), ["features.1", "features.4", "features.8"]),
    "transformer": (lambda: transformer(1), PAIRS, ["blocks.0.activation"]),
    "two blocks": (lambda: transformer(2), PAIRS, ["blocks.0.activation", "blocks.1.activation"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_counts_are_those_of_one_vertex_after_the_other(name: str) -> None:
    make, x, layers = MODELS[name]
    model, plain = make(), make().double()
    if x.is_floating_point():
        points, forward = x.double(), plain
    else:
        points, forward = plain.embed(x).detach(), plain.from_embedding
    directions = torch.randn(points[0].numel(), 5, generator=probe(model, x).generator("frame"), dtype=torch.float64)
    directions = torch.linalg.qr(directions)[0].T
    offsets = (torch.cat([directions, -directions])).view(10, *points.shape[1:])
    rows = one_by_one(recorded(plain, forward), points, offsets)
    expected = torch.tensor(rows, dtype=torch.float64)
    found = measured(probe(model, x), points=100, vertices=10, radius=1.0)
    assert (expected.mean(0) > 0.5).all(), "no crossings would test nothing"
    assert expected.sum(1).std() > 0
    for split in ("retain", "test", "forget"):
        assert found["local_complexity", split] == pytest.approx(expected.sum(1).mean().item(), abs=1e-12)
        assert found["local_complexity_sd", split] == pytest.approx(expected.sum(1).std().item(), abs=1e-12)
        parts = [found["local_complexity_layer", f"{split}/{layer}"] for layer in layers]
        assert parts == pytest.approx(expected.mean(0).tolist(), abs=1e-12)
    assert len(found) == 3 * (2 + len(layers))


@pytest.mark.parametrize("chunk", [1, 700, 5000, CHUNK_FLOATS])
def test_counts_do_not_depend_on_how_many_points_are_computed_at_once(chunk: int) -> None:
    model, x = cnn().double(), gaussian(9, 2, 6, 6).double()
    offsets = cross_polytope(72, 20, 0.5, torch.Generator().manual_seed(0)).view(20, 2, 6, 6)
    together, apart = (crossings(model, model, x, offsets, floats) for floats in (2**30, chunk))
    assert sum(counts.sum() for counts in together.values()) > 50
    for name, counts in together.items():
        assert torch.equal(apart[name], counts)
        assert counts.shape == (9,)


def test_memory_is_bounded_by_the_largest_layer() -> None:
    model, x = mlp().double(), gaussian(50, 12).double()
    sizes: list[int] = []
    model.features[1].register_forward_hook(lambda module, args, output: sizes.append(output.numel()))
    crossings(model, model, x, cross_polytope(12, 10, 0.1, torch.Generator()), chunk_floats=1000)
    checked, chunks = sizes[:2], sizes[2:]
    assert checked == [CHECKED * 30] * 2
    assert chunks[:17] == [3 * 10 * 30] * 16 + [2 * 10 * 30]
    assert all(size <= 3 * 10 * 30 for size in chunks[17:])


HALF = 0.5 * torch.eye(2, dtype=torch.float64)
TINY = 2.0**-45
"""Lost in float32 beside 1/2, kept in float64."""


def layer(weight: Tensor, bias: Tensor) -> nn.Module:
    model = nn.Sequential(nn.Linear(*weight.T.shape), nn.ReLU()).double()
    with torch.no_grad():
        model[0].weight.copy_(weight)
        model[0].bias.copy_(bias)
    return model


def test_signs_that_float32_cannot_tell_are_those_of_float64() -> None:
    # Vertices ±1/2 on the axes: the first coordinate is 1/2, 0, -1/2, 0; a bias moves it to 0 or just beside it.
    biases = [0.5, 0.5 + TINY, 0.5 - TINY, -0.5, -0.5 + TINY, -0.5 - TINY, 0.0, TINY, 3.0, -3.0]
    crossed = [1, 0, 1, 0, 1, 0, 1, 1, 0, 0]  # only what is above 0 is positive
    x, offsets = torch.zeros(5, 2, dtype=torch.float64), torch.cat([HALF, -HALF])
    for chosen in [*([k] for k in range(10)), list(range(10))]:
        bias = torch.tensor(biases, dtype=torch.float64)[chosen]
        weight = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(len(chosen), 2)
        # A neuron that float32 rounds beside them: the layer has an error.
        model = layer(torch.cat([weight, weight[:1] / 3]), torch.cat([bias, bias.new_tensor([7.1])]))
        assert crossings(model, model, x, offsets)["1"].tolist() == [sum(crossed[k] for k in chosen)] * 5


def looped(model: nn.Module, x: Tensor, offsets: Tensor) -> Tensor:
    """Counts (N,) of a model that ends in its one ReLU, from the signs at the vertices of one point after the other."""
    with torch.no_grad():
        signs = [model[:-1](point + offsets) > 0 for point in x]
    return torch.stack([(s != s[0]).any(0).sum() for s in signs])


def beside_vertices(distance: float) -> tuple[nn.Module, Tensor, Tensor]:
    """Hyperplanes that pass the outermost vertex of a point at a ``distance`` relative to the terms of its sum."""
    x, weight = gaussian(30, 50).double(), gaussian(240, 50, seed=3).float().double()
    offsets = cross_polytope(50, 20, 0.01, torch.Generator().manual_seed(4))
    highest = (weight @ (x[torch.arange(240) % 30][:, None] + offsets).transpose(1, 2)).diagonal().T.amax(1)
    return layer(weight, -highest + distance * gaussian(240, seed=5)), x, offsets


@pytest.mark.parametrize("distance", [1e-9, 1e-7, 1e-6, 1e-5])
def test_hyperplanes_that_nearly_touch_vertices_are_counted_in_float64(distance: float) -> None:
    model, x, offsets = beside_vertices(distance)
    expected = looped(model, x, offsets)
    assert torch.equal(crossings(model, model, x, offsets)["1"], expected)
    if distance < 1e-6:
        with in_float32(model):
            assert (looped(model, x.float(), offsets.float()) != expected).sum() > 10, "float32 would do"


def test_float32_that_overflows_is_left_to_float64() -> None:
    weight = gaussian(40, 6).double()
    model = nn.Sequential(*layer(weight, weight[:, 0]), *layer(1e45 * gaussian(9, 40).double(), torch.zeros(9)))
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    x, offsets = gaussian(7, 6).double(), cross_polytope(6, 12, 0.3, torch.Generator().manual_seed(1))
    expected = looped(model, x, offsets)
    assert expected.sum() > 5
    assert torch.equal(crossings(model, model, x, offsets)["3"], expected)


@pytest.mark.parametrize("make", [mlp, cnn])
def test_no_error_of_float32_comes_near_the_tolerance(make: Callable[[], nn.Module]) -> None:
    model = make().double()
    x = gaussian(80, *((12,) if make is mlp else (2, 6, 6))).double()
    offsets = cross_polytope(x[0].numel(), 10, 0.1, torch.Generator().manual_seed(0)).unflatten(1, x.shape[1:])
    exact, rough = [], []
    with torch.no_grad(), ReluInputs(model, model) as inputs:
        near = tolerances(inputs, x, offsets)
        inputs((x + offsets[:, None]).flatten(0, 1), lambda _, z: exact.append(z.clone()))
        with in_float32(model):
            vertices = (x.float() + offsets.float()[:, None]).flatten(0, 1)
            inputs(vertices, lambda _, z: rough.append(z.clone()))
    assert len(near) == len(exact)
    for tolerance, a, b in zip(near, exact, rough, strict=True):
        assert tolerance.dtype == torch.float32
        error = (a - b).abs().amax(0)
        assert (error > 0).any()
        assert (error < tolerance / 8).all()
        assert (tolerance < 1e-3 * a.abs().max()).all(), "so wide that float32 would decide nothing"


@pytest.mark.parametrize("inplace", [False, True])
def test_tolerance_is_the_largest_error_of_the_neuron_and_a_share_of_its_layer(inplace: bool) -> None:
    # Four neurons of which float32 rounds the bias alone, or nothing: the errors are known.
    lost = torch.tensor([0.0, TINY, -2 * TINY, 0.0], dtype=torch.float64)
    model = layer(torch.zeros(4, 2), lost - 0.5)
    model[1] = nn.ReLU(inplace)
    with torch.no_grad(), ReluInputs(model, model) as inputs:
        near = tolerances(inputs, torch.zeros(3, 2, dtype=torch.float64), torch.cat([HALF, -HALF]))
    assert torch.equal(near[0], (MARGIN * (lost.abs() + 2 * TINY / 16)).float())


def test_every_point_is_checked_and_every_vertex_of_few_points() -> None:
    offsets = torch.cat([HALF, -HALF])
    for n in (1, 5, 200):
        x = (torch.arange(2 * n).view(n, 2) * 8).double()
        seen: list[Tensor] = []
        model = layer(torch.eye(2), torch.zeros(2))
        with torch.no_grad(), ReluInputs(model, lambda v, model=model, seen=seen: seen.append(v) or model(v)) as inputs:
            tolerances(inputs, x, offsets)
        checked = torch.cat([v for v in seen if v.dtype == torch.float64])
        assert torch.equal(torch.cat([v for v in seen if v.dtype == torch.float32]).double(), checked)
        pairs = {
            (int(p), tuple((v - x[p]).tolist()))
            for p, v in zip((checked[:, 0] + 1).div(16).long(), checked, strict=True)
        }
        assert {p for p, _ in pairs} == set(range(n))
        if n < 16:
            assert len(pairs) == 4 * n


@pytest.mark.parametrize("outlier", [0, 199])
def test_tolerance_is_that_of_the_point_with_the_largest_error(outlier: int) -> None:
    model, offsets = layer(gaussian(5, 2), torch.zeros(5)), torch.cat([HALF, -HALF])
    x = torch.zeros(200, 2, dtype=torch.float64)
    with torch.no_grad(), ReluInputs(model, model) as inputs:
        (small,) = tolerances(inputs, x, offsets)
        x[outlier] = 1000.1
        (large,) = tolerances(inputs, x, offsets)
    assert (large > 100 * small).all()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_neuron_is_held_against_its_own_tolerance_however_a_layer_lies_in_memory(
    memory_format: torch.memory_format,
) -> None:
    relu = nn.ReLU()
    x = torch.tensor([5.0, 0.1, -5.0]).view(1, 3, 1, 1).expand(4, 3, 2, 2)  # only the second channel lies near 0
    offsets = 0.2 * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    with ReluInputs(relu, lambda v: relu(v.contiguous(memory_format=memory_format))) as inputs:
        for tolerated, unsure in (([1.0, 0.0, 1.0], False), ([0.0, 1.0, 0.0], True)):
            near = torch.tensor(tolerated).view(3, 1, 1).expand(3, 2, 2)
            counts, doubts, close = tally(inputs, x, offsets, [near], 3)
            assert [point for doubt in doubts[0] for point in doubt.points.tolist()] == ([0, 1, 2, 3] if unsure else [])
            # x ± .2: both of the second channel's values are within 1 of 0.
            assert close.tolist() == [[unsure] * 4] * 2
            assert counts[""].tolist() == [0 if unsure else 4] * 4


def test_few_vertices_are_computed_twice() -> None:
    model, x = mlp().double(), gaussian(300, 12).double()
    exact: list[int] = []

    def forward(vertices: Tensor) -> Tensor:
        if vertices.dtype == torch.float64:
            exact.append(len(vertices))
        result: Tensor = model(vertices)
        return result

    counts = crossings(model, forward, x, cross_polytope(12, 10, 0.05, torch.Generator().manual_seed(0)))
    assert sum(int(counted.sum()) for counted in counts.values()) > 200
    # Errors are measured at one vertex of each point; all would be 3000.
    assert 300 <= sum(exact) < 330


@pytest.mark.parametrize("margin", [3e4, 1e6, 1e9])
def test_float64_settles_any_number_of_doubts(margin: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of single vertices, of whole layers, and of all of them, in models with several layouts and a ReLU used twice."""
    for model, x in (
        (mlp(), gaussian(70, 12)),
        (CNN(DataShape((2, 8, 8), 3), channels=[4, 5], kernel_size=3, hidden=7), gaussian(9, 2, 8, 8)),
        (Twice(), gaussian(50, 6)),
    ):
        exact, x = model.double().eval(), x.double()
        offsets = cross_polytope(x[0].numel(), 10, 0.2, torch.Generator().manual_seed(1)).unflatten(1, x.shape[1:])
        expected = crossings(exact, exact, x, offsets)
        assert sum(int(counted.sum()) for counted in expected.values()) > 20
        with monkeypatch.context() as patch:
            patch.setattr(local_complexity_module, "MARGIN", margin)
            for floats in (1, 2**19):
                found = crossings(exact, exact, x, offsets, chunk_floats=floats)
                assert {name: counted.tolist() for name, counted in found.items()} == {
                    name: counted.tolist() for name, counted in expected.items()
                }


class Twice(nn.Module):
    """One ReLU in two places, and something behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.activation = nn.Linear(6, 9), nn.Linear(9, 5), nn.ReLU()
        self.ends = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.second(self.activation(self.first(x))))
        self.ends += 1
        return x


def test_a_relu_used_twice_counts_the_neurons_of_both_and_the_rest_of_the_model_is_left_out() -> None:
    model = randomised(Twice()).double()
    x, offsets = gaussian(8, 6).double(), cross_polytope(6, 8, 0.5, torch.Generator().manual_seed(0))
    with torch.no_grad():
        first = [model.first(point + offsets) for point in x]
        signs = [torch.cat([z, model.second(z.clamp(min=0))], dim=1) > 0 for z in first]
    expected = torch.stack([(s != s[0]).any(0).sum() for s in signs])
    assert torch.equal(crossings(model, model, x, offsets, chunk_floats=200)["activation"], expected)
    assert model.ends == 1


def test_a_larger_neighbourhood_holds_more_and_one_far_from_all_hyperplanes_none() -> None:
    given = probe(mlp(), gaussian(8, 12))
    radii = (1e-9, 0.01, 0.1, 1, 10)
    counts = [measured(given, points=8, vertices=12, radius=r)["local_complexity", "retain"] for r in radii]
    assert counts[0] == 0
    assert all(a < b for a, b in pairwise(counts))
    model = mlp()
    with torch.no_grad():
        model.features[0].bias.fill_(100)
        model.features[2].bias.fill_(-1e5)
    assert measured(probe(model, gaussian(8, 12)), points=8, vertices=12, radius=0.5)["local_complexity", "test"] == 0


def test_each_split_is_measured_on_its_own_points_as_many_as_asked() -> None:
    model = one_layer([0.0, 0.0, 0.0], dimension=2)
    near, far = torch.zeros(1, 2), torch.full((1, 2), 1e4) * torch.tensor([1.0, 0.3])
    retain, test, forget = (torch.cat([near] * k + [far] * (4 - k)) for k in (4, 1, 0))
    found = measured(probe(model, retain, test=test, forget=forget), points=4, vertices=4, radius=0.1)
    assert [found["local_complexity", split] for split in ("retain", "test", "forget")] == [3, 0.75, 0]
    two = measured(probe(model, retain, test=test, forget=forget), points=1, vertices=4, radius=0.1)
    assert two["local_complexity", "test"] in (0, 3)


def test_of_a_run_of_which_nothing_is_forgotten_it_is_that_of_the_other_sets() -> None:
    given = probe(mlp(), gaussian(6, 12), test=gaussian(5, 12, seed=3), forget=gaussian(4, 12, seed=4))
    run = replace(given, examples={name: given.examples[name] for name in ("retain", "validation", "test")})
    settings = {"points": 64, "vertices": 8, "radius": 0.5}
    expected = {key: value for key, value in measured(given, **settings).items() if not key[1].startswith("forget")}
    assert measured(run, **settings) == expected
    assert {part.partition("/")[0] for _, part in expected} == {"retain", "test"}


def test_a_model_without_relu_gives_no_rows() -> None:
    model = MLP(DataShape((4,), CLASSES), hidden=[5], activation="quadratic", bias=True, initialisation="default")
    assert local_complexity(probe(model, gaussian(3, 4)), points=3, vertices=4, radius=0.1) == []


class Fails(nn.Module):
    """Fails behind its ReLU in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.activation = nn.ReLU()
        self.last = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.linear(x))
        if x.dtype == torch.float32:
            raise RuntimeError("no")
        return self.last(x)


def test_no_hook_and_no_rounding_is_left_behind_not_even_by_a_failure() -> None:
    for model, x in ((mlp().double(), gaussian(4, 12).double()), (Fails().double(), gaussian(4, 3).double())):
        offsets = cross_polytope(x.shape[1], 4, 0.1, torch.Generator())
        with torch.no_grad():
            model.get_parameter("linear.weight" if isinstance(model, Fails) else "output.weight").add_(1e-12)
        before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in model.state_dict().items()}
        if isinstance(model, Fails):
            with pytest.raises(RuntimeError, match="no"):
                crossings(model, model, x, offsets)
        else:
            crossings(model, model, x, offsets)
        hooks = [m._forward_pre_hooks or m._forward_hooks or m._backward_hooks for m in model.modules()]
        assert not any(hooks)
        for name, tensor in model.state_dict().items():
            assert tensor.data_ptr() == before[name][0]
            assert torch.equal(tensor, before[name][1])


def test_the_model_is_left_as_it_was() -> None:
    model = mlp()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    local_complexity(probe(model, gaussian(4, 12)), points=4, vertices=4, radius=0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
