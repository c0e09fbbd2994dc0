"""Gradients of single examples and their alignment, against one backward pass an example and hand-made cases."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses import layer_gradients
from grokforget.analyses.base import Probe
from grokforget.analyses.gradient_alignment import angle, apart, cosine, gradient_alignment
from grokforget.analyses.layer_gradients import gradients, mean_gradient
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification, cross_entropies

OBJECTIVE = Classification(loss="cross-entropy")

CLASSES = 4
SETTINGS = {"examples": 64, "batches": 5, "batch_size": 3, "pairs": 64}


def gaussian(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomised(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(gaussian(*parameter.shape, seed=number) * 0.5)
    return model.eval()


def mlp() -> nn.Module:
    return MLP(DataShape((5,), CLASSES), hidden=[6, 5], activation="relu", bias=True, initialisation="default")


def quadratic() -> nn.Module:
    return MLP(DataShape((5,), CLASSES), hidden=[6], activation="quadratic", bias=False, initialisation="normal")


def transformer(layers: int) -> nn.Module:
    return Transformer(DataShape((2,), CLASSES, 5), layers=layers, width=6, heads=2, mlp_width=7)


class Odd(nn.Module):
    """Strange convolutions, a normalisation, a layer used twice, one without bias, and a parameter of the model's own."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.convolution = nn.Conv2d(1, 2, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False)
        self.grouped = nn.Conv2d(2, 2, 1, groups=2)
        self.norm = nn.LayerNorm(6)
        self.rows = nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)
        self.hidden = nn.Linear(2 * 4 * 6, 6)
        self.output = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.grouped(self.convolution(x * self.scale))
        x = self.rows(self.rows(self.norm(x)).tanh())
        return self.output(self.relu(self.hidden(x.flatten(1))))


class Tied(nn.Module):
    """Output weights are the embedding's; a second embedding pads."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(CLASSES, 6)
        self.padded = nn.Embedding(CLASSES, 6, padding_idx=0)
        self.mix = nn.Linear(6, 6)
        self.output = nn.Linear(6, CLASSES, bias=False)
        self.output.weight = self.token.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.mix(self.token(x) * self.padded(x)).tanh().sum(1))


PAIRS = torch.tensor([[1, 1], [2, 3], [3, 2], [0, 0], [1, 3], [1, 1], [0, 2]])
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, gaussian(7, 5)),
    "quadratic": (quadratic, gaussian(7, 5)),
    "cnn": (
        lambda: CNN(DataShape((1, 8, 8), CLASSES), channels=[3, 20], kernel_size=3, hidden=5),
        gaussian(7, 1, 8, 8),
    ),
    "transformer": (lambda: transformer(1), PAIRS),
    "two layers": (lambda: transformer(2), PAIRS),
    "odd": (Odd, gaussian(7, 1, 8, 8)),
    "tied": (Tied, PAIRS),
}


def made(name: str) -> tuple[nn.Module, Examples]:
    build, x = MODELS[name]
    return randomised(build()), Examples(x, torch.arange(len(x)) % CLASSES)


def one_by_one(model: nn.Module, examples: Examples) -> dict[str, Tensor]:
    """(n, P) by layer: a backward pass of the usual cross-entropy for every example alone, by ``forward``."""
    model = randomised_copy(model)
    rows: dict[str, list[Tensor]] = {}
    for x, y in zip(examples.x, examples.y, strict=True):
        model.zero_grad()
        x = x.double() if x.is_floating_point() else x
        (-model(x[None])[0].log_softmax(0)[y]).backward()
        parts: dict[str, list[Tensor]] = {}
        for name, parameter in model.named_parameters():
            parts.setdefault(name.rsplit(".", 1)[0] if "." in name else name, []).append(parameter.grad.flatten())
        for name, found in parts.items():
            rows.setdefault(name, []).append(torch.cat(found).clone())
    return {name: torch.stack(found) for name, found in rows.items()} | {
        "": torch.stack([torch.cat(found) for found in zip(*rows.values(), strict=True)])
    }


def randomised_copy(model: nn.Module) -> nn.Module:
    return Probe(model, {}, OBJECTIVE, 0, None).double()


def parted(examples: Examples, n: int) -> dict[str, Examples]:
    return {
        "forget": Examples(examples.x[:n], examples.y[:n]),
        "retain": Examples(examples.x[n:], examples.y[n:]),
    }


def values_of(model: nn.Module, sets: dict[str, Examples], **changed: int) -> dict[tuple[str, str], float]:
    rows = gradient_alignment(Probe(model, sets, OBJECTIVE, 7, None), **(SETTINGS | changed))
    assert len({(row.measure, row.part) for row in rows}) == len(rows)
    return {(row.measure, row.part): row.value for row in rows}


# single gradients


@pytest.mark.parametrize("chunk", [1, 2**20])
@pytest.mark.parametrize("name", MODELS)
def test_lengths_and_products_are_those_of_single_backward_passes(
    name: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_gradients, "CHUNK_FLOATS", chunk)
    model, examples = made(name)
    expected = one_by_one(model, examples)
    double = randomised_copy(model)
    x = examples.x.double() if examples.x.is_floating_point() else examples.x
    got = gradients(double, Examples(x, examples.y), OBJECTIVE)
    some = gradients(double, Examples(x[2:5], examples.y[2:5]), OBJECTIVE)
    assert got.keys() == expected.keys() - {""}
    for layer, part in got.items():
        rows = expected[layer]
        assert rows.abs().max() > 1e-6, f"{layer}: zeros test nothing"
        scale = rows.square().sum(1).max()
        torch.testing.assert_close(part.squared_norms() / scale, rows.square().sum(1) / scale, rtol=0, atol=1e-12)
        torch.testing.assert_close(part.products(some[layer]) / scale, rows @ rows[2:5].T / scale, rtol=0, atol=1e-12)
    for size in (2, 100):
        torch.testing.assert_close(
            mean_gradient(double, Examples(x, examples.y), OBJECTIVE, size), expected[""].mean(0)
        )


def test_most_layers_are_not_formed() -> None:
    for name, formed in {"cnn": set(), "transformer": set(), "tied": {"token", "padded"}}.items():
        model, examples = made(name)
        found = gradients(model, examples, OBJECTIVE)
        assert {layer for layer, part in found.items() if isinstance(part, layer_gradients.Formed)} == formed


def test_a_layer_used_twice_or_of_another_kind_is_formed() -> None:
    model, examples = made("odd")
    formed = {
        k for k, part in gradients(model, examples, OBJECTIVE).items() if isinstance(part, layer_gradients.Formed)
    }
    assert formed == {"scale", "grouped", "norm", "rows"}


def test_cross_entropies_are_the_usual_ones() -> None:
    logits, labels = gaussian(9, CLASSES).double() * 5, torch.arange(9) % CLASSES
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(cross_entropies(logits, labels), expected)


@pytest.mark.parametrize("margin", [30.0, 200.0, -21.0, -30.0, -38.0, -45.0, -200.0])
def test_gradients_of_confident_examples_keep_their_digits(margin: float) -> None:
    logits = torch.tensor([[0.0, margin]], dtype=torch.float64, requires_grad=True)
    cross_entropies(logits, torch.tensor([1])).sum().backward()
    expected = 1 / (1 + math.exp(margin))  # 1 - p(y|x)
    np.testing.assert_allclose(logits.grad[0].numpy(), [expected, -expected], rtol=1e-13)


def test_an_error_half_way_leaves_no_hook() -> None:
    model, examples = made("mlp")
    model.output = nn.Linear(3, CLASSES)
    with pytest.raises(RuntimeError):
        gradients(model, examples, OBJECTIVE)
    assert not any(module._forward_hooks for module in model.modules())


# the analysis against single gradients


@pytest.mark.parametrize("name", MODELS)
def test_every_measure_is_what_single_gradients_make_of_it(name: str) -> None:
    model, examples = made(name)
    sets = parted(examples, 3)
    got = values_of(model, sets)
    single = {key: one_by_one(model, part) for key, part in sets.items()}
    parts = list(single["forget"])
    for part in parts:
        f, r = (single[key][part].numpy() for key in ("forget", "retain"))
        mean_f, mean_r = f.mean(0), r.mean(0)
        expected = mean_f @ mean_r / math.sqrt(mean_f @ mean_f * (mean_r @ mean_r))
        assert got["gradient_cosine", part] == pytest.approx(expected, abs=1e-10)
        assert got["gradient_angle", part] == pytest.approx(math.degrees(math.acos(expected)), abs=1e-5)
        ratios = []
        for key, rows in (("forget", f), ("retain", r)):
            norm = np.linalg.norm(rows.mean(0))
            assert got[f"{key}_gradient_norm", part] == pytest.approx(norm, rel=1e-9)
            ratios.append(norm / math.sqrt(rows.var(0, ddof=1).sum() / len(rows)))
            assert got[f"{key}_gradient_signal_to_noise", part] == pytest.approx(ratios[-1], rel=1e-8)
            size = np.linalg.norm(rows, axis=1).mean() * 2**-52
            assert got[f"{key}_gradient_over_roundoff", part] == pytest.approx(norm / size, rel=1e-9)
        assert got["gradient_cosine_is_noise", part] == float(min(ratios) < 2)
    unit = {key: rows[""].numpy() / np.linalg.norm(rows[""].numpy(), axis=1)[:, None] for key, rows in single.items()}
    f, r = unit["forget"], unit["retain"]
    expected_pairs = {
        "pair_cosine": [a @ b for a in f for b in r],
        "forget_pair_cosine": [f[i] @ f[j] for i in range(len(f)) for j in range(i)],
        "retain_pair_cosine": [r[i] @ r[j] for i in range(len(r)) for j in range(i)],
    }
    for measure, cosines in expected_pairs.items():
        wanted = [np.mean(cosines), np.std(cosines, ddof=1), *np.quantile(cosines, [0.1, 0.5, 0.9])]
        found = [got[f"{measure}_{key}", ""] for key in ("mean", "sd", "q10", "q50", "q90")]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


# the control: two parts of the retain set


NOISE = "gradient_cosine_is_noise"


def between(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a * (b @ b)))


@pytest.mark.parametrize("name", MODELS)
def test_the_control_is_the_same_of_two_parts_of_the_retain_set(name: str) -> None:
    """Two forget and five retain examples, all of which are used: two of the five stand in, three are the retain side."""
    model, examples = made(name)
    sets = parted(examples, 2)
    got = values_of(model, sets)
    probe = Probe(model, sets, OBJECTIVE, 7, None)
    single = one_by_one(model, sets["retain"])

    def parts(purpose: str) -> tuple[np.ndarray, np.ndarray]:
        order = torch.randperm(5, generator=probe.generator("control", purpose)).numpy()
        return order[:2], order[2:]

    for part, rows in single.items():
        sides = [rows.numpy()[side] for side in parts("examples")]
        expected = between(*(side.mean(0) for side in sides))
        assert got["gradient_cosine_control", part] == pytest.approx(expected, abs=1e-10)
        assert got["gradient_angle_control", part] == pytest.approx(math.degrees(math.acos(expected)), abs=1e-5)
        clear = [np.linalg.norm(x.mean(0)) / math.sqrt(x.var(0, ddof=1).sum() / len(x)) for x in sides]
        assert got["gradient_cosine_is_noise_control", part] == float(min(clear) < 2)
    whole = single[""].numpy()
    first, second = parts("pairs")
    pairs = [between(whole[i], whole[j]) for i in first for j in second]
    # A batch is three of the five, so that the other two stand in for the two forget examples.
    drawn = probe.generator("batches", "retain")
    batches = []
    for _ in range(SETTINGS["batches"]):
        batch = torch.randperm(5, generator=drawn)[:3].numpy()
        batches.append(between(whole[batch].mean(0), np.delete(whole, batch, 0).mean(0)))
    for measure, cosines in (("pair_cosine", pairs), ("batch_cosine", batches)):
        wanted = [np.mean(cosines), np.std(cosines, ddof=1), *np.quantile(cosines, [0.1, 0.5, 0.9])]
        found = [got[f"{measure}_{key}_control", ""] for key in ("mean", "sd", "q10", "q50", "q90")]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("retained", "side", "n", "drawn", "kept"),
    [
        (40, 10, 7, 7, 10),  # enough others
        (40, 10, 30, 20, 10),  # half of all
        (12, 10, 5, 5, 7),  # two others, and three that the side gives up
        (10, 10, 3, 3, 7),
        (10, 10, 9, 5, 5),
        (1, 1, 4, 0, 1),
    ],
)
def test_who_stands_in_is_not_on_the_retain_side(retained: int, side: int, n: int, drawn: int, kept: int) -> None:
    numbers = torch.arange(retained)
    probe = Probe(mlp(), {"retain": Examples(numbers[:, None].float(), numbers)}, OBJECTIVE, 0, None)
    seen: set[int] = set()
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(0, retained, retained // side)[:side]
    for _ in range(60):
        stand_ins, left = apart(probe, at, n, generator)
        labels, others = set(stand_ins.y.tolist()), set(at[left].tolist())
        assert (len(labels), len(stand_ins), len(others)) == (drawn, drawn, kept)
        assert not labels & others
        outside = {*numbers.tolist()} - {*at.tolist()}
        assert len(labels & outside) == min(drawn, len(outside)), "others come first"
        seen |= labels
    assert seen == ({*numbers.tolist()} if kept < side else outside if drawn else set())


def test_of_many_retained_examples_the_retain_side_is_the_measured_one() -> None:
    model, examples = made("mlp")
    sets = {"forget": examples, "retain": Examples(gaussian(60, 5, seed=9), torch.arange(60) % CLASSES)}
    got = values_of(model, sets, examples=10)
    probe = Probe(model, sets, OBJECTIVE, 7, None)
    stand_ins, left = apart(probe, probe.sample("retain", 10), 7, probe.generator("control", "examples"))
    assert left.all()
    means = [one_by_one(model, part)[""].mean(0).numpy() for part in (stand_ins, probe.some("retain", 10))]
    assert got["gradient_cosine_control", ""] == pytest.approx(between(*means), abs=1e-10)


def test_the_control_has_streams_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model, examples = made("cnn")
    before = values_of(model, parted(examples, 3), examples=3, pairs=2)
    usual = Probe.generator
    monkeypatch.setattr(
        Probe, "generator", lambda self, *purpose: usual(self, *purpose, *["other"] * (purpose[0] == "control"))
    )
    after = values_of(model, parted(examples, 3), examples=3, pairs=2)
    assert before.keys() == after.keys()
    changed = {key[0] for key, value in before.items() if not np.array_equal(after[key], value, equal_nan=True)}
    assert changed
    assert all(measure.endswith("_control") for measure in changed)


def test_the_control_is_noise_by_its_own_examples() -> None:
    flags = []
    for seed in range(60):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)) + 0.9
        sets = parted(Examples(x.repeat(2, 1)[:11], torch.zeros(11, dtype=torch.int64)), 3)
        probe = Probe(Linear(3), sets, OBJECTIVE, seed, None)
        (got,) = [row.value for row in gradient_alignment(probe, **SETTINGS) if row[:2] == (f"{NOISE}_control", "")]
        order = torch.randperm(8, generator=probe.generator("control", "examples"))
        rows = one_by_one(probe.model, sets["retain"])[""].numpy()
        sides = rows[order[:3]], rows[order[3:]]
        clear = [np.linalg.norm(r.mean(0)) / math.sqrt(r.var(0, ddof=1).sum() / len(r)) for r in sides]
        assert got == float(min(clear) < 2)
        flags.append((got, min(clear) == clear[0]))
    assert {*flags} == {(0, True), (0, False), (1, True), (1, False)}, "either side decides, either way"


def differences(forget_label: int | None, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Measured less control, and control, of gradients with a part in common: 20 forget and 80 retain examples, over seeds.
    The forget examples are a random part, or of a label (and of features) of their own."""
    less, control = [], []
    for seed in range(40):
        x = torch.randn(100, 6, generator=torch.Generator().manual_seed(seed)) + shared
        y = torch.zeros(100, dtype=torch.int64)
        if forget_label is not None:
            x[:20] += torch.tensor([3.0, -3, 3, -3, 3, -3])
            y[:20] = forget_label
        sets = {"forget": Examples(x[:20], y[:20]), "retain": Examples(x[20:], y[20:])}
        rows = gradient_alignment(Probe(Linear(6), sets, OBJECTIVE, seed, None), **(SETTINGS | {"examples": 512}))
        got = {row.measure: row.value for row in rows if not row.part}
        control.append(
            [got[f"{name}_control"] for name in ("gradient_cosine", "pair_cosine_mean", "batch_cosine_mean")]
        )
        less.append([got["gradient_cosine"], got["pair_cosine_mean"], got["batch_cosine_mean"]])
    return np.array(less) - np.array(control), np.array(control)


def test_a_forget_set_that_is_a_random_part_differs_from_its_control_by_chance() -> None:
    levels = []
    for shared in (0.0, 0.15, 1.0):
        less, control = differences(None, shared)
        error = less.std(0, ddof=1) / math.sqrt(len(less))
        assert (error < 0.1).all()
        assert (abs(less.mean(0)) < 4 * error).all()
        levels.append(control.mean(0))
    # It falls to 0 with what the gradients share, without any forget set.
    assert abs(levels[0]).max() < 0.1
    assert 0.3 < levels[1][0] < 0.5
    assert levels[2][0] > 0.9


def test_a_forget_set_that_goes_its_own_way_differs_from_its_control() -> None:
    less, control = differences(1, 1.0)
    assert (less.mean(0) < -0.5).all()
    assert control.mean(0)[0] > 0.9


@pytest.mark.parametrize("name", ["mlp", "cnn", "two layers", "odd", "tied"])
def test_a_retain_set_of_one_example_has_no_control(name: str) -> None:
    model, examples = made(name)
    got = values_of(model, parted(examples, len(examples) - 1))
    for measure in ("gradient_cosine", "gradient_angle", "pair_cosine_mean", "batch_cosine_mean"):
        assert not math.isnan(got[measure, ""])
        assert math.isnan(got[f"{measure}_control", ""])
    assert got["gradient_cosine_is_noise_control", ""] == 1


def test_a_layer_is_a_module_with_weight_and_bias_together() -> None:
    model, examples = made("mlp")
    parts = [part for measure, part in values_of(model, parted(examples, 3)) if measure == "gradient_cosine"]
    assert parts == ["features.0", "features.2", "output", ""]


# hand-made gradients: logits W x with W = 0 and 2 classes, so that an example's gradient is (p - e_y) xᵀ with p = 1/2


class Linear(nn.Module):
    output_layer = "output"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.output = nn.Linear(width, 2, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x)


def points(rows: list[list[float]], labels: list[int] | None = None) -> Examples:
    return Examples(torch.tensor(rows, dtype=torch.float32), torch.tensor(labels or [0] * len(rows)))


def of(forget: Examples, retain: Examples, **changed: int) -> dict[str, float]:
    got = values_of(Linear(forget.x.shape[1]).eval(), {"forget": forget, "retain": retain}, **changed)
    return {measure: value for (measure, part), value in got.items() if not part}


def test_identical_gradients() -> None:
    same = points([[1, 2, 3], [0.5, -1, 2]])
    got = of(same, same)
    assert got["gradient_cosine"] == pytest.approx(1, abs=1e-15)
    assert got["gradient_angle"] == 0
    # (p - e_y) is (-1/2, 1/2), as long as 1/√2.
    expected = math.hypot(0.75, 0.5, 2.5) / math.sqrt(2)
    assert got["forget_gradient_norm"] == pytest.approx(expected, rel=1e-12)


def test_gradients_of_disjoint_features_are_orthogonal() -> None:
    got = of(points([[1, 2, 0, 0], [3, -1, 0, 0]]), points([[0, 0, 1, 1], [0, 0, 2, 0]], [0, 1]))
    assert got["gradient_cosine"] == 0
    assert got["gradient_angle"] == pytest.approx(90)
    assert got["pair_cosine_mean"] == got["pair_cosine_sd"] == got["batch_cosine_mean"] == 0


def test_gradients_of_other_labels_are_opposite() -> None:
    rows = [[1.0, 2.0], [3.0, -1.0]]
    got = of(points(rows, [0, 0]), points(rows, [1, 1]))
    assert got["gradient_cosine"] == pytest.approx(-1)
    assert got["gradient_angle"] == pytest.approx(180)
    # Cosines of pairs: -1 twice, and twice -(1·3 - 2·1) / √(5·10).
    assert got["pair_cosine_mean"] == pytest.approx(-(1 + 1 / math.sqrt(50)) / 2)
    assert got["retain_pair_cosine_mean"] == pytest.approx(1 / math.sqrt(50))


def test_small_angles_keep_their_digits() -> None:
    a = torch.tensor([1.0, 0.0], dtype=torch.float64)
    b = torch.tensor([1.0, 1e-9], dtype=torch.float64)
    assert angle(a, b) == pytest.approx(math.degrees(1e-9), rel=1e-9)
    assert angle(a, -b) == pytest.approx(180, abs=1e-6)
    assert cosine(a * 1e-250, b * 1e-250) == pytest.approx(1)


def test_a_batch_as_large_as_the_sets_is_the_sets() -> None:
    forget, retain = points([[1, 2], [3, 1]]), points([[2, 0], [-1, 3], [0, 1]])
    got = of(forget, retain, batch_size=3)
    assert got["batch_cosine_mean"] == pytest.approx(got["gradient_cosine"], abs=1e-12)
    assert got["batch_cosine_sd"] == pytest.approx(0, abs=1e-12)


def test_batches_are_drawn_anew_and_without_repeats() -> None:
    # Retain gradients along the axes; a batch of two of three has cosine 1/√2 with an axis in it, 0 with one that is not.
    got = of(points([[1, 0, 0]]), points([[1, 0, 0], [0, 1, 0], [0, 0, 1]]), batches=400, batch_size=2)
    assert got["batch_cosine_q90"] == pytest.approx(1 / math.sqrt(2))
    assert got["batch_cosine_q10"] == 0
    assert got["batch_cosine_mean"] == pytest.approx(2 / 3 / math.sqrt(2), abs=4 * 0.5 / 20 / math.sqrt(2))


def test_zero_gradients_have_no_direction() -> None:
    got = of(points([[0, 0], [0, 0]]), points([[1, 0], [0, 1]]))
    assert math.isnan(got["gradient_cosine"])
    assert math.isnan(got["gradient_angle"])
    assert math.isnan(got["pair_cosine_mean"])
    assert got["forget_gradient_norm"] == 0
    assert (got["forget_zero_gradient_share"], got["retain_zero_gradient_share"]) == (1, 0)
    assert got["gradient_cosine_is_noise"] == 1


def test_examples_without_gradient_are_left_out_of_pairs() -> None:
    got = of(points([[1, 0], [0, 0], [0, 0], [1, 0]]), points([[1, 0], [0, 0]]))
    assert got["forget_zero_gradient_share"] == 0.5
    assert (got["pair_cosine_mean"], got["pair_cosine_sd"]) == pytest.approx((1, 0))
    assert got["forget_pair_cosine_mean"] == pytest.approx(1)
    assert math.isnan(got["retain_pair_cosine_mean"])
    got = of(points([[1, 0], [0, 0]]), points([[1, 0]]), batches=50, batch_size=1)
    assert (got["batch_cosine_mean"], got["batch_cosine_sd"]) == pytest.approx((1, 0))


def test_the_flag_tells_noise_from_signal() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(50, 20, generator=generator)
    apart, alike = noise - noise.mean(0), 1 + 0.1 * noise
    labels = torch.zeros(50, dtype=torch.int64)
    drawn = noise[torch.arange(50) % 25]
    cases = {(alike, alike): 0, (alike, apart): 1, (apart, alike): 1, (drawn, drawn): 1}
    for (forget, retain), flag in cases.items():
        got = of(Examples(forget, labels), Examples(retain, labels))
        assert got["gradient_cosine_is_noise"] == flag
    clear = of(Examples(alike, labels), Examples(apart, labels))
    assert clear["forget_gradient_over_roundoff"] > 1e15
    assert clear["retain_gradient_over_roundoff"] < 1e10  # what float32 inputs that sum to 0 leave
    # A mean that is exactly its standard error times the threshold's two sides.
    for offset, flag in ((0.9, 1), (1.1, 0)):
        near = torch.tensor([[1.0], [-1.0]]) + 2 * offset  # mean 2 offset, standard error 1
        assert of(Examples(near, labels[:2]), Examples(alike[:, :1], labels))["gradient_cosine_is_noise"] == flag


def test_identical_examples_have_as_clear_a_signal_as_round_off_allows() -> None:
    got = of(points([[1, 2]] * 4), points([[1, 1]]))
    assert 1e6 < got["forget_gradient_signal_to_noise"] < 1e9
    assert math.isnan(got["retain_gradient_signal_to_noise"])
    assert got["gradient_cosine_is_noise"] == 1


def test_examples_limits_the_sample() -> None:
    model, examples = made("mlp")
    sets = {"forget": examples, "retain": Examples(gaussian(40, 5, seed=9), torch.arange(40) % CLASSES)}
    got = values_of(model, sets, examples=10)
    assert (got["forget_sample_share", ""], got["retain_sample_share", ""]) == (1, 0.25)
    sample = Probe(model, sets, OBJECTIVE, 7, None).some("retain", 10)
    assert got["retain_gradient_norm", ""] == pytest.approx(one_by_one(model, sample)[""].mean(0).norm().item())


def test_the_model_is_left_as_it_was() -> None:
    for name in ("cnn", "two layers", "odd"):
        model, examples = made(name)
        model.output.weight.requires_grad_(False)
        first = next(model.parameters())
        first.grad = torch.ones_like(first)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        with torch.no_grad():
            values_of(model, parted(examples, 3))
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        assert not model.training
        assert not model.output.weight.requires_grad
        assert torch.equal(first.grad, torch.ones_like(first))
        assert all(p.grad is None for p in model.parameters() if p is not first)
        assert not any(module._forward_hooks for module in model.modules())


def test_a_diverged_model_gives_nan() -> None:
    model, examples = made("mlp")
    nn.init.constant_(model.output.bias, math.nan)
    got = values_of(model, parted(examples, 3))
    assert math.isnan(got["gradient_cosine", ""])
    assert math.isnan(got["pair_cosine_mean", ""])
    assert math.isnan(got["gradient_cosine_is_noise", ""])
    assert math.isnan(got["forget_zero_gradient_share", ""])
