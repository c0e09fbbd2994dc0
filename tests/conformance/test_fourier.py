"""Fourier measures, against NumPy's two-dimensional transform of the whole table of logits, and against models that are waves."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor, nn

from grokforget.analyses.cyclic import powers_of_primitive_root
from grokforget.analyses.fourier import fourier, gini
from grokforget.analyses.run_probe import RunProbe
from grokforget.data.loader import Examples
from grokforget.data.modular import Modular
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

P = 11
SHAPE = DataShape((2,), P, P)


class Wave(nn.Module):
    """Logits Σ_k amplitude_k cos(2πk(a + s·b - y)/p), and what has nothing to do with a + s·b."""

    def __init__(self, amplitudes: dict[int, float], sign: int = 1, noise: float = 0.0) -> None:
        super().__init__()
        self.vocabulary, self.sign = P, sign
        self.table = nn.Parameter(torch.zeros(P, P, P))
        a, b, y = np.meshgrid(*[np.arange(P)] * 3, indexing="ij")
        waves = sum(size * np.cos(2 * np.pi * k * (a + sign * b - y) / P) for k, size in amplitudes.items())
        other = noise * np.cos(2 * np.pi * 3 * (a - sign * b) / P) * np.cos(2 * np.pi * y / P)
        self.table.data = torch.from_numpy(waves + other).float()

    def encode(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.table[x[:, 0], x[:, 1]]


def built(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "mlp":
        return MLP(SHAPE, hidden=[16], activation="quadratic", bias=False, initialisation="normal").eval()
    return Transformer(SHAPE, layers=1, width=8, heads=2, mlp_width=12).eval()


def probe(model: nn.Module, operation: str = "+", last: nn.Module | None = None) -> RunProbe:
    table = Modular(modulus=P, operation=operation, train_fraction=0.5, validation_fraction=0.1).examples()
    order = np.random.default_rng(0).permutation(len(table.labels))
    train, validation, test = np.split(order, [60, 70])

    def part(index: np.ndarray) -> Examples:
        x = model.encode(torch.from_numpy(table.inputs[index]))  # type: ignore[operator]
        return Examples(x, torch.from_numpy(table.labels[index]))

    examples = {"retain": part(train), "validation": part(validation), "test": part(test)}
    examples["retain"].y[:3] = 0  # Label noise tells nothing of the group.
    return RunProbe(
        model,
        examples,
        Classification(loss="mse"),
        0,
        None,
        last=last.state_dict() if last else {},  # type: ignore[arg-type]
    )


def measured(given: RunProbe, share: float = 0.95) -> dict[tuple[str, str], float]:
    return {(value.measure, value.part): value.value for value in fourier(given, share=share)}


def logits_of_all(model: nn.Module, order: np.ndarray) -> np.ndarray:
    """(n, n, K) float64 by the places of both tokens, without their mean over classes."""
    pairs = torch.from_numpy(order[np.stack(np.meshgrid(*[np.arange(len(order))] * 2, indexing="ij"), -1)])
    with torch.no_grad():
        logits = model(model.encode(pairs.flatten(0, 1))).double().numpy()  # type: ignore[operator]
    return (logits - logits.mean(1, keepdims=True)).reshape(len(order), len(order), -1)


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> float:
    return float((logsumexp(logits, 1) - logits[np.arange(len(y)), y]).mean())


OPERATIONS = {"+": 1, "-": -1, "*": 1, "/": -1}


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_losses_and_powers_are_those_of_the_two_dimensional_transform(kind: str, operation: str) -> None:
    """Of the n² components (k, l) those of a + s·b are (k, s·k)."""
    model, sign = built(kind), OPERATIONS[operation]
    given = probe(model, operation)
    found = measured(given, share=0.7)
    # 2 is the smallest primitive root of 11.
    order = np.arange(P) if operation in "+-" else np.array([2**i % P for i in range(P - 1)])
    n = len(order)
    table = logits_of_all(model, order)
    components = np.fft.fft2(table, axes=(0, 1)) / n**2
    size = (np.abs(components) ** 2).sum(2)
    power = np.zeros(n // 2)
    for k in range(1, n):
        power[min(k, n - k) - 1] += size[k, sign * k % n]
    assert found["wave_share", ""] == pytest.approx(power.sum() / (size.sum() - size[0, 0]))
    for k in range(1, n // 2 + 1):
        assert found["frequency_power", str(k)] == pytest.approx(power[k - 1] / power.sum())
    strongest = np.argsort(-power)
    count = int(np.argmax(np.cumsum(power[strongest]) >= 0.7 * power.sum())) + 1
    assert found["key_frequencies", ""] == count
    assert found["key_power", ""] == pytest.approx(power[strongest[:count]].sum() / power.sum())
    key = {int(k) + 1 for k in strongest[:count]}
    waves = np.zeros_like(components)
    for k in range(1, n):
        if min(k, n - k) in key:
            waves[k, sign * k % n] = components[k, sign * k % n]
    of_key = np.fft.ifft2(waves * n**2, axes=(0, 1)).real
    places = {int(token): place for place, token in enumerate(order)}
    for name, split in (("train", "retain"), ("test", "test")):
        examples = given.examples[split]
        tokens = examples.x.unflatten(1, (2, P)).argmax(-1) if kind == "mlp" else examples.x
        rows = [row for row, pair in enumerate(tokens.tolist()) if set(pair) <= set(places)]
        i, j = np.array([[places[token] for token in tokens[row].tolist()] for row in rows]).T
        y = examples.y.numpy()[rows]
        assert found["restricted_loss", name] == pytest.approx(
            cross_entropy(table.mean((0, 1)) + of_key[i, j], y), rel=1e-6
        )
        assert found["excluded_loss", name] == pytest.approx(cross_entropy(table[i, j] - of_key[i, j], y), rel=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_gini_coefficients_are_of_the_components_of_embedding_and_output(kind: str) -> None:
    model = built(kind)
    found = {part: value for (measure, part), value in measured(probe(model)).items() if measure == "fourier_gini"}
    state = {name: value.double().numpy() for name, value in model.state_dict().items()}
    if kind == "mlp":
        first = state["features.0.weight"]
        tables = {"embedding.0": first[:, :P].T, "embedding.1": first[:, P:].T, "output": state["output.weight"]}
    else:
        out = state["output.weight"] @ state["blocks.0.mlp_out.weight"]
        tables = {"embedding": state["token.weight"][:P], "output": out}
    assert found.keys() == tables.keys()
    for name, matrix in tables.items():
        at, norms = np.arange(P), []
        for k in range(1, P // 2 + 1):
            basis = np.sqrt(2 / P) * np.stack([np.cos(2 * np.pi * k * at / P), np.sin(2 * np.pi * k * at / P)])
            norms.append(np.linalg.norm(basis @ matrix))
        # Half the mean absolute difference over the mean.
        plain = np.abs(np.subtract.outer(norms, norms)).mean() / (2 * np.mean(norms))
        assert found[name] == pytest.approx(plain)


def test_the_gini_coefficient_of_sizes_that_are_known() -> None:
    assert gini(torch.ones(8, dtype=torch.float64)) == pytest.approx(0)
    assert gini(torch.eye(8, dtype=torch.float64)[3]) == pytest.approx(1 - 1 / 8)
    assert math.isnan(gini(torch.zeros(3, dtype=torch.float64)))


@pytest.mark.parametrize("operation", ["+", "-"])
def test_a_model_that_is_two_waves_has_two_key_frequencies(operation: str) -> None:
    found = measured(probe(Wave({2: 8.0, 5: 6.0}, OPERATIONS[operation]), operation))
    assert found["wave_share", ""] == pytest.approx(1)
    assert found["key_frequencies", ""] == 2
    assert [found["frequency_power", str(k)] for k in range(1, 6)] == pytest.approx([0, 0.64, 0, 0, 0.36], abs=1e-6)
    assert found["restricted_loss", "test"] < 0.01
    assert found["excluded_loss", "test"] == pytest.approx(math.log(P), abs=1e-4)


def test_key_frequencies_are_those_of_the_last_snapshot_of_the_run() -> None:
    early = Wave({1: 8.0, 3: 2.0}, noise=1.0)
    found = measured(probe(early, last=Wave({3: 8.0})))
    assert found["key_frequencies", ""] == 2, "of the snapshot itself"
    assert found["key_power", ""] == pytest.approx(4 / 68, rel=1e-5)
    assert measured(probe(early))["key_power", ""] == pytest.approx(1)
    assert found["restricted_loss", "test"] > 0.5
    # Variances, summed over classes: of the waves (64 + 4)/2 times 11, of the rest 1/4 times 11.
    assert found["wave_share", ""] == pytest.approx(34 / 34.25)


def test_wrong_waves_are_no_waves_of_the_answer() -> None:
    """a - b, where it is a + b that is asked for."""
    found = measured(probe(Wave({2: 8.0}, sign=-1), "+"))
    assert found["wave_share", ""] == pytest.approx(0, abs=1e-6)


def test_data_that_are_no_pairs_of_a_cyclic_group_have_no_rows() -> None:
    assert fourier(probe(built("mlp"), "a^2+b^2"), share=0.95) == []
    images: dict[str, Any] = {
        name: Examples(torch.rand(5, 4), torch.arange(5) % 3) for name in ("retain", "validation", "test")
    }
    plain = MLP(DataShape((4,), 3), hidden=[5], activation="relu", bias=True, initialisation="default").eval()
    assert fourier(replace(probe(built("mlp")), model=plain, examples=images), share=0.95) == []


def test_a_diverged_model_has_its_rows_and_no_numbers() -> None:
    sound, given = measured(probe(built("transformer"))), probe(built("transformer"))
    with torch.no_grad():
        next(given.model.parameters()).view(-1)[0] = math.nan
    found = measured(given)
    assert found.keys() == sound.keys()
    assert all(math.isnan(value) for value in found.values())
    # Nor do the key frequencies of a run that diverged at last.
    last = measured(probe(built("transformer"), last=given.model))
    assert all(map(math.isfinite, last.values()))


@pytest.mark.parametrize("p", [3, 5, 7, 11, 31, 97, 113])
def test_powers_of_a_primitive_root_are_all_residues_but_0(p: int) -> None:
    powers = powers_of_primitive_root(p)
    assert sorted(powers) == list(range(1, p))
    assert all(b == a * powers[1] % p for a, b in pairwise(powers))


@pytest.mark.parametrize("p", [4, 6, 9, 15, 100])
def test_what_is_no_prime_has_none(p: int) -> None:
    assert powers_of_primitive_root(p) == []
