"""Linear CKA against its definitions written out in loops, and the matching of rows."""

from __future__ import annotations

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.analyses.cka import (
    cka,
    compare,
    match,
    match_halves,
    match_stand_ins,
    stand_in_classes,
)
from grokforget.analyses.features import layers, outputs
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def both(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Usual and unbiased CKA of rows as they stand."""
    rows = torch.arange(len(x))
    biased, unbiased = compare(x, y, [(rows, rows)])[0].tolist()
    return biased, unbiased


def rotation(n: int, seed: int) -> Tensor:
    return torch.linalg.qr(gaussian(n, n, seed=seed)).Q


WIDE, TALL = (8, 20), (40, 5)
"""Fewer rows than features, and more."""


# the estimators


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_identical_features_have_cka_1(shape: tuple[int, int]) -> None:
    x = gaussian(*shape)
    assert both(x, x.clone()) == pytest.approx((1, 1), abs=1e-12)


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_rotated_scaled_and_shifted_features_have_cka_1(shape: tuple[int, int]) -> None:
    x = gaussian(*shape)
    y = 7 * x @ rotation(shape[1], 1)
    assert both(x, y + gaussian(1, shape[1], seed=2)) == pytest.approx((1, 1), abs=1e-10)
    assert both(x, y + 1e8) == pytest.approx((1, 1), abs=1e-7)


@pytest.mark.parametrize("shape", [WIDE, TALL])
def test_other_linear_maps_and_other_pairings_do_not(shape: tuple[int, int]) -> None:
    x = gaussian(*shape)
    stretched = x * torch.linspace(0.1, 3, shape[1])
    assert both(x, stretched)[0] < 0.98
    assert both(x, x.roll(1, 0))[0] < 0.9 * both(x, stretched)[0]


@pytest.mark.parametrize(("p", "q"), [(4, 3), (9, 4), (4, 30), (30, 25)])
def test_the_usual_estimator_is_the_published_formula(p: int, q: int) -> None:
    x, y = gaussian(12, p), gaussian(12, q, seed=1)
    y[:, :3] += x[:, :3]
    a, b = (v.numpy() - v.numpy().mean(0) for v in (x, y))
    expected = np.linalg.norm(b.T @ a) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert both(x, y)[0] == pytest.approx(expected, rel=1e-10)


def u_statistic(x: np.ndarray, y: np.ndarray) -> float:
    """E k(1,2) l(1,2) + E k(1,2) l(3,4) - 2 E k(1,2) l(1,3), over all tuples of distinct rows."""
    k, n = [[float(a @ b) for b in x] for a in x], len(x)
    m = [[float(a @ b) for b in y] for a in y]
    two = np.mean([k[i][j] * m[i][j] for i, j in permutations(range(n), 2)])
    three = np.mean([k[i][j] * m[i][s] for i, j, s in permutations(range(n), 3)])
    four = np.mean([k[i][j] * m[s][t] for i, j, s, t in permutations(range(n), 4)])
    return float(two + four - 2 * three)


@pytest.mark.parametrize("n", [4, 6])
@pytest.mark.parametrize(("p", "q"), [(2, 3), (7, 9)])
def test_the_unbiased_estimator_is_the_u_statistic_over_tuples_of_rows(n: int, p: int, q: int) -> None:
    x, y = gaussian(n, p) + 1, gaussian(n, q, seed=1) - 2
    y[:, :2] += x[:, :2]
    a, b = x.numpy(), y.numpy()
    expected = u_statistic(a, b) / math.sqrt(u_statistic(a, a) * u_statistic(b, b))
    assert both(x, y)[1] == pytest.approx(expected, rel=1e-9)


def test_the_unbiased_estimator_is_0_on_average_for_independent_features_and_the_usual_one_is_not() -> None:
    n, p, q, draws = 20, 30, 25, 400
    found = torch.tensor([both(gaussian(n, p, seed=2 * i), gaussian(n, q, seed=2 * i + 1)) for i in range(draws)])
    biased, unbiased = found.unbind(1)
    standard_error = unbiased.std() / math.sqrt(draws)
    assert standard_error < 0.01
    assert abs(unbiased.mean()) < 4 * standard_error
    # E‖YᵀX‖² = ν p q, and E‖XᵀX‖² = ν p (ν + p + 1) for a Wishart matrix of ν = n - 1.
    nu = n - 1
    expected = math.sqrt(p * q / ((nu + p + 1) * (nu + q + 1)))
    assert biased.mean().item() == pytest.approx(expected, rel=0.02)
    assert expected > 0.5


def test_both_forms_are_the_same() -> None:
    # Features of 0 change nothing but the form.
    x, y = gaussian(10, 6), gaussian(10, 7, seed=1)
    padded = [torch.cat([v, torch.zeros(10, 20, dtype=v.dtype)], dim=1) for v in (x, y)]
    assert both(*padded) == pytest.approx(both(x, y), rel=1e-10)


@pytest.mark.parametrize("features", [3, 50])
def test_matchings_choose_rows_of_both_pools(features: int) -> None:
    x, y = gaussian(9, features), gaussian(14, features, seed=1)
    pairs = [(torch.tensor([0, 3, 4, 8, 2]), torch.tensor([13, 1, 0, 5, 6])), (torch.arange(5), torch.arange(9, 14))]
    got = compare(x, y, pairs)
    for row, (i, j) in zip(got.tolist(), pairs, strict=True):
        assert tuple(row) == pytest.approx(both(x[i], y[j]), rel=1e-10)
    inside = compare(x, x, [(torch.tensor([0, 2, 4, 6]), torch.tensor([1, 3, 5, 7]))])[0].tolist()
    assert tuple(inside) == pytest.approx(both(x[[0, 2, 4, 6]], x[[1, 3, 5, 7]]), rel=1e-10)


@pytest.mark.parametrize("features", [2, 9])
def test_too_few_rows(features: int) -> None:
    for n in range(5):
        biased, unbiased = both(gaussian(n, features), gaussian(n, features, seed=1))
        assert math.isnan(biased) == (n < 2)
        assert math.isnan(unbiased) == (n < 4)


@pytest.mark.parametrize("shape", [WIDE, TALL])
@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_constant_features_have_no_cka(shape: tuple[int, int], constant: float) -> None:
    x = torch.full(shape, constant, dtype=torch.float64)
    assert all(math.isnan(value) for value in both(x, gaussian(*shape)))
    # Constant in the rows of a matching, not in the pool.
    pool = torch.cat([x, gaussian(*shape)])
    rows = torch.arange(shape[0])
    assert compare(pool, gaussian(*shape), [(rows, rows)]).isnan().all()


# the matching


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


A, B = torch.tensor([0, 1, 0, 2, 2, 2, 0, 5]), torch.tensor([2, 0, 0, 1, 3, 3, 1, 2, 4, 4, 0, 0])


def test_matching_pairs_within_classes_and_uses_no_row_twice() -> None:
    partners: Counter[tuple[int, int]] = Counter()
    for seed in range(60):
        i, j = match(A, B, 100, generator(seed))
        assert sorted(i.tolist()) == list(range(8))
        assert len(set(j.tolist())) == 8
        # 3 of class 0, 1 of class 1, 2 of the 3 of class 2; class 5 has none.
        assert (A[i] == B[j]).sum() == 6
        partners.update(zip(i.tolist(), j.tolist(), strict=True))
    # Every example of a class meets every other, and the one of class 5 all sorts.
    assert {b for a, b in partners if a == 0} == {1, 2, 10, 11}
    assert {b for a, b in partners if a == 1} == {3, 6}
    assert {int(B[b]) for a, b in partners if a == 7} == {0, 1, 3, 4}
    third = [b for (a, b) in partners if a == 4]
    assert {0, 7} < set(third)


@pytest.mark.parametrize(("a", "b", "rows", "n"), [(A, B, 3, 3), (B, A, 100, 8), (A, B, 100, 8), (A[:0], B, 9, 0)])
def test_matching_has_as_many_rows_as_the_smaller_set(a: Tensor, b: Tensor, rows: int, n: int) -> None:
    i, j = match(a, b, rows, generator(0))
    assert len(i) == len(j) == len(set(i.tolist())) == len(set(j.tolist())) == n
    assert i.tolist() != sorted(i.tolist()) or n < 4


def test_halves_are_disjoint_and_matched_within_classes() -> None:
    labels = torch.arange(21) % 2
    seen = set()
    for seed in range(20):
        i, j = match_halves(labels, labels, 100, generator(seed))
        assert len(i) == 10
        assert len({*i.tolist(), *j.tolist()}) == 20
        seen.update(i.tolist())
        # Halves of 11 and 10 out of 11 and 10: pairs of one class as far as the halves allow.
        first = Counter(labels[i].tolist())
        second = Counter(labels[j].tolist())
        assert (labels[i] == labels[j]).sum() == sum((first & second).values())
    assert seen == set(range(21))


def labels_of(**counts: int) -> Tensor:
    """``_2=3``: three examples of class 2."""
    return torch.tensor([int(name[1:]) for name, count in counts.items() for _ in range(count)])


STAND_INS: dict[str, tuple[Tensor, Tensor, list[dict[int, int]]]] = {
    # Forgotten, retained, and of which classes how many stand in.
    "own classes": (labels_of(_0=2, _1=3), labels_of(_0=4, _1=6, _2=50), [{0: 2, 1: 3}]),
    "half of a class": (labels_of(_0=5), labels_of(_0=5, _1=10, _2=12, _3=9), [{1: 5}, {2: 5}]),
    "half of two": (labels_of(_0=5, _1=4), labels_of(_0=5, _1=4, _2=10, _3=11), [{2: 5, 3: 4}, {3: 5, 2: 4}]),
    "most of a class": (labels_of(_0=7), labels_of(_0=3, _1=10, _2=9), [{1: 7}]),
    "a whole class": (labels_of(_0=8), labels_of(_1=8, _2=7), [{1: 8}]),
    "no class has as many": (labels_of(_0=8), labels_of(_1=6, _2=7), [{2: 7}]),
    "half of a class that is none too large": (labels_of(_0=8), labels_of(_0=8, _1=7), [{0: 4}]),
    "half of all": (labels_of(_0=5, _1=5), labels_of(_0=5, _1=5), [{0: 3, 1: 3}]),
    "more classes than are left": (labels_of(_0=2, _1=2, _2=2), labels_of(_3=9), [{3: 2}]),
    "nothing": (labels_of(), labels_of(_0=3), [{}]),
}


@pytest.mark.parametrize("case", STAND_INS)
def test_stand_ins_are_of_as_many_classes_as_the_forget_examples(case: str) -> None:
    forget, retain, allowed = STAND_INS[case]
    found = [Counter(stand_in_classes(forget, retain, generator(seed)).tolist()) for seed in range(30)]
    assert all(one in found for one in allowed)
    assert all(dict(one) in allowed for one in found)


def test_stand_ins_are_matched_with_all_others_within_classes() -> None:
    pool = labels_of(_0=6, _1=10, _2=30)
    partners: Counter[tuple[int, int]] = Counter()
    for seed in range(60):
        i, j = match_stand_ins(labels_of(_0=3, _1=4), pool, pool, 100, generator(seed))
        assert Counter(pool[i].tolist()) == {0: 3, 1: 4}
        assert len({*i.tolist(), *j.tolist()}) == 14
        assert (pool[i] == pool[j]).all()
        partners.update(zip(i.tolist(), j.tolist(), strict=True))
    assert {a for a, _ in partners} == {b for _, b in partners} == set(range(16)), "drawn anew for every matching"
    assert len(match_stand_ins(labels_of(_0=3, _1=4), pool, pool, 5, generator(0))[0]) == 5
    i, j = match_stand_ins(labels_of(_0=6), pool, pool, 100, generator(0))
    assert len(i) == 6
    assert not (pool[j] == 0).any(), "nothing of the class is left"


# the analysis


def mlp(activation: str = "relu") -> nn.Module:
    torch.manual_seed(0)
    return MLP(DataShape((5,), 3), hidden=[6, 4], activation=activation, bias=False, initialisation="default").eval()


def probe(model: nn.Module, forget: Examples, retain: Examples) -> Probe:
    return Probe(model, {"forget": forget, "retain": retain}, OBJECTIVE, 11, None)


def values_of(model: nn.Module, forget: Examples, retain: Examples, n: int = 50, matchings: int = 4) -> dict:
    rows = cka(probe(model, forget, retain), examples=n, matchings=matchings)
    assert len({(row.measure, row.part) for row in rows}) == len(rows)
    return {(row.measure, row.part): row.value for row in rows}


def one_each(x: Tensor) -> Examples:
    """Every row of a class of its own, which leaves one matching."""
    return Examples(x, torch.arange(len(x)))


def test_the_same_and_scaled_inputs_have_cka_1_at_every_layer() -> None:
    x = gaussian(8, 5).float()
    assert (
        values_of(mlp(), one_each(x), one_each(x.flip(0)))["cka", "features.1"] < 0.99
    )  # pairs by class, not by order
    for factor in (1.0, 3.0):  # without biases a ReLU net scales with its inputs
        retain = Examples(factor * x.flip(0), torch.arange(8).flip(0))
        got = values_of(mlp(), one_each(x), retain)
        for layer in ("features.1", "features.3", "representation"):
            assert got["cka", layer] == pytest.approx(1, abs=1e-6)
            assert got["cka_unbiased", layer] == pytest.approx(1, abs=1e-6)
            assert got["cka_sd", layer] == pytest.approx(0, abs=1e-10)
        assert (got["cka_rows", ""], got["cka_same_class_share", ""]) == (8, 1)
        assert (got["retain_cka_rows", ""], got["retain_cka_same_class_share", ""]) == (4, 0)


def test_mean_and_spread_over_the_matchings_and_the_baselines() -> None:
    model = mlp()
    forget, retain = (Examples(gaussian(n, 5, seed=n).float(), torch.arange(n) % 3) for n in (12, 30))
    got = values_of(model, forget, retain, matchings=6)
    p = probe(model, forget, retain)
    sets = {"cka": (forget, retain), "retain_cka": (retain, retain), "forget_cka": (forget, forget)}
    sets["cka_control"] = (retain, retain)
    for kind, (a, b) in sets.items():
        stream = p.generator("matching", kind)
        drawn = []
        control = "_control" if kind == "cka_control" else ""
        for _ in range(6):
            if kind == "cka":
                pair = match(a.y, b.y, 50, stream)
            elif kind == "cka_control":  # four of the ten of each class, with four of the other six
                some = match(torch.arange(3).repeat_interleave(4), a.y, 12, stream)[1]
                others = torch.tensor([row for row in range(30) if row not in some])
                one, other = match(a.y[some], a.y[others], 50, stream)
                pair = some[one], others[other]
            else:
                pair = match_halves(a.y, b.y, 50, stream)
            hidden = [model.double().features(e.x[i].double()).detach() for e, i in zip((a, b), pair, strict=True)]
            drawn.append(both(*hidden))
        model.float()
        measure = kind.removesuffix(control)
        for name, column in zip((measure, f"{measure}_unbiased"), np.array(drawn).T, strict=True):
            assert got[f"{name}{control}", "representation"] == pytest.approx(column.mean(), rel=1e-9)
            assert got[f"{name}_sd{control}", "representation"] == pytest.approx(column.std(ddof=1), rel=1e-6)
            assert column.std() > 1e-3
    rows = ("cka_rows", "retain_cka_rows", "forget_cka_rows", "cka_rows_control")
    assert [got[name, ""] for name in rows] == [12, 15, 6, 12]
    assert got["cka_same_class_share_control", ""] == 1
    assert got["cka_same_class_share", ""] == 1
    assert math.isnan(values_of(model, forget, retain, matchings=1)["cka_sd", "representation"])


def test_of_many_examples_it_takes_some_of_the_forget_sets_classes() -> None:
    forget = Examples(gaussian(30, 5).float(), torch.zeros(30, dtype=torch.int64))
    retain = Examples(gaussian(300, 5, seed=1).float(), torch.arange(300) % 3)
    got = values_of(mlp(), forget, retain, n=10)
    assert (got["cka_rows", ""], got["cka_same_class_share", ""]) == (10, 1)
    assert got["retain_cka_rows", ""] == 10
    assert 0.5 < got["retain_cka_same_class_share", ""] < 1  # halves of 10 of three classes
    assert got["forget_cka_rows", ""] == 5
    assert (got["cka_rows_control", ""], got["cka_same_class_share_control", ""]) == (10, 1)
    alone = Examples(forget.x, forget.y + 7)
    assert values_of(mlp(), alone, retain, n=10)["cka_same_class_share", ""] == 0


def differences(like_their_classes: bool) -> dict[str, np.ndarray]:
    """Of five classes in clouds, half of two are the forget set, which may lie outside of all clouds: unbiased CKA and
    its control, over seeds. There are as many examples of each class."""
    found: dict[str, list[float]] = {"cka": [], "control": []}
    labels = torch.arange(100) % 5
    for seed in range(40):
        stream = generator(seed)
        clouds = torch.randn(5, 5, generator=stream) * 1.5
        x = clouds[labels] + torch.randn(100, 5, generator=stream)
        chosen = torch.randperm(5, generator=stream)[:2]
        forget = torch.isin(labels, chosen) & (torch.arange(100) < 50)
        x[forget] -= 0 if like_their_classes else clouds[labels[forget]]
        sets = {"forget": Examples(x[forget], labels[forget]), "retain": Examples(x[~forget], labels[~forget])}
        rows = cka(Probe(mlp(), sets, OBJECTIVE, seed, None), examples=50, matchings=5)
        got = {(row.measure, row.part): row.value for row in rows}
        assert got["cka_rows", ""] == got["cka_rows_control", ""] == 20
        assert got["cka_same_class_share", ""] == got["cka_same_class_share_control", ""] == 1
        found["cka"].append(got["cka_unbiased", "features.1"])
        found["control"].append(got["cka_unbiased_control", "features.1"])
    return {name: np.array(values) for name, values in found.items()}


def test_a_forget_set_drawn_at_random_from_its_classes_differs_from_its_control_by_chance() -> None:
    found = differences(True)
    less = found["cka"] - found["control"]
    error = less.std(ddof=1) / math.sqrt(len(less))
    assert error < 0.07
    assert abs(less.mean()) < 3 * error


def test_a_forget_set_that_is_not_like_its_classes_differs_from_its_control() -> None:
    found = differences(False)
    less = found["cka"] - found["control"]
    assert less.mean() < -3 * less.std(ddof=1) / math.sqrt(len(less))


def test_the_control_has_streams_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    forget = Examples(gaussian(10, 5).float(), torch.zeros(10, dtype=torch.int64))
    retain = Examples(gaussian(90, 5, seed=1).float(), torch.arange(90) % 6)
    before = values_of(mlp(), forget, retain, n=12)
    usual = Probe.generator
    monkeypatch.setattr(
        Probe,
        "generator",
        lambda self, *purpose: usual(self, *purpose, *["other"] * ("control" in " ".join(map(str, purpose)))),
    )
    after = values_of(mlp(), forget, retain, n=12)
    changed = {key[0] for key, value in before.items() if not np.array_equal(after[key], value, equal_nan=True)}
    assert changed
    assert all(measure.endswith("_control") for measure in changed)


def test_layers_are_the_relus_or_the_other_activations_and_the_representation() -> None:
    cnn = CNN(DataShape((1, 8, 8), 3), channels=[2, 3], kernel_size=3, hidden=5)
    transformer = Transformer(DataShape((2,), 3, 5), layers=2, width=6, heads=2, mlp_width=7)
    assert layers(mlp()) == layers(mlp("quadratic")) == ["features.1", "features.3", "representation"]
    assert layers(cnn) == ["features.1", "features.4", "features.8", "representation"]
    assert layers(transformer) == ["blocks.0.activation", "blocks.1.activation", "representation"]


def test_features_are_flattened_maps_of_every_example() -> None:
    cnn = CNN(DataShape((1, 8, 8), 3), channels=[2, 3], kernel_size=3, hidden=5).double().eval()
    x = gaussian(300, 1, 8, 8)  # more than one forward pass
    got = outputs(cnn, ["features.4"], Examples(x, torch.zeros(300)))["features.4"]
    torch.testing.assert_close(got, cnn.features[:5](x).flatten(1))
    torch.testing.assert_close(
        outputs(cnn, ["representation"], Examples(x, torch.zeros(300)))["representation"], cnn.features(x)
    )


@pytest.mark.parametrize("blocks", [1, 2])
def test_features_of_a_transformer_belong_to_their_examples(blocks: int) -> None:
    model = Transformer(DataShape((2,), 3, 5), layers=blocks, width=6, heads=2, mlp_width=7).double().eval()
    pairs = torch.tensor([[0, 1], [1, 0], [4, 4], [2, 3]])
    for layer in layers(model):
        together = outputs(model, [layer], Examples(pairs, torch.zeros(4)))[layer]
        alone = torch.cat([outputs(model, [layer], Examples(pair[None], torch.zeros(1)))[layer] for pair in pairs])
        assert len(together) == 4
        torch.testing.assert_close(together, alone)
    torch.testing.assert_close(model.output(together), model(pairs))


class Tables(nn.Module):
    """Its forward works on a table of all tokens, and only then on examples."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.token, self.relu, self.output = nn.Embedding(5, 3), nn.ReLU(), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.relu(self.token.weight)[x])

    def per_example_forward(self, x: Tensor) -> Tensor:
        return self.output(self.relu(self.token(x)))


def test_features_of_shared_tables_are_told_by_the_per_example_forward() -> None:
    model, x = Tables(), torch.tensor([4, 1, 1, 0, 2, 2, 3])
    got = outputs(model, ["relu"], Examples(x, torch.zeros(7)))["relu"]
    assert torch.equal(got, model.token.weight.detach()[x].clamp(min=0))


class Shared(nn.Module):
    """One ReLU for two layers, after which another works in place."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.output = nn.ReLU(), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.relu(self.relu(x).add_(-1)))


def test_an_activation_called_twice_gives_both_outputs_as_they_were() -> None:
    x = torch.tensor([[-1.0, 0.5, 3.0]])
    got = outputs(Shared(), ["relu"], Examples(x, torch.zeros(1)))["relu"]
    assert got.tolist() == [[0, 0.5, 3, 0, 0, 2]]


def test_an_error_half_way_leaves_no_hook() -> None:
    model = mlp()
    model.output = nn.Linear(9, 3)
    for layer in layers(model):
        with pytest.raises(RuntimeError):
            outputs(model, [layer], one_each(gaussian(4, 5).float()))
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_the_model_is_left_as_it_was() -> None:
    model = mlp()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    values_of(model, one_each(gaussian(6, 5).float()), one_each(gaussian(9, 5).float()))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_tiny_sets_give_nan_and_no_error() -> None:
    got = values_of(mlp(), one_each(gaussian(1, 5).float()), one_each(gaussian(9, 5).float()))
    assert (got["cka_rows", ""], got["forget_cka_rows", ""], got["retain_cka_rows", ""]) == (1, 0, 4)
    assert math.isnan(got["cka", "representation"])
    assert math.isnan(got["forget_cka_unbiased", "representation"])
    assert not math.isnan(got["retain_cka", "representation"])
