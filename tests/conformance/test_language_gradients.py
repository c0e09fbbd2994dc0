"""Gradient alignment, module model and ablation of texts, against one pass a text, token by token and without padding."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.ablation import ablation, remove
from grokforget.analyses.base import Probe
from grokforget.analyses.gradient_alignment import gradient_alignment
from grokforget.analyses.module_model import module_model
from grokforget.analyses.modules import hidden_layers
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


# modules


def units_of(model: nn.Module) -> list[dict[str, tuple[slice, ...]]]:
    """Every head and every neuron by hand: of which parameters it has which rows or columns."""
    size, every, found = WIDTH // HEADS, slice(None), []
    for block in range(LAYERS):
        at = f"model.layers.{block}"
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            rows = {f"{at}.self_attn.{way}_proj.{key}": (own,) for way in "qkv" for key in ("weight", "bias")}
            found.append(rows | {f"{at}.self_attn.dense.weight": (every, own)})
        for neuron in range(NEURONS):
            rows = {f"{at}.mlp.fc1.{key}": (slice(neuron, neuron + 1),) for key in ("weight", "bias")}
            found.append(rows | {f"{at}.mlp.fc2.weight": (every, slice(neuron, neuron + 1))})
    return found


def by_unit(given: Probe, split: str, n: int) -> np.ndarray:
    """Gradients of single texts, (texts, units, a unit's weights, with zeros behind them)."""
    model, rows = given.double(), []
    drawn = given.sample(split, n).tolist()
    texts_alone = alone(given.examples[split])
    for tokens, answer in (texts_alone[place] for place in drawn):
        model.zero_grad()
        loss_alone(model, tokens, answer).backward()
        row = []
        for unit in units_of(model):
            parts = [model.get_parameter(name).grad[place].flatten().numpy() for name, place in unit.items()]
            row.append(np.concatenate(parts))
        longest = max(map(len, row))
        rows.append([np.pad(part, (0, longest - len(part))) for part in row])
    return np.array(rows)


def test_the_module_model_is_of_heads_and_neurons_and_of_single_texts() -> None:
    given, share = probe(phi()), 0.05
    found = {
        (row.measure, row.part): row.value for row in module_model(given, module="unit", examples=6, active_share=share)
    }
    assert found["module_count", ""] == LAYERS * (HEADS + NEURONS)
    sides = {split: by_unit(given, split, 6) for split in ("forget", "retain")}
    lengths = {split: np.linalg.norm(rows, axis=2) for split, rows in sides.items()}
    active = {split: rows > share * rows.max(1, keepdims=True) for split, rows in lengths.items()}
    assert 0 < active["forget"].mean() < 1
    for a, b in (("forget", "retain"), ("retain", "retain"), ("forget", "forget")):
        pairs = [(i, j) for i in range(len(sides[a])) for j in range(len(sides[b])) if a != b or i != j]
        whole = [between(sides[a][i].ravel(), sides[b][j].ravel()) for i, j in pairs]
        within = [
            between(sides[a][i, unit], sides[b][j, unit])
            for i, j in pairs
            for unit in range(sides[a].shape[1])
            if active[a][i, unit] and active[b][j, unit]
        ]
        p, rho = math.sqrt(active[a].mean() * active[b].mean()), float(np.mean(within))
        part = f"{a}-{b}"
        assert found["module_measured", part] == pytest.approx(np.mean(whole), abs=1e-10)
        assert found["module_p", part] == pytest.approx(p, abs=1e-12)
        assert found["module_rho", part] == pytest.approx(rho, abs=1e-10)
        assert found["module_predicted", part] == pytest.approx(p * rho, abs=1e-10)
    inside = np.concatenate([(rows**2).sum((1, 2)) for rows in sides.values()])
    chosen = {split: given.sample(split, 6).numpy() for split in sides}
    single = np.concatenate([one_by_one(given, split)[""][chosen[split]] for split in sides])
    assert found["module_held", ""] == pytest.approx(np.mean(inside / (single**2).sum(1)), rel=1e-9)


# ablation


def support_of(given: Probe, split: str) -> list[float]:
    """Of every unit Σ weight · derivative of the mean margin of texts, each token and text by itself."""
    model = given.double()
    margins = []
    for tokens, answer in alone(given.examples[split]):
        outputs = model(torch.tensor([tokens]))[0]
        margins.append(sum(outputs[place, token] - outputs[place].mean() for place, token in answer) / len(answer))
    (sum(margins) / len(margins)).backward()
    return [
        sum(
            float((model.get_parameter(name).detach() * model.get_parameter(name).grad)[place].sum())
            for name, place in unit.items()
        )
        for unit in units_of(model)
    ]


def without(model: nn.Module, units: list[int]) -> nn.Module:
    model = copy.deepcopy(model)
    with torch.no_grad():
        for unit in units:
            for name, place in units_of(model)[unit].items():
                model.get_parameter(name)[place] = 0
    return model


def judged(model: nn.Module, examples: Examples) -> tuple[float, float]:
    """Extraction strength and loss, means over texts, each by itself."""
    strengths, losses = [], []
    for tokens, answer in alone(examples):
        likeliest = model(torch.tensor([tokens]))[0].argmax(1).tolist()
        right = [likeliest[place] == token for place, token in answer[:-1]]
        last_wrong = max((n for n, one in enumerate(right, 1) if not one), default=0)
        strengths.append(1 - last_wrong / len(right) if right else 0.0)
        losses.append(loss_alone(model, tokens, answer).item())
    return float(np.mean(strengths)), float(np.mean(losses))


KINDS = {"heads": HEADS, "neurons": NEURONS}


@pytest.mark.parametrize("kind", KINDS)
def test_the_most_specific_heads_or_neurons_of_every_block_go_and_no_other(kind: str) -> None:
    model, share = phi(), 0.5
    given = probe(model)
    rows = ablation(given, units=["all", kind], shares=[share], draws=2, examples=64, evaluated=64)
    found = {(row.measure, row.part): row.value for row in rows}
    each = HEADS + NEURONS
    specific = np.array(support_of(given, "forget")) - np.array(support_of(given, "retain"))
    gone = []
    for block in range(LAYERS):
        first = block * each + (0 if kind == "heads" else HEADS)
        gone += sorted(range(first, first + KINDS[kind]), key=lambda unit: -specific[unit])[: KINDS[kind] // 2]
    assert found["ablated_units", f"0.5/{kind}"] == len(gone)
    assert found["ablated_units", "0.5"] == LAYERS * (HEADS + NEURONS) // 2
    changed = False
    for what, net in (("none", model), (f"0.5/specific/{kind}", without(model, gone))):
        for split in ("forget", "retain", "test"):
            strength, loss = judged(net, given.examples[split])
            assert found["ablated_accuracy", f"{split}/{what}"] == pytest.approx(strength, abs=1e-6)
            assert found["ablated_loss", f"{split}/{what}"] == pytest.approx(loss, rel=1e-5)
            changed |= found["ablated_loss", f"{split}/{what}"] != found["ablated_loss", f"{split}/none"]
    assert changed


def test_a_removed_head_or_neuron_leaves_nothing_of_itself() -> None:
    """Against the model's own arithmetic: a head's part of what is merged, a neuron's of what the MLP gives."""
    model = phi()
    layers = hidden_layers(model)
    assert [(layer.name, layer.units, layer.kind) for layer in layers] == [
        (f"model.layers.{block}.{name}", count, kind)
        for block in range(LAYERS)
        for name, count, kind in (("self_attn.heads", HEADS, "heads"), ("mlp.fc1", NEURONS, "neurons"))
    ]
    tokens = torch.tensor([[1, 2, 3, 4]])
    for layer, into in zip(layers[:2], ("self_attn.dense", "mlp.fc2"), strict=True):
        net = copy.deepcopy(model)
        seen = {}
        handle = net.get_submodule(f"model.layers.0.{into}").register_forward_pre_hook(
            lambda module, args, seen=seen: seen.update(x=args[0])
        )
        net(tokens)
        handle.remove()
        out = net.get_submodule(f"model.layers.0.{into}")
        size = seen["x"].shape[-1] // layer.units
        kept = seen["x"].clone()
        kept[..., size : 2 * size] = 0
        expected = out(kept)
        remove(net, layer, torch.tensor([1]))
        found = {}
        handle = out.register_forward_hook(lambda module, args, output, found=found: found.update(y=output))
        net(tokens)
        handle.remove()
        torch.testing.assert_close(found["y"], expected)
