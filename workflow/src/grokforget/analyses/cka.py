"""Linear CKA between representations of forget and retain examples (Kornblith et al. 2019, arXiv 1905.00414)."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.data.loader import Examples
from grokforget.models.mlp import ACTIVATIONS

BATCH = 256
"""Examples per forward pass: all activations of a pass are in memory at once."""
REPRESENTATION = "representation"
"""Name of what enters the output layer."""
CONSTANT = 1e-20
"""Rows whose variance is below this share of their pool's mean square differ by round-off only: no CKA."""


@nan_where_diverged
def cka(probe: Probe, *, examples: int, matchings: int) -> list[Value]:
    """Linear CKA in float64, at the output of every activation module and of what enters the output layer.

    CKA compares paired rows, and forget and retain examples come in no pairs. Each matching pairs a forget example with a
    retain example of its class at random, each used once; what a class cannot serve is paired across classes. For
    comparison: two disjoint halves of the retain set matched in the same way (with the retain set's mix of classes), and
    two of the forget set (half the rows). A matching has as many rows as the smaller set, ``examples`` at most; they are
    drawn from at most twice as many retain examples.

    By the three pairs of sets, ``cka``, ``retain_cka`` and ``forget_cka``, and by layer: the mean over matchings of the
    usual estimator, from the HSIC of centred features, and ``..._unbiased``, from the unbiased HSIC_1; ``..._sd``,
    standard deviations (n - 1) over matchings. For the whole: ``..._rows`` and ``..._same_class_share``, the share of
    pairs of one class. With few rows and many features the usual estimator is far from 0 for independent features as
    well; the unbiased one is not, and may be negative. NaN: below 2 rows, for the unbiased one below 4, and for constant
    features.
    """
    model = probe.double()
    forget, mixed = probe.some("forget", examples), probe.some("retain", 2 * examples)
    like_forget = _of_the_same_classes(probe, forget, 2 * examples)
    kinds = {
        "cka": (forget, like_forget, False),
        "retain_cka": (mixed, mixed, True),
        "forget_cka": (forget, forget, True),
    }
    values = []
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for kind, (a, b, within) in kinds.items():
        generator = probe.generator("matching", kind)
        draw = match_halves if within else match
        pairs[kind] = [draw(a.y, b.y, examples, generator) for _ in range(matchings)]
        same = [(a.y[i] == b.y[j]).double().mean().item() for i, j in pairs[kind]]
        values.append(Value(f"{kind}_rows", "", float(len(pairs[kind][0][0]))))
        values.append(Value(f"{kind}_same_class_share", "", sum(same) / matchings))
    for layer in layers(model):
        pools = {id(pool): pool for pool in (forget, like_forget, mixed)}  # often the last two are the whole retain set
        features = {key: outputs(model, layer, as_double(pool)) for key, pool in pools.items()}
        for kind, (a, b, _) in kinds.items():
            drawn = compare(features[id(a)], features[id(b)], pairs[kind])
            for name, column in zip((kind, f"{kind}_unbiased"), drawn.unbind(1), strict=True):
                values += [
                    Value(name, layer, column.mean().item()),
                    Value(f"{name}_sd", layer, column.std().item() if matchings > 1 else math.nan),
                ]
    return values


def _of_the_same_classes(probe: Probe, forget: Examples, n: int) -> Examples:
    """``n`` retain examples, of the forget examples' classes as far as there are any; all where there are no more."""
    retain = probe.examples["retain"]
    if len(retain) <= n:
        return retain
    wanted = forget.y.repeat(math.ceil(n / len(forget)))
    return retain[match(wanted, retain.y, n, probe.generator("pool"))[1].sort().values]


def match(a: Tensor, b: Tensor, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Indices (i, j), both (n,) and without repeats, that pair label ``a[i]`` with label ``b[j]`` at random: the same
    label as long as there are any, then what is left. n: the shorter length, ``rows`` at most."""
    n = min(len(a), len(b), rows)
    left = torch.randperm(len(a), generator=generator)[:n]
    right = torch.randperm(len(b), generator=generator)
    partner = torch.full((n,), -1)
    labels_a, labels_b = a.cpu()[left], b.cpu()[right]
    for label in labels_a.unique():
        wanting, serving = (labels_a == label).nonzero()[:, 0], right[labels_b == label]
        served = min(len(wanting), len(serving))
        partner[wanting[:served]] = serving[:served]
    alone = partner < 0
    partner[alone] = right[~torch.isin(right, partner)][: int(alone.sum())]
    return left.to(a.device), partner.to(b.device)


def match_halves(a: Tensor, _: Tensor, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As ``match``, between two disjoint random halves of one set."""
    order = torch.randperm(len(a), generator=generator).to(a.device)
    first, second = order.tensor_split(2)
    i, j = match(a[first], a[second], rows, generator)
    return first[i], second[j]


def layers(model: nn.Module) -> list[str]:
    """Names of all ReLU modules, of other activations where there is none, and ``representation``."""
    named = dict(model.named_modules())
    found = [name for name, module in named.items() if isinstance(module, nn.ReLU)]
    others = [name for name, module in named.items() if isinstance(module, tuple(ACTIVATIONS.values()))]
    return [*(found or others), REPRESENTATION]


@torch.no_grad()
def outputs(model: nn.Module, layer: str, examples: Examples) -> Tensor:
    """Features (N, D) of every example at one layer, flattened; of all its calls side by side if there are several."""
    forward = getattr(model, "per_example_forward", model)
    seen: list[Tensor] = []
    if layer == REPRESENTATION:
        last: nn.Module = model.get_submodule(str(model.output_layer))
        handle = last.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(1).clone()))
    else:
        # A clone, since a later layer may work in place.
        handle = model.get_submodule(layer).register_forward_hook(
            lambda _, args, output: seen.append(output.flatten(1).clone())
        )

    def passes() -> Iterator[Tensor]:
        for x in examples.x.split(BATCH):
            forward(x)
            yield torch.cat(seen, dim=1)
            seen.clear()

    try:
        return torch.cat(list(passes()))
    finally:
        handle.remove()


def compare(x: Tensor, y: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Usual and unbiased CKA (M, 2) of features x (N, D) and y (N', D') for M matchings of their rows.

    With fewer rows than features all matchings share the two Gram matrices. HSIC_1 is eq. 5 of Song et al. 2012 ("Feature
    selection via dependence maximization"). It does not change when features are centred, and then the rows of a Gram
    matrix K sum to 0, so that without its diagonal d they sum to -d: HSIC_1 is told from Σ K∘L and the diagonals alone.
    """
    gram = len(pairs[0][0]) < min(x.shape[1], y.shape[1])
    same = x is y
    x, y = x - x.mean(0), y - y.mean(0)
    if gram:
        x = x @ x.T
        y = x if same else y @ y.T
    results = []
    for i, j in pairs:
        (a, da), (b, db) = _centred(x, i, gram), _centred(y, j, gram)
        biased, unbiased = [], []
        for (k, dk), (m, dm) in (((a, da), (b, db)), ((a, da), (a, da)), ((b, db), (b, db))):
            inner = (k * m).sum() if gram else (k.T @ m).square().sum()
            biased.append(inner)
            unbiased.append(_hsic_1(inner, dk, dm))
        results.append(torch.stack([_ratio(*biased), _ratio(*unbiased)]))
    return torch.stack(results)


def _centred(pool: Tensor, rows: Tensor, gram: bool) -> tuple[Tensor, Tensor]:
    """Features or Gram matrix of some rows, centred over them, and the Gram matrix's diagonal."""
    if gram:
        part = pool[rows][:, rows]
        part = part - part.mean(0) - part.mean(1, keepdim=True) + part.mean()
        diagonal, scale = part.diagonal(), pool.diagonal().mean()
    else:
        part = pool[rows] - pool[rows].mean(0)
        diagonal, scale = part.square().sum(1), pool.square().sum(1).mean()
    keep = diagonal.mean() > CONSTANT * scale
    return part * keep, diagonal * keep


def _hsic_1(inner: Tensor, dk: Tensor, dm: Tensor) -> Tensor:
    n = len(dk)
    if n < 4:
        return inner * math.nan
    both = dk @ dm
    return (inner - both + dk.sum() * dm.sum() / ((n - 1) * (n - 2)) - 2 * both / (n - 2)) / (n * (n - 3))


def _ratio(cross: Tensor, own: Tensor, other: Tensor) -> Tensor:
    return cross / (own.sqrt() * other.sqrt())
