"""CKA and effective rank of texts, against one pass a text without padding and the definitions written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.cka import cka
from grokforget.analyses.features import layers, outputs
from grokforget.analyses.representation_rank import rank_of, representation_rank
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.phi import Phi
from grokforget.training.language import Language
from texts import PAD, VOCABULARY, texts

SIZES = {"forget": 6, "retain": 44}
AUTHORS = 3
LAYERS = [
    *(f"model.layers.{block}" for block in (0, 1)),
    *(f"model.layers.{block}.mlp.activation_fn" for block in (0, 1)),
    "representation",
]


def phi() -> Phi:
    model = Phi(DataShape((9,), 3, VOCABULARY), layers=2, width=8, heads=2, mlp_width=5, partial_rotary=0.5)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator) + ("layernorm.weight" in name))
    return model.eval()


def probe(pad: int = PAD, width: int | None = None) -> Probe:
    sets = {name: texts(n, seed, width=width, pad=pad) for seed, (name, n) in enumerate(SIZES.items())}
    labels = {name: torch.arange(n) % AUTHORS for name, n in SIZES.items()}
    return Probe(phi(), sets, Language(), 7, None, labels=labels)  # type: ignore[arg-type]


def by_hand(model: nn.Module, examples: Examples) -> dict[str, np.ndarray]:
    """(n, D) by layer: the blocks in a loop, each text by itself up to its end, the mean over the answer's positions."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in LAYERS}
    assert isinstance(model, Phi)
    for x, y in zip(examples.x, examples.y, strict=True):
        places = [place for place, token in enumerate(y.tolist()) if token >= 0]
        stream = model.model.embed_tokens(x[None, : places[-1] + 1])
        angles = torch.arange(stream.shape[1])[:, None] * torch.ones(1)
        cosine, sine = (torch.cat([f, f], 1).double() for f in (angles.cos(), angles.sin()))
        states: dict[str, Tensor] = {}
        for number, block in enumerate(model.model.layers):
            entering = block.input_layernorm(stream)
            hidden = nn.functional.gelu(block.mlp.fc1(entering), approximate="tanh")
            stream = stream + block.self_attn(entering, cosine, sine) + block.mlp.fc2(hidden)
            states |= {f"model.layers.{number}": stream, f"model.layers.{number}.mlp.activation_fn": hidden}
        states["representation"] = model.model.final_layernorm(stream)
        for name, state in states.items():
            found[name].append(sum(state[0, place] for place in places).detach().numpy() / len(places))
    return {name: np.array(rows) for name, rows in found.items()}


def plain_cka(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).__pow__(2).sum() / math.sqrt(((x.T @ x) ** 2).sum() * ((y.T @ y) ** 2).sum()))


def plain_rank(x: np.ndarray) -> float:
    singular = np.linalg.svd(x - x.mean(0), compute_uv=False)
    shares = [value / singular.sum() for value in singular if value > 1e-9 * singular[0]]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize(("pad", "width"), [(PAD, None), (4, 15)])
def test_a_text_is_the_mean_of_its_answers_positions_at_every_layer(pad: int, width: int | None) -> None:
    given = probe(pad, width)
    assert layers(given.model, texts=True) == LAYERS
    for examples in given.examples.values():
        expected = by_hand(given.double(), examples)
        got = outputs(given.double(), LAYERS, examples)
        for name, rows in expected.items():
            np.testing.assert_allclose(got[name].numpy(), rows, rtol=0, atol=1e-12)


def test_cka_of_texts_is_between_pairs_of_one_author() -> None:
    given = probe()
    rows = cka(given, examples=64, matchings=4)
    found = {(row.measure, row.part): row.value for row in rows}
    assert found["cka_rows", ""] == SIZES["forget"]
    assert found["cka_same_class_share", ""] == 1
    assert {part for measure, part in found if measure == "cka"} == set(LAYERS)
    # One author a text on either side: there is one matching, which can be computed by itself.
    few = {"forget": given.examples["forget"][:3], "retain": given.examples["retain"][torch.tensor([4, 3, 5])]}
    labels = {"forget": torch.tensor([0, 1, 2]), "retain": torch.tensor([1, 0, 2])}
    single = Probe(given.model, few, Language(), 7, None, labels=labels)  # type: ignore[arg-type]
    values = {(row.measure, row.part): row.value for row in cka(single, examples=64, matchings=2)}
    forget, retain = (by_hand(given.double(), part) for part in few.values())
    for layer in LAYERS:
        expected = plain_cka(forget[layer], retain[layer][[1, 0, 2]])
        assert values["cka", layer] == pytest.approx(expected, abs=1e-10)
        assert values["cka_sd", layer] == pytest.approx(0, abs=1e-10)
        assert abs(expected - plain_cka(forget[layer], retain[layer])) > 1e-3, "another pairing is the same"


def test_effective_ranks_are_of_as_many_texts_of_either_set() -> None:
    given, draws = probe(), 3
    found = {(row.measure, row.part): row.value for row in representation_rank(given, examples=64, draws=draws)}
    assert found["representation_rank_rows", ""] == SIZES["forget"]
    forget, pool = (by_hand(given.double(), part) for part in (given.examples["forget"], given.some("retain", 18)))
    for layer in LAYERS:
        generator = given.generator("rank", "retain")
        chosen = [torch.randperm(18, generator=generator)[:6].numpy() for _ in range(draws)]
        ranks = [plain_rank(pool[layer][index]) for index in chosen]
        assert found["representation_rank", f"forget/{layer}"] == pytest.approx(plain_rank(forget[layer]), rel=1e-6)
        assert found["representation_rank", f"retain/{layer}"] == pytest.approx(np.mean(ranks), rel=1e-6)
        assert found["representation_rank_sd", f"retain/{layer}"] == pytest.approx(np.std(ranks, ddof=1), rel=1e-5)
        assert ("representation_rank_sd", f"forget/{layer}") not in found


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
def test_known_effective_ranks(shape: tuple[int, int]) -> None:
    """k directions of one length, rows that are alike, and what neither scale nor shift changes."""
    q = torch.linalg.qr(torch.randn(9, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    rows = q[: shape[0], : shape[1]]
    assert rank_of(rows) == pytest.approx(plain_rank(rows.numpy()), rel=1e-6)
    assert rank_of(7 * rows + 3) == pytest.approx(rank_of(rows), rel=1e-6)
    assert rank_of(torch.ones(shape, dtype=torch.float64) / 3) == 0
    opposite = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]], dtype=torch.float64)
    assert rank_of(opposite) == pytest.approx(2, rel=1e-6)
