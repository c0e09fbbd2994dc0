"""Linear CKA between representations of forget and retain examples (Kornblith et al. 2019, arXiv 1905.00414)."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.analyses.features import CONSTANT, by_layer
from grokforget.data.loader import Examples

CONTROL = "_control"
"""Ends the name of a number of two parts of the retain set."""
Draw = Callable[[Tensor, Tensor, int, torch.Generator], tuple[Tensor, Tensor]]
"""Pairs rows with these labels, so many at most."""


class Pool(NamedTuple):
    """Examples that rows are drawn from, and their classes (N,)."""

    examples: Examples
    labels: Tensor

    @classmethod
    def of(cls, probe: Probe, split: str) -> Pool:
        return cls(probe.examples[split], probe.classes(split))

    def some(self, index: Tensor) -> Pool:
        """Those at these places; the pool itself where they are all of it."""
        whole = len(index) == len(self.labels)
        return self if whole else Pool(self.examples[index], self.labels[index.to(self.labels.device)])


@nan_where_diverged
def cka(probe: Probe, *, examples: int, matchings: int) -> list[Value]:
    """Linear CKA in float64, at the output of every activation module and of what enters the output layer (of texts of every
    block as well; ``features.py``).

    The class of a text is whom it is about, its author: these are the classes that forget sets of whole classes know, texts
    about one share the names and facts that their answers say, and every data set of texts tells them.

    CKA compares paired rows, and forget and retain examples come in no pairs. Each matching pairs a forget example with a
    retain example of its class at random, each used once; what a class cannot serve is paired across classes. For
    comparison: two disjoint halves of the retain set matched in the same way (with the retain set's mix of classes), and
    two of the forget set (half the rows). A matching has as many rows as the smaller set, ``examples`` at most; they are
    drawn from at most twice as many retain examples.

    The control of ``cka`` is ``cka_control``: the same number without any forget set, two parts of the retain set matched in
    the same way. CKA depends on how many classes and rows there are, so that halves of the retain set as a whole (of ten
    classes, say) are no control of a forget set of two. In every matching as many retained examples stand in for the forget
    examples, class by class, and are matched with the other retained examples: of the forget examples' class where it has
    enough for both sides, as many pairs within the class as the forget set finds; else of another class that has, drawn once
    for all matchings. Where no class has enough, the largest is divided. Before unlearning a forget set that was drawn at
    random from its classes differs from its control by chance only, whatever the model; forget sets drawn in other ways, and
    what unlearning made of any, need not.

    By pair of sets, ``cka``, ``retain_cka``, ``forget_cka`` and ``cka_control``, and by layer: the mean over matchings of the
    usual estimator, from the HSIC of centred features, and ``..._unbiased``, from the unbiased HSIC_1; ``..._sd``,
    standard deviations (n - 1) over matchings. For the whole: ``..._rows`` and ``..._same_class_share``, the share of
    pairs of one class. With few rows and many features the usual estimator is far from 0 for independent features as
    well; the unbiased one is not, and may be negative. NaN: below 2 rows, for the unbiased one below 4, and for constant
    features.
    """
    model = probe.double()
    retain = Pool.of(probe, "retain")
    forget = Pool.of(probe, "forget").some(probe.sample("forget", examples))
    mixed = retain.some(probe.sample("retain", 2 * examples))
    like_forget = _of_classes(retain, forget.labels, 2 * examples, probe.generator("pool"))
    stand_ins = stand_in_classes(forget.labels, retain.labels, probe.generator("control"))
    control = _of_classes(retain, stand_ins, 2 * examples, probe.generator("control"))
    kinds: dict[str, tuple[Pool, Pool, Draw]] = {
        "cka": (forget, like_forget, match),
        "retain_cka": (mixed, mixed, match_halves),
        "forget_cka": (forget, forget, match_halves),
        "cka_control": (control, control, functools.partial(match_stand_ins, stand_ins)),
    }
    values = []
    pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for kind, (a, b, draw) in kinds.items():
        generator = probe.generator("matching", kind)
        pairs[kind] = [draw(a.labels, b.labels, examples, generator) for _ in range(matchings)]
        same = [(a.labels[i] == b.labels[j]).double().mean().item() for i, j in pairs[kind]]
        values.append(Value(named(kind, "_rows"), "", float(len(pairs[kind][0][0]))))
        values.append(Value(named(kind, "_same_class_share"), "", sum(same) / matchings))
    pools = {
        id(pool): as_double(pool.examples) for pool in (forget, like_forget, mixed, control)
    }  # often the last three are one
    for layer, features in by_layer(model, pools):
        known: Pools = {}
        for kind, (a, b, _) in kinds.items():
            drawn = compare(features[id(a)], features[id(b)], pairs[kind], known)
            for ending, column in zip(("", "_unbiased"), drawn.unbind(1), strict=True):
                spread = column.std().item() if matchings > 1 else math.nan
                values.append(Value(named(kind, ending), layer, column.mean().item()))
                values.append(Value(named(kind, f"{ending}_sd"), layer, spread))
    return values


def named(kind: str, ending: str) -> str:
    """A measure's name: ``_control`` stands at its end."""
    measure = kind.removesuffix(CONTROL)
    return f"{measure}{ending}{CONTROL}" if measure != kind else f"{kind}{ending}"


def _of_classes(retain: Pool, labels: Tensor, n: int, generator: torch.Generator) -> Pool:
    """``n`` retain examples, of the classes that ``labels`` names as far as there are any; all where there are no more."""
    if len(retain.labels) <= n:
        return retain
    wanted = labels.repeat(math.ceil(n / max(len(labels), 1)))
    return retain.some(match(wanted, retain.labels, n, generator)[1].sort().values)


def stand_in_classes(forget: Tensor, retain: Tensor, generator: torch.Generator) -> Tensor:
    """Of which classes retained examples stand in for forget examples with these labels: a label for every one of them, no
    class for two. Fewer labels where no class has so many examples to spare."""
    wanted, free = (Counter(labels.tolist()) for labels in (forget, retain))
    # Rows that are to be left of the class, for pairs within it.
    partners = {label: min(count, free[label]) for label, count in wanted.items()}
    labels: list[int] = []

    def take(label: int, of: int) -> None:
        count = free.pop(label)
        labels.extend([label] * min(wanted[of], count - min(partners[of], count // 2)))

    short = [label for label in sorted(wanted) if free[label] < wanted[label] + partners[label]]
    for label in sorted(wanted.keys() - set(short)):
        take(label, label)
    for label in short:
        enough = [other for other, count in sorted(free.items()) if count >= wanted[label] + partners[label]]
        if enough:
            take(enough[int(torch.randint(len(enough), (1,), generator=generator))], label)
        elif free:
            take(max(sorted(free), key=free.__getitem__), label)
    return torch.tensor(labels, dtype=forget.dtype, device=forget.device)


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


def match_stand_ins(
    stand_ins: Tensor, pool: Tensor, _: Tensor, rows: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """As ``match``, between examples with the labels ``stand_ins`` and all others of the one set."""
    chosen = match(stand_ins, pool, len(stand_ins), generator)[1]
    others = torch.ones_like(pool, dtype=torch.bool).index_fill(0, chosen, False).nonzero()[:, 0]
    i, j = match(pool[chosen], pool[others], rows, generator)
    return chosen[i], others[j]


Pools = dict[tuple[int, bool], Tensor]
"""Centred features, or their Gram matrices (True), by the ``id`` of the features."""


def compare(x: Tensor, y: Tensor, pairs: list[tuple[Tensor, Tensor]], known: Pools | None = None) -> Tensor:
    """Usual and unbiased CKA (M, 2) of features x (N, D) and y (N', D') for M matchings of their rows.

    With fewer rows than features all matchings share the two Gram matrices. HSIC_1 is eq. 5 of Song et al. 2012 ("Feature
    selection via dependence maximization"). It does not change when features are centred, and then the rows of a Gram
    matrix K sum to 0, so that without its diagonal d they sum to -d: HSIC_1 is told from Σ K∘L and the diagonals alone.
    What is computed once for all matchings is put into ``known``, and taken from there for features that live as long.
    """
    known = {} if known is None else known
    gram = len(pairs[0][0]) < min(x.shape[1], y.shape[1])
    for features in (x, y):
        if (id(features), gram) not in known:
            centred = features - features.mean(0)
            known[id(features), gram] = centred @ centred.T if gram else centred
    x, y = known[id(x), gram], known[id(y), gram]
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
