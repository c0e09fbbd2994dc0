"""Gradient alignment and the module model of texts, against one backward pass a text, token by token and without padding."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.gradient_alignment import gradient_alignment
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.phi import Phi
from grokforget.training.language import Language
from texts import PAD, VOCABULARY, TinyLM, texts

WIDTH, HEADS, NEURONS, LAYERS = 8, 2, 6, 2
SIZES = {"forget": 5, "retain": 40, "validation": 4, "test": 6}


def phi() -> Phi:
    """With weights large enough that every part matters, biases and norms too."""
    shape = DataShape((9,), 3, VOCABULARY)
    model = Phi(shape, layers=LAYERS, width=WIDTH, heads=HEADS, mlp_width=NEURONS, partial_rotary=0.5)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + ("layernorm.weight" in name))
    return model.eval()


def probe(model: nn.Module, pad: int = PAD, width: int | None = None) -> Probe:
    """The sets are padded to one width, the longest text's or more."""
    sets = {name: texts(n, seed, width=width, pad=pad) for seed, (name, n) in enumerate(SIZES.items())}
    return Probe(model, sets, Language(), 7, None)  # type: ignore[arg-type]


def alone(examples: Examples) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Each text's tokens up to its end, and its answer: position and token of everything that is to be predicted."""
    found = []
    for x, y in zip(examples.x.tolist(), examples.y.tolist(), strict=True):
        answer = [(place, token) for place, token in enumerate(y) if token >= 0]
        found.append((x[: answer[-1][0] + 1], answer))
    return found


def loss_alone(model: nn.Module, tokens: list[int], answer: list[tuple[int, int]]) -> Tensor:
    """The mean of -log p over the answer's tokens, of a text by itself."""
    outputs = model(torch.tensor([tokens]))[0]
    terms = [-(outputs[place, token] - outputs[place].exp().sum().log()) for place, token in answer]
    return sum(terms) / len(terms)  # type: ignore[return-value]


def one_by_one(given: Probe, split: str) -> dict[str, np.ndarray]:
    """(n, P) by layer, and of the whole network."""
    model = given.double()
    rows: list[dict[str, list[np.ndarray]]] = []
    for tokens, answer in alone(given.examples[split]):
        model.zero_grad()
        loss_alone(model, tokens, answer).backward()
        parts: dict[str, list[np.ndarray]] = {}
        for name, parameter in model.named_parameters():
            parts.setdefault(name.rpartition(".")[0], []).append(parameter.grad.flatten().numpy().copy())
        rows.append(parts)
    found = {name: np.array([np.concatenate(row[name]) for row in rows]) for name in rows[0]}
    return found | {"": np.concatenate(list(found.values()), axis=1)}


def between(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / math.sqrt(a @ a * (b @ b)))


SETTINGS = {"examples": 64, "batches": 3, "batch_size": 2, "pairs": 64}


def aligned(given: Probe, **changed: int) -> dict[tuple[str, str], float]:
    return {(row.measure, row.part): row.value for row in gradient_alignment(given, **(SETTINGS | changed))}


@pytest.mark.parametrize("model", [phi(), TinyLM().eval()], ids=["phi", "another"])
def test_alignment_is_what_the_gradients_of_single_texts_make_of_it(model: nn.Module) -> None:
    given = probe(model)
    got = aligned(given)
    single = {split: one_by_one(given, split) for split in ("forget", "retain")}
    assert {part for measure, part in got if measure == "gradient_cosine"} == set(single["forget"])
    for part, forget in single["forget"].items():
        retain = single["retain"][part]
        assert got["gradient_cosine", part] == pytest.approx(between(forget.mean(0), retain.mean(0)), abs=1e-10)
        for split, rows in (("forget", forget), ("retain", retain)):
            norm = np.linalg.norm(rows.mean(0))
            assert got[f"{split}_gradient_norm", part] == pytest.approx(norm, rel=1e-9)
            ratio = norm / math.sqrt(rows.var(0, ddof=1).sum() / len(rows))
            assert got[f"{split}_gradient_signal_to_noise", part] == pytest.approx(ratio, rel=1e-8)
    f, r = single["forget"][""], single["retain"][""]
    expected = {
        "pair_cosine": [between(a, b) for a in f for b in r],
        "forget_pair_cosine": [between(f[i], f[j]) for i in range(len(f)) for j in range(i)],
        "retain_pair_cosine": [between(r[i], r[j]) for i in range(len(r)) for j in range(i)],
    }
    for measure, cosines in expected.items():
        wanted = [np.mean(cosines), np.std(cosines, ddof=1), *np.quantile(cosines, [0.1, 0.5, 0.9])]
        found = [got[f"{measure}_{key}", ""] for key in ("mean", "sd", "q10", "q50", "q90")]
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


def test_batches_are_means_over_texts_whatever_their_lengths() -> None:
    given = probe(phi())
    single = {split: one_by_one(given, split)[""] for split in ("forget", "retain")}
    drawn = {}
    for split, rows in single.items():
        generator = given.generator("batches", split)
        drawn[split] = [rows[torch.randperm(len(rows), generator=generator)[:2].numpy()].mean(0) for _ in range(3)]
    cosines = [between(a, b) for a, b in zip(drawn["forget"], drawn["retain"], strict=True)]
    assert aligned(given)["batch_cosine_mean", ""] == pytest.approx(np.mean(cosines), abs=1e-10)


def test_padding_has_no_part_in_alignment_whatever_its_token_and_width() -> None:
    plain, padded = aligned(probe(phi())), aligned(probe(phi(), pad=4, width=14))
    # Round-off over round-off is no number to compare.
    names = [name for name in plain if "roundoff" not in name[0]]
    np.testing.assert_allclose([padded[n] for n in names], [plain[n] for n in names], rtol=1e-9, atol=1e-12)
