"""The methods that change the weights once against plain calculations: selective synaptic dampening and influence."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from conformance.problems import CLASSES, OBJECTIVE, cnn_problem, difference, examples, path, problem
from grokforget.config.methods import METHODS
from grokforget.data.loader import DeviceLoader, Examples
from grokforget.methods import influence as module
from grokforget.methods.base import Method, Problem
from grokforget.training.evaluate import accuracy_and_loss

KINDS = ("ssd", "influence")


def build(kind: str, **settings: object) -> Method:
    return METHODS[kind](**settings).spec().build()


def single_gradients(given: Problem, part: Examples) -> list[plain.Weights]:
    """The gradient of every example's cross-entropy, one after the other."""
    weights = plain.weights_of(given.model)
    return [
        plain.gradient(lambda w, n=n: plain.cross_entropy(plain.mlp(w, part.x[n : n + 1]), part.y[n : n + 1]), weights)
        for n in range(len(part))
    ]


def mean(gradients: list[plain.Weights], power: int = 1) -> plain.Weights:
    return {name: sum(g[name] ** power for g in gradients) / len(gradients) for name in gradients[0]}


# selective synaptic dampening


def dampened(
    weights: plain.Weights, forget: plain.Weights, every: plain.Weights, alpha: float, factor: float
) -> plain.Weights:
    after = {}
    for name, w in weights.items():
        flat = []
        for value, i_f, i_d in zip(w.flatten(), forget[name].flatten(), every[name].flatten(), strict=True):
            flat.append(value * min(1.0, float(factor * i_d / i_f)) if i_f > alpha * i_d else value)
        after[name] = torch.stack(flat).view(w.shape)
    return after


@pytest.mark.parametrize(("alpha", "factor"), [(1.2, 1.0), (0.9, 0.5), (1.5, 1.7), (0.3, 0.1)])
def test_ssd_dampens_the_weights_that_matter_more_to_the_forget_set(alpha: float, factor: float) -> None:
    given = problem()
    of_forget, of_retain = (single_gradients(given, part) for part in (given.forget, given.retain))
    before = plain.weights_of(given.model)
    expected = dampened(before, mean(of_forget, 2), mean(of_forget + of_retain, 2), alpha, factor)
    method = build("ssd", alpha=alpha, dampening=factor)
    (got,) = path(method, given)
    assert difference(got, expected) < 1e-12
    changed = sum(int((got[name] != before[name]).sum()) for name in before)
    assert 0 < changed < sum(value.numel() for value in before.values())
    if factor < 0.9:
        assert method.diagnostics == {"ssd_dampened_share": changed / sum(value.numel() for value in before.values())}


@pytest.mark.parametrize("size", [3, 7])
def test_ssd_with_larger_batches_squares_the_gradient_of_their_mean(size: int) -> None:
    given = problem()

    def importance(part: Examples, name: str) -> plain.Weights:
        found = single_gradients(given, part)
        order = DeviceLoader(part, size, given.seed, "unlearning", "importance", name).order(0)
        return mean([mean([found[int(i)] for i in batch]) for batch in order], 2)

    both = Examples(torch.cat([given.forget.x, given.retain.x]), torch.cat([given.forget.y, given.retain.y]))
    expected = dampened(
        plain.weights_of(given.model), importance(given.forget, "forget"), importance(both, "all"), 1.2, 0.8
    )
    (got,) = path(build("ssd", alpha=1.2, dampening=0.8, batch_size=size), given)
    assert difference(got, expected) < 1e-12


def test_ssd_selects_nothing_from_the_inverse_of_the_forgotten_share_on() -> None:
    """I_D holds I_f with the weight |D_f| / |D|."""
    given, before = problem(n_forget=7, n_retain=18), plain.weights_of(problem().model)
    method = build("ssd", alpha=25 / 7 + 1e-9, dampening=0.5)
    assert difference(path(method, given)[0], before) == 0
    assert method.diagnostics == {"ssd_dampened_share": 0}


def test_ssd_of_examples_learned_by_heart_keeps_its_ratios_in_float32() -> None:
    """Gradients of 1e-30 have squares of 0."""
    shares = []
    for dtype in (torch.float32, torch.float64):
        given = problem(dtype=dtype)
        with torch.no_grad():
            given.model.output.weight.zero_()
            given.model.output.bias.copy_(torch.tensor([70.0, 0, 0]))
        zeros = [Examples(part.x, torch.zeros_like(part.y)) for part in (given.forget, given.retain)]
        given = replace(given, forget=zeros[0], retain=zeros[1])
        method = build("ssd", alpha=1.0, dampening=0.5)
        (after,) = path(method, given)
        shares.append((method.diagnostics["ssd_dampened_share"], after["output.bias"].double()))
    assert shares[0][0] == shares[1][0] > 0
    torch.testing.assert_close(shares[0][1], shares[1][1], rtol=1e-5, atol=0)


def test_ssd_of_a_convolutional_net_is_its_formula() -> None:
    given, forward = cnn_problem()
    weights = plain.weights_of(given.model)

    def squares(part: Examples) -> list[plain.Weights]:
        return [
            plain.gradient(
                lambda w, n=n: plain.cross_entropy(forward(w, part.x[n : n + 1]), part.y[n : n + 1]), weights
            )
            for n in range(len(part))
        ]

    of_forget, of_retain = squares(given.forget), squares(given.retain)
    expected = dampened(weights, mean(of_forget, 2), mean(of_forget + of_retain, 2), 1.1, 0.6)
    (got,) = path(build("ssd", alpha=1.1, dampening=0.6), given)
    assert difference(got, expected) < 1e-12


# influence


def flat(weights: plain.Weights) -> Tensor:
    return torch.cat([value.flatten() for value in weights.values()])


def dense_step(given: Problem, sample: list[plain.Weights], damping: float) -> tuple[Tensor, Tensor]:
    """F⁻¹v with F in full, and v."""
    of_forget, of_retain = (single_gradients(given, part) for part in (given.forget, given.retain))
    n_f, n_r = len(of_forget), len(of_retain)
    v = n_f / (n_f + n_r) * (flat(mean(of_forget)) - flat(mean(of_retain)))
    fisher = damping * torch.eye(len(v), dtype=torch.float64)
    for g in sample:
        fisher += torch.outer(flat(g), flat(g)) / len(sample)
    return torch.linalg.inv(fisher) @ v, v


@pytest.mark.parametrize("damping", [1.0, 0.01])
@pytest.mark.parametrize("alpha", [1.0, 0.2])
def test_influence_is_a_step_along_the_inverse_of_the_whole_fisher_matrix(alpha: float, damping: float) -> None:
    given = problem()
    before = flat(plain.weights_of(given.model))
    expected, v = dense_step(given, single_gradients(given, given.retain), damping)
    method = build("influence", alpha=alpha, damping=damping)
    (got,) = path(method, given)
    moved = (flat(got) - before) / alpha
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5 * float(expected.norm()))
    assert float((expected - v / damping).norm()) > 0.05 * float(expected.norm()), "the Fisher matrix matters"
    assert method.diagnostics["influence_residual"] < 1e-5


def test_influence_draws_so_many_retain_examples_with_the_problems_seed() -> None:
    given = problem()
    chosen = torch.randperm(18, generator=given.generator("influence"))[:5]
    gradients = single_gradients(given, given.retain)
    expected, _ = dense_step(given, [gradients[int(i)] for i in chosen], 0.1)
    before = flat(plain.weights_of(given.model))
    (got,) = path(build("influence", examples=5, damping=0.1), given)
    torch.testing.assert_close(flat(got) - before, expected, rtol=0, atol=1e-5 * float(expected.norm()))


def test_rank_one_updates_give_the_same_inverse() -> None:
    """WoodFisher's form, each update of the inverse by the Sherman-Morrison formula."""
    given = problem()
    gradients = single_gradients(given, given.retain)
    expected, v = dense_step(given, gradients, 1.0)
    inverse = torch.eye(len(v), dtype=torch.float64)
    for g in map(flat, gradients):
        image = inverse @ g
        inverse -= torch.outer(image, image) / (len(gradients) + g @ image)
    torch.testing.assert_close(inverse @ v, expected, rtol=1e-9, atol=1e-12)


def test_influence_is_the_same_in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = path(build("influence", damping=0.1), problem())
    monkeypatch.setattr(module, "CHUNK", 4)
    (parts,) = path(build("influence", damping=0.1), problem())
    assert 0 < difference(whole, parts) < 1e-9


def test_influence_raises_the_forget_loss_more_than_the_retain_loss() -> None:
    given = problem()
    parts = (given.forget, given.retain)

    def losses() -> list[float]:
        return [accuracy_and_loss(given.model, part, OBJECTIVE, nn.functional.cross_entropy)[1] for part in parts]

    before = losses()
    path(build("influence", alpha=0.01), given)
    forget, retain = (after - b for after, b in zip(losses(), before, strict=True))
    assert forget > 0
    assert forget > retain


def test_influence_forms_no_matrix_of_the_models_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that it works with has more numbers than the model, or than a piece of the examples' activations."""
    given = problem()
    largest = 0

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.numel())
            return result

    with Sizes():
        path(build("influence"), given)
    assert largest <= max(18 * 6, sum(p.numel() for p in given.model.parameters()))


# what holds of both


def normed() -> nn.Sequential:
    model = nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, CLASSES)
    ).double()
    model[1].running_mean.fill_(0.3)
    return model


STRONG = {"ssd": {"alpha": 1.0, "dampening": 0.5}, "influence": {"alpha": 1.0}}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("training", [True, False])
def test_statistics_modes_flags_hooks_and_random_state_are_as_they_were(kind: str, training: bool) -> None:
    given = replace(problem(), model=normed().train(training))
    given.model[3].eval()
    before, state = copy.deepcopy(given.model), torch.get_rng_state()
    assert len(path(build(kind, **STRONG[kind]), given)) == 1
    assert torch.equal(torch.get_rng_state(), state)
    for ours, theirs in zip(given.model.modules(), before.modules(), strict=True):
        assert ours.training == theirs.training
        assert not ours._forward_hooks
    for ours, theirs in zip(given.model.buffers(), before.buffers(), strict=True):
        assert torch.equal(ours, theirs)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in given.model.parameters())
    assert difference(plain.weights_of(given.model), plain.weights_of(before)) > 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_norm_that_mixes_examples_is_refused(kind: str) -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, CLASSES)).double()
    with pytest.raises(TypeError, match="without running statistics"):
        path(build(kind), replace(problem(), model=model))


@pytest.mark.parametrize("kind", KINDS)
def test_one_forget_example_and_the_same_bytes_again(kind: str) -> None:
    runs = [path(build(kind, **STRONG[kind]), replace(problem(), forget=examples(1, 1))) for _ in range(2)]
    assert difference(runs[0][0], runs[1][0]) == 0
    assert difference(runs[0][0], plain.weights_of(problem().model)) > 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_it_works_where_gradients_are_off(kind: str) -> None:
    (expected,) = path(build(kind, **STRONG[kind]), problem())
    with torch.no_grad():
        (got,) = path(build(kind, **STRONG[kind]), problem())
    assert difference(got, expected) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_has_diverged_stays_without_numbers(kind: str) -> None:
    given = problem()
    with torch.no_grad():
        given.model.output.weight[0, 0] = torch.nan
    assert sum(1 for _ in build(kind).run(given)) == 1
    assert not given.model.output.weight.isfinite().all()


def halved() -> object:
    class Halved(type(OBJECTIVE)):  # type: ignore[misc]
        def example_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return super().example_losses(outputs, targets) / 2

    return Halved(loss="mse")


LOSSES: dict[str, Callable[[], tuple[dict[str, float], dict[str, float]]]] = {
    # Half the loss has a quarter of the Fisher matrix and half of v.
    "influence": lambda: ({"damping": 0.25, "alpha": 0.5}, {"damping": 1.0, "alpha": 1.0}),
    "ssd": lambda: ({"alpha": 1.2}, {"alpha": 1.2}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_losses_are_the_objectives(kind: str) -> None:
    half, whole = LOSSES[kind]()
    (got,) = path(build(kind, **half), replace(problem(), objective=halved()))
    (expected,) = path(build(kind, **whole), problem())
    assert difference(got, expected) < 1e-6


def test_defaults_are_the_published_ones() -> None:
    settings = {kind: METHODS[kind]().spec().settings for kind in KINDS}
    assert settings["ssd"] == {"alpha": 10.0, "dampening": 1.0, "batch_size": 1}
    assert settings["influence"] == {"alpha": 1.0, "examples": 1000, "damping": 1.0}


@pytest.mark.parametrize(("kind", "values"), [("fisher", (1e-4, 1e-2)), ("ssd", (0.5, 1.0))])
def test_candidates_that_share_what_they_work_out_give_what_they_give_alone(
    kind: str, values: tuple[float, float]
) -> None:
    shared: dict[str, object] = {}
    for value in values:
        alone, together = problem(), problem()
        together.shared = shared
        for given in (alone, together):
            list(build(kind, alpha=value).run(given))
        assert difference(plain.weights_of(alone.model), plain.weights_of(together.model)) == 0
        assert difference(plain.weights_of(alone.model), plain.weights_of(problem().model)) > 0
    assert len(shared) == 1, "worked out once"
