"""The methods that train on the retain set against plain calculations: NegGrad+, ℓ1-sparse, CF-k and EU-k."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from conformance.problems import (
    CLASSES,
    FEATURES,
    OBJECTIVE,
    assert_same_path,
    cnn_problem,
    difference,
    examples,
    path,
    problem,
    randomised,
)
from grokforget.config.methods import METHODS
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods.base import Method, Problem
from grokforget.methods.last_layers import layers
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer

SGD = {"learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.1}


def build(kind: str, **settings: object) -> Method:
    return METHODS[kind](**settings).spec().build()


# NegGrad+


@pytest.mark.parametrize(("n_forget", "n_retain"), [(7, 18), (18, 7)])
@pytest.mark.parametrize("weight", [0.95, 0.4])
def test_neg_grad_plus_weighs_the_two_cross_entropies_and_takes_forget_batches_in_turn(
    weight: float, n_forget: int, n_retain: int
) -> None:
    given = problem(n_forget=n_forget, n_retain=n_retain)
    w, sgd, expected = plain.weights_of(given.model), plain.Sgd(0.5, 0.1), []
    for epoch in range(3):
        forget = given.batches("forget", 4, epoch)
        for number, r in enumerate(given.batches("retain", 5, epoch)):
            f = forget[number % len(forget)]

            def loss(w: plain.Weights, r=r, f=f) -> Tensor:  # type: ignore[no-untyped-def]
                kept, forgotten = (plain.cross_entropy(plain.mlp(w, b.x), b.y) for b in (r, f))
                return weight * kept - (1 - weight) * forgotten

            w = sgd.update(w, plain.gradient(loss, w), 0.05)
            expected.append(w)
    settings = {"retain_weight": weight, "epochs": 3, "retain_batch_size": 5, "forget_batch_size": 4, **SGD}
    assert_same_path(path(build("neg-grad-plus", **settings), given), expected)


# ℓ1-sparse


def test_l1_sparse_adds_the_sum_of_sizes_with_a_weight_that_falls_to_nothing() -> None:
    given = problem()
    with torch.no_grad():
        given.model.output.weight[0] = 0
    w, sgd, expected = plain.weights_of(given.model), plain.Sgd(0.5, 0.1), []
    for epoch, share in enumerate([1.0, 0.75, 0.5, 0.25]):
        for batch in given.batches("retain", 7, epoch):
            g = plain.gradient(lambda w, b=batch: plain.cross_entropy(plain.mlp(w, b.x), b.y), w)
            # The derivative of |w| is -1, 0 or 1.
            g = {name: g[name] + 0.03 * share * ((w[name] > 0).double() - (w[name] < 0).double()) for name in w}
            w = sgd.update(w, g, 0.05)
            expected.append(w)
    assert_same_path(path(build("l1-sparse", alpha=0.03, epochs=4, batch_size=7, **SGD), given), expected)


def test_l1_sparse_without_its_term_is_fine_tuning() -> None:
    settings = {"epochs": 2, "batch_size": 7, **SGD}
    sparse, tuned = (
        path(build("l1-sparse", alpha=0, **settings), problem()),
        path(build("fine-tune", **settings), problem()),
    )
    assert [difference(a, b) for a, b in zip(sparse, tuned, strict=True)] == [0] * len(tuned)


# CF-k and EU-k

LAYERS = {"mlp": ["features.0", "features.2", "output"], "cnn": ["features.0", "features.3", "features.7", "output"]}
LAYERS["transformer"] = ["token", "position"] + [
    f"blocks.{i}.{name}" for i in (0, 1) for name in ("query", "key", "value", "merge", "mlp_in", "mlp_out")
]
LAYERS["transformer"].append("output")


def a_model(kind: str) -> nn.Module:
    if kind == "mlp":
        return MLP(
            DataShape((FEATURES,), CLASSES), hidden=[6, 4], activation="relu", bias=True, initialisation="default"
        )
    if kind == "cnn":
        return CNN(DataShape((1, 8, 8), CLASSES), channels=[2, 3], kernel_size=3, hidden=5)
    return Transformer(DataShape((2,), CLASSES, 7), layers=2, width=8, heads=2, mlp_width=6)


def names_of_layers(model: nn.Module) -> list[list[str]]:
    names = {module: name for name, module in model.named_modules()}
    return [[names[module] for module in layer] for layer in layers(model)]


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_the_modules_with_parameters_in_the_order_of_an_example(kind: str) -> None:
    assert names_of_layers(a_model(kind)) == [[name] for name in LAYERS[kind]]


def test_layers_follow_the_chain_where_modules_are_registered_in_another_order() -> None:
    class Reversed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output, self.inner = nn.Linear(3, 2), nn.Sequential(nn.Linear(4, 3), nn.ReLU())

        def chain(self) -> list[nn.Module]:
            return [self.inner, self.output]

    assert names_of_layers(Reversed()) == [["inner.0"], ["output"]]


def normed(seed: int = 0) -> nn.Sequential:
    """A normalisation in front, and one behind each hidden layer."""
    model = nn.Sequential(
        nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.ReLU(),
        nn.Linear(6, 4), nn.BatchNorm1d(4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, CLASSES),
    )  # fmt: skip
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.fill_(0.3)
            module.running_var.fill_(2)
            module.num_batches_tracked.fill_(3)
    return randomised(model, seed).double()  # type: ignore[return-value]


def test_normalisations_belong_to_the_layer_that_they_follow() -> None:
    assert names_of_layers(normed()) == [["0"], ["1", "2"], ["4", "5", "6"], ["8"]]


@pytest.mark.parametrize("k", [1, 2])
def test_cf_k_is_sgd_on_the_last_layers_alone(k: int) -> None:
    given = problem()
    own = [f"{layer}.{key}" for layer in ("features.0", "output")[-k:] for key in ("weight", "bias")]
    w, sgd, expected = plain.weights_of(given.model), plain.Sgd(0.5, 0.1), []
    for epoch in range(3):
        for batch in given.batches("retain", 7, epoch):
            g = plain.gradient(lambda w, b=batch: plain.cross_entropy(plain.mlp(w, b.x), b.y), w)
            w = {**w, **sgd.update({name: w[name] for name in own}, g, 0.05)}
            expected.append(w)
    assert_same_path(path(build("cf-k", k=k, epochs=3, batch_size=7, **SGD), given), expected)


def test_cf_k_of_all_layers_is_fine_tuning_of_a_convolutional_net_too() -> None:
    settings = {"epochs": 2, "batch_size": 4, **SGD}
    whole, tuned = (
        path(build("cf-k", k=3, **settings), cnn_problem()[0]),
        path(build("fine-tune", **settings), cnn_problem()[0]),
    )
    assert max(difference(a, b) for a, b in zip(whole, tuned, strict=True)) < 1e-12


def normed_problem() -> Problem:
    return replace(problem(), model=normed())


@pytest.mark.parametrize("statistics", ["moving", "frozen"])
@pytest.mark.parametrize("kind", ["cf-k", "eu-k"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_other_layers_stay_to_the_last_bit_with_their_running_statistics(
    k: int, kind: str, statistics: str
) -> None:
    given = normed_problem()
    before = copy.deepcopy(given.model.state_dict())
    path(build(kind, k=k, epochs=2, batch_size=5, batch_statistics=statistics, **SGD), given, mode_between=True)
    moved = {name for name, value in given.model.state_dict().items() if not torch.equal(value, before[name])}
    modules = {1: {"8"}, 2: {"4", "5", "6", "8"}, 3: {"1", "2", "4", "5", "6", "8"}}[k]
    own = {name for name in before if name.split(".")[0] in modules}
    if statistics == "frozen" and kind == "cf-k":
        own -= {name for name in own if "running" in name or "tracked" in name}
    assert moved == own


def initial(given: Problem, k: int) -> plain.Weights:
    """The last k layers drawn by hand, as ``nn.Linear`` draws: uniform within 1/√(inputs), the last layer first."""
    weights = plain.weights_of(given.model)
    drawn = torch.Generator().manual_seed(given.generator("reinitialise").initial_seed())
    for layer in ("output", "features.0")[:k]:
        bound = given.model.get_submodule(layer).in_features ** -0.5
        for name in (f"{layer}.weight", f"{layer}.bias"):
            weights[name] = torch.empty_like(weights[name]).uniform_(-bound, bound, generator=drawn)
    return weights


@pytest.mark.parametrize("k", [1, 2])
def test_eu_k_is_cf_k_from_a_new_initialisation_drawn_with_the_problems_seed(k: int) -> None:
    given, settings = problem(), {"k": k, "epochs": 2, "batch_size": 7, **SGD}
    first, *others = path(build("eu-k", **settings), given)
    torch.testing.assert_close(first, initial(problem(), k), rtol=0, atol=1e-12)
    again = problem()
    again.model.load_state_dict(first)
    assert_same_path(others, path(build("cf-k", **settings), again))


def test_eu_k_draws_as_the_model_does() -> None:
    """A transformer's weights are N(0, 1/width), whatever a linear layer draws by itself."""
    tokens = torch.randint(7, (9, 2), generator=torch.Generator().manual_seed(0))
    part = Examples(tokens, torch.arange(9) % CLASSES)
    model = Transformer(DataShape((2,), CLASSES, 7), layers=1, width=256, heads=2, mlp_width=6)
    given = replace(problem(), model=model, forget=part, retain=part, validation=part)
    next(build("eu-k").run(given))
    assert abs(float(model.output.weight.detach().std()) * 16 - 1) < 0.1


def test_eu_k_leaves_the_global_random_state_and_draws_the_same_whatever_it_is() -> None:
    firsts = []
    for number in range(2):
        given = problem()
        torch.manual_seed(number)
        state = torch.get_rng_state()
        firsts.append(path(build("eu-k", epochs=1, batch_size=9), given)[0])
        assert torch.equal(torch.get_rng_state(), state)
    other = path(build("eu-k", epochs=1, batch_size=9), replace(problem(), seed=1))[0]
    assert difference(*firsts) == 0
    assert difference(firsts[0], other) > 1e-3


@pytest.mark.parametrize("kind", ["cf-k", "eu-k"])
def test_flags_are_as_they_were_at_every_update_and_frozen_parameters_stay(kind: str) -> None:
    given = problem()
    given.model.features[0].bias.requires_grad_(False)
    flags = {name: parameter.requires_grad for name, parameter in given.model.named_parameters()}
    before = given.model.features[0].bias.clone()
    for _ in build(kind, k=2, epochs=2, batch_size=9).run(given):
        assert {name: parameter.requires_grad for name, parameter in given.model.named_parameters()} == flags
    assert kind == "eu-k" or torch.equal(given.model.features[0].bias, before)


@pytest.mark.parametrize("kind", ["cf-k", "eu-k"])
def test_more_layers_than_the_model_has_are_an_error_before_any_change(kind: str) -> None:
    given = problem()
    before = plain.weights_of(given.model)
    with pytest.raises(ValueError, match="k is 3, but MLP has 2 layers"):
        path(build(kind, k=3), given)
    assert difference(before, plain.weights_of(given.model)) == 0


def test_eu_k_refuses_a_module_that_cannot_be_initialised_anew() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(CLASSES, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.scale

    given = replace(problem(), model=nn.Sequential(nn.Linear(FEATURES, CLASSES).double(), Scaled()))
    with pytest.raises(TypeError, match=r"no new weights for 1\.scale"):
        path(build("eu-k"), given)


# what holds of all four

KINDS = ("neg-grad-plus", "l1-sparse", "cf-k", "eu-k")
BATCHES: dict[str, Callable[[int], dict[str, int]]] = {
    kind: lambda size: {"batch_size": size} for kind in KINDS if kind != "neg-grad-plus"
}
BATCHES["neg-grad-plus"] = lambda size: {"retain_batch_size": size, "forget_batch_size": size}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes_and_another_one_other_batches(kind: str) -> None:
    runs = [path(build(kind, epochs=2, **BATCHES[kind](4)), replace(problem(), seed=seed)) for seed in (0, 0, 1)]
    assert [difference(a, b) for a, b in zip(runs[0], runs[1], strict=True)] == [0] * len(runs[0])
    assert difference(runs[0][-1], runs[2][-1]) > 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_one_forget_example_and_a_last_batch_of_one(kind: str) -> None:
    given = replace(problem(), model=normed(), forget=examples(2, 1), retain=examples(9, 2))
    assert path(build(kind, epochs=1, **BATCHES[kind](4)), given)
    single = replace(problem(), forget=examples(1, 1))
    assert path(build(kind, epochs=1, **BATCHES[kind](4)), single)


def test_the_losses_are_the_objectives() -> None:
    """Not cross-entropy of their own: another objective's unlearning loss is followed."""

    class Halved(type(OBJECTIVE)):  # type: ignore[misc]
        def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return super().unlearning_loss(outputs, targets) / 2

    for kind in KINDS:
        settings = {**BATCHES[kind](4), "epochs": 1, "weight_decay": 0.0, "momentum": 0.0}
        if kind == "l1-sparse":
            settings["alpha"] = 0.0
        half = path(build(kind, learning_rate=0.2, **settings), replace(problem(), objective=Halved(loss="mse")))
        whole = path(build(kind, learning_rate=0.1, **settings), problem())
        assert max(difference(a, b) for a, b in zip(half, whole, strict=True)) < 1e-12, kind


def test_defaults_are_the_published_ones() -> None:
    settings = {kind: METHODS[kind]().spec().settings for kind in KINDS}
    plain_sgd = {"learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0, "batch_statistics": "moving"}
    batches = {"retain_batch_size": 128, "forget_batch_size": 64}
    assert settings["neg-grad-plus"] == {**plain_sgd, "epochs": 10, "retain_weight": 0.95, **batches}
    decayed = {**plain_sgd, "momentum": 0.9, "weight_decay": 5e-4}
    assert settings["l1-sparse"] == {**decayed, "epochs": 10, "batch_size": 256, "alpha": 5e-4}
    assert settings["cf-k"] == {**plain_sgd, "epochs": 10, "batch_size": 64, "k": 1}
    assert settings["eu-k"] == {**settings["cf-k"], "epochs": 30}
