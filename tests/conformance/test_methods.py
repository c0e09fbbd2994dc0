"""Every unlearning method against a plain calculation from its formula: manual loops and optimizers, every update."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy
import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from conformance.problems import (
    CLASSES,
    FEATURES,
    OBJECTIVE,
    TOLERANCE,
    Forward,
    assert_same_path,
    cnn_problem,
    difference,
    examples,
    mlp,
    path,
    problem,
    randomised,
    spy,
)
from grokforget.config import methods as registry
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.data.subset import subset
from grokforget.methods.base import Method, Problem
from grokforget.methods.descent import FineTune, GradientAscent
from grokforget.methods.fisher import FisherForgetting
from grokforget.methods.nabla_tau import NablaTau, n_epochs, nabla_tau_loss
from grokforget.methods.references import Original, Retrain
from grokforget.methods.relative_ascent import RelativeAscent
from grokforget.methods.scrub import Scrub, reference_error, rewind_epoch
from grokforget.models.cnn import CNN
from grokforget.models.transformer import Transformer
from grokforget.runtime.seeds import derive_seed
from grokforget.training import evaluate
from grokforget.training.distillation import distillation
from grokforget.training.evaluate import accuracy_and_loss

# the batches that every method is given


def test_batches_cut_the_set_into_pieces_in_an_order_that_depends_on_seed_name_and_epoch() -> None:
    given = problem()
    batches = given.batches("forget", 4, 0)
    assert [len(batch) for batch in batches] == [4, 3]
    together = Examples(torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]))
    positions = [int((given.forget.x == row).all(1).nonzero().item()) for row in together.x]
    assert sorted(positions) == list(range(7))
    assert torch.equal(together.y, given.forget.y[positions])

    def first(it: Problem, epoch: int) -> Tensor:
        return it.batches("forget", 7, epoch)[0].x

    assert torch.equal(first(given, 0), first(given, 0))
    assert not torch.equal(first(given, 0), first(given, 1))
    assert not torch.equal(first(given, 0), first(replace(given, seed=1), 0))


# references


def test_original_changes_nothing() -> None:
    given = problem()
    before = plain.weights_of(given.model)
    assert path(Original(), given) == []
    assert difference(plain.weights_of(given.model), before) == 0


def test_retrain_is_the_retrained_state_and_not_its_memory() -> None:
    given = problem()
    state = {name: value.clone() for name, value in mlp(seed=9).state_dict().items()}
    assert path(Retrain(), replace(given, retrained=state)) == []
    assert difference(plain.weights_of(given.model), state) == 0
    storages = {value.untyped_storage().data_ptr() for value in state.values()}
    assert storages.isdisjoint(parameter.untyped_storage().data_ptr() for parameter in given.model.parameters())


def test_retrain_without_a_retrained_state_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        path(Retrain(), problem())


# gradient ascent and fine-tuning


def plain_descent(
    given: Problem,
    name: str,
    sign: int,
    lr: float,
    momentum: float,
    weight_decay: float,
    epochs: int,
    size: int,
    forward: Forward = plain.mlp,
) -> list[plain.Weights]:
    weights, sgd, steps = plain.weights_of(given.model), plain.Sgd(momentum, weight_decay), []
    for epoch in range(epochs):
        for batch in given.batches(name, size, epoch):
            g = plain.gradient(lambda w, b=batch: sign * plain.cross_entropy(forward(w, b.x), b.y), weights)
            weights = sgd.update(weights, g, lr)
            steps.append(weights)
    return steps


DESCENTS = [(1e-4, 0.9, 5e-4), (0.05, 0.9, 5e-4), (0.05, 0.0, 0.0), (0.05, 0.5, 0.1)]


@pytest.mark.parametrize(("lr", "momentum", "weight_decay"), DESCENTS)
def test_gradient_ascent_is_sgd_on_minus_the_cross_entropy_of_the_forget_set(
    lr: float, momentum: float, weight_decay: float
) -> None:
    given = problem()
    expected = plain_descent(given, "forget", -1, lr, momentum, weight_decay, epochs=3, size=3)
    method = GradientAscent(
        learning_rate=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        epochs=3,
        batch_size=3,
        batch_statistics="moving",
    )
    assert_same_path(path(method, given), expected)


@pytest.mark.parametrize(("lr", "momentum", "weight_decay"), DESCENTS)
def test_fine_tuning_is_sgd_on_the_cross_entropy_of_the_retain_set(
    lr: float, momentum: float, weight_decay: float
) -> None:
    given = problem()
    expected = plain_descent(given, "retain", 1, lr, momentum, weight_decay, epochs=3, size=7)
    method = FineTune(
        learning_rate=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        epochs=3,
        batch_size=7,
        batch_statistics="moving",
    )
    assert_same_path(path(method, given), expected)


@pytest.mark.parametrize(("kind", "used"), [(GradientAscent, "forget"), (FineTune, "retain")])
def test_descent_is_in_train_mode_and_sees_one_set_alone(kind: type[Method], used: str) -> None:
    given = problem()
    given.model.eval()
    calls = spy(given.model)
    method = kind(learning_rate=0.1, momentum=0.9, weight_decay=0.0, epochs=2, batch_size=5, batch_statistics="moving")
    path(method, given, mode_between=False)
    assert all(call.training for call in calls)
    batches = [batch.x for epoch in range(2) for batch in given.batches(used, 5, epoch)]
    assert len(calls) == len(batches)
    assert all(torch.equal(call.x, x) for call, x in zip(calls, batches, strict=True))


def test_gradient_ascent_raises_the_forget_loss_without_end() -> None:
    given = problem()
    method = GradientAscent(
        learning_rate=0.1, momentum=0.9, weight_decay=0.0, epochs=40, batch_size=7, batch_statistics="moving"
    )
    path(method, given)
    assert accuracy_and_loss(given.model, given.forget, OBJECTIVE, nn.functional.cross_entropy)[1] > 20


# relative ascent


def plain_relative_ascent(
    given: Problem, share: float, epochs: int, size: int, forward: Forward = plain.mlp
) -> list[plain.Weights]:
    def norm(w: plain.Weights) -> float:
        return math.sqrt(sum(float((value**2).sum()) for value in w.values()))

    weights, steps = plain.weights_of(given.model), []
    for epoch in range(epochs):
        for batch in given.batches("forget", size, epoch):
            g = plain.gradient(lambda w, b=batch: plain.cross_entropy(forward(w, b.x), b.y), weights)
            length = share * norm(weights)
            weights = {name: weights[name] + length * g[name] / norm(g) for name in g}
            steps.append(weights)
    return steps


@pytest.mark.parametrize("share", [0.003, 0.05, 0.4])
def test_relative_ascent_moves_uphill_by_a_share_of_the_weight_norm(share: float) -> None:
    given = problem()
    expected = plain_relative_ascent(given, share, epochs=3, size=3)
    method = RelativeAscent(share=share, epochs=3, batch_size=3, batch_statistics="moving")
    assert_same_path(path(method, given), expected)
    assert method.diagnostics == {"updates_without_direction": 0}


def test_relative_ascent_of_a_convolutional_net_is_its_formula() -> None:
    given, forward = cnn_problem()
    expected = plain_relative_ascent(given, 0.02, epochs=2, size=4, forward=forward)
    assert_same_path(
        path(RelativeAscent(share=0.02, epochs=2, batch_size=4, batch_statistics="moving"), given), expected
    )


@pytest.mark.parametrize("flush", [False, True])
def test_relative_ascent_moves_a_saturated_float32_model_as_far_as_any_other(
    flush: bool, request: pytest.FixtureRequest
) -> None:
    """Jobs flush what is below the smallest normal number to 0, which is what a plain gradient is then."""
    request.addfinalizer(lambda: torch.set_flush_denormal(False))
    torch.set_flush_denormal(flush)
    given = problem(dtype=torch.float32)
    with torch.no_grad():
        given.model.output.weight.zero_()
        given.model.output.bias.copy_(torch.tensor([95.0, 0.0, 0.0]))
    given = replace(given, forget=Examples(given.forget.x, torch.zeros(7, dtype=torch.int64)))
    given.model.requires_grad_()
    loss = nn.functional.cross_entropy(given.model(given.forget.x), given.forget.y)
    (gradient,) = torch.autograd.grad(loss, given.model.output.bias)
    largest = float(gradient.abs().max())
    assert (largest == 0) == flush
    assert largest < 1e-38, "below the smallest normal number of float32"
    before = plain.weights_of(given.model)
    (after,) = path(RelativeAscent(share=0.1, epochs=1, batch_size=7, batch_statistics="moving"), given)
    moved, norm = (
        math.sqrt(sum(float((w.double() ** 2).sum()) for w in weights.values()))
        for weights in ({name: after[name] - before[name] for name in before}, before)
    )
    assert moved == pytest.approx(0.1 * norm, rel=1e-4)


@pytest.mark.parametrize("bias", [1000.0, math.nan], ids=["zero gradient", "gradient that is no number"])
def test_relative_ascent_without_a_direction_moves_nothing(bias: float) -> None:
    given = problem(dtype=torch.float32)
    with torch.no_grad():
        given.model.output.weight.zero_()
        given.model.output.bias.copy_(torch.tensor([bias, 0.0, 0.0]))
    given = replace(given, forget=Examples(given.forget.x, torch.zeros(7, dtype=torch.int64)))
    before = plain.weights_of(given.model)
    method = RelativeAscent(share=0.1, epochs=2, batch_size=4, batch_statistics="moving")
    steps = path(method, given)
    assert len(steps) == 4
    for weights in steps:
        assert all(torch.equal(weights[name].nan_to_num(7), before[name].nan_to_num(7)) for name in before)
    assert method.diagnostics == {"updates_without_direction": 4}


def test_relative_ascent_is_in_train_mode_and_sees_the_forget_set_alone() -> None:
    given = problem()
    given.model.eval()
    calls = spy(given.model)
    path(RelativeAscent(share=0.01, epochs=2, batch_size=5, batch_statistics="moving"), given, mode_between=False)
    assert all(call.training for call in calls)
    batches = [batch.x for epoch in range(2) for batch in given.batches("forget", 5, epoch)]
    assert len(calls) == len(batches)
    assert all(torch.equal(call.x, x) for call, x in zip(calls, batches, strict=True))


# nabla-tau


def plain_nabla_tau(
    given: Problem,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    factor: float = 5 / 3,
    size: int = 4,
    refresh: int = 5,
    forward: Forward = plain.mlp,
) -> tuple[list[plain.Weights], list[bool]]:
    """The weights after every update, and whether the forget term took part in it."""
    weights, adam, steps, active = plain.weights_of(given.model), plain.Adam(weight_decay, decoupled=True), [], []
    walk = [batch for number in range(9) for batch in given.batches("retain", size, number)]
    n_f, n_r = len(given.forget), len(given.retain)
    epochs = int(6 * math.ceil(n_r / size) / (2 * math.ceil(n_f / size)))
    for i in range(epochs):
        if i % refresh == 0:
            l_v = plain.cross_entropy(forward(weights, given.validation.x), given.validation.y).item()
        alpha = factor * n_f / (n_f + n_r) * (1 - i / epochs)
        for f in given.batches("forget", size, i):
            r = walk[len(steps)]

            def loss(w: plain.Weights, f: Examples = f, r: Examples = r, l_v: float = l_v, a: float = alpha) -> Tensor:
                short = l_v - plain.cross_entropy(forward(w, f.x), f.y)
                ascent = short**2 if short > 0 else 0 * short
                return a * ascent + (1 - a) * plain.cross_entropy(forward(w, r.x), r.y)

            active.append(plain.cross_entropy(forward(weights, f.x), f.y).item() < l_v)
            weights = adam.update(weights, plain.gradient(loss, weights), lr * (1 + (0.1 - 1) * i / epochs))
            steps.append(weights)
    return steps, active


def nabla_tau(**changes: float) -> NablaTau:
    return NablaTau(**({**registry.NablaTau(batch_size=4).spec().settings, **changes}))


@pytest.mark.parametrize("lr", [1e-3, 0.05])
def test_nabla_tau_is_its_formula(lr: float) -> None:
    given = problem()  # 2 forget and 5 retain batches: E = int(30 / 4) = 7, so L_V is taken twice
    expected, active = plain_nabla_tau(given, lr=lr)
    assert len(expected) == 7 * 2
    assert any(active), "the forget term must take part"
    got = path(nabla_tau(learning_rate=lr), given)
    assert_same_path(got, expected)


def test_nabla_tau_ascends_only_below_the_validation_loss() -> None:
    given = problem(seed=2)
    expected, active = plain_nabla_tau(given, lr=0.05)
    assert any(active)
    assert not all(active), "both sides of the relu must be seen"
    assert_same_path(path(nabla_tau(learning_rate=0.05), given), expected)


def test_nabla_tau_holds_the_validation_loss_for_five_epochs() -> None:
    given = problem(n_forget=4, n_retain=16)  # E = 12
    expected, _ = plain_nabla_tau(given, lr=0.05)
    assert len(expected) == 12
    never, _ = plain_nabla_tau(given, lr=0.05, refresh=100)
    always, _ = plain_nabla_tau(given, lr=0.05, refresh=1)
    assert min(difference(expected[-1], other[-1]) for other in (never, always)) > 1e-4, "the refresh must matter"
    calls = spy(given.model)
    assert_same_path(path(nabla_tau(learning_rate=0.05), given), expected)
    looks = [n for n, call in enumerate(calls) if call.x.shape == given.validation.x.shape]
    assert looks == [0, 1 + 2 * 5, 2 + 2 * 10], "before epochs 0, 5 and 10, of two passes each"
    assert not any(calls[n].grad for n in looks), "L_V is a constant"


def test_nabla_tau_goes_round_the_retain_set_where_it_is_the_smaller_one() -> None:
    given = problem(n_forget=12, n_retain=8)  # 3 and 2 batches: E = 2; α_0 = 1, in round-off
    expected, _ = plain_nabla_tau(given, lr=0.05)
    assert len(expected) == 2 * 3
    assert_same_path(path(nabla_tau(learning_rate=0.05), given), expected)


def test_nabla_tau_walks_through_all_of_the_retain_set_before_it_begins_again() -> None:
    given = problem(n_forget=7, n_retain=18)  # 2 forget and 5 retain batches, E = 7: 14 updates in walks of 5
    calls = spy(given.model)
    path(nabla_tau(), given)
    updates = [call.x for call in calls if call.grad]
    retain = updates[1::2]
    assert [len(x) for x in updates[::2]] == [4, 3] * 7, "the forget set begins anew in every epoch"

    def uses(batches: list[Tensor]) -> list[int]:
        rows = torch.cat(batches)
        return [int((rows == example).all(1).sum()) for example in given.retain.x]

    assert uses(retain[:5]) == uses(retain[5:10]) == [1] * 18
    assert set(uses(retain)) == {2, 3}
    assert not torch.equal(torch.cat(retain[:5]), torch.cat(retain[5:10])), "in another order"


def test_nabla_tau_takes_weight_decay_and_the_alpha_factor() -> None:
    given = problem()
    expected, _ = plain_nabla_tau(given, lr=0.02, weight_decay=0.5, factor=0.7, refresh=2)
    method = nabla_tau(learning_rate=0.02, weight_decay=0.5, alpha_factor=0.7, refresh_epochs=2)
    assert_same_path(path(method, given), expected)


def test_nabla_tau_is_in_eval_mode_throughout() -> None:
    given = problem()
    given.model.train()
    calls = spy(given.model)
    path(nabla_tau(), given, mode_between=True)
    assert not any(call.training for call in calls)


def test_nabla_tau_leaves_batch_norm_statistics_alone() -> None:
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.Linear(4, CLASSES)).double()
    path(nabla_tau(learning_rate=0.05), replace(problem(), model=model))
    assert model[1].num_batches_tracked == 0
    assert torch.equal(model[1].running_mean, torch.zeros(4).double())


def test_nabla_tau_has_the_relu_inside_the_square() -> None:
    forget = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    retain = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    above = nabla_tau_loss(forget, retain, 2.0, 0.25)
    assert above.item() == pytest.approx(0.75 * 0.5)  # relu((L_V - L_f)²) would add 0.25
    assert [g.item() for g in torch.autograd.grad(above, [forget, retain])] == [0, 0.75]
    below = nabla_tau_loss(forget, retain, 5.0, 0.25)
    assert below.item() == pytest.approx(0.25 * 4 + 0.75 * 0.5)
    assert [g.item() for g in torch.autograd.grad(below, [forget, retain])] == [-0.25 * 2 * 2, 0.75]


def test_nabla_tau_with_a_forget_loss_above_validation_fine_tunes_on_the_retain_set() -> None:
    given = problem()
    wrong = plain.mlp(plain.weights_of(given.model), given.forget.x).argmin(1)
    right = plain.mlp(plain.weights_of(given.model), given.validation.x).argmax(1)
    given = replace(given, forget=Examples(given.forget.x, wrong), validation=Examples(given.validation.x, right))
    other = replace(given, model=copy.deepcopy(given.model), forget=Examples(given.forget.x + 0.01, wrong))
    assert difference(path(nabla_tau(), given)[-1], path(nabla_tau(), other)[-1]) == 0


@pytest.mark.parametrize(("retain", "forget", "epochs"), [(4, 1, 12), (5, 2, 7), (158, 18, 26), (3, 3, 3), (2, 3, 2)])
def test_nabla_tau_runs_for_three_times_the_ratio_of_batches(retain: int, forget: int, epochs: int) -> None:
    assert n_epochs(retain, forget) == epochs


def test_a_mean_loss_is_the_mean_over_examples_not_over_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem()
    whole = accuracy_and_loss(given.model, given.validation, OBJECTIVE, nn.functional.cross_entropy)
    monkeypatch.setattr(evaluate, "BATCH", 4)
    assert accuracy_and_loss(given.model, given.validation, OBJECTIVE, nn.functional.cross_entropy) == pytest.approx(
        whole
    )
    weights = plain.weights_of(given.model)
    assert whole[0] == pytest.approx(1 - plain.error(weights, given.validation.x, given.validation.y))
    expected = plain.cross_entropy(plain.mlp(weights, given.validation.x), given.validation.y).item()
    assert whole[1] == pytest.approx(expected)


# SCRUB


@dataclass(frozen=True)
class Setting:
    """A row of the table of published settings, with batches that suit a handful of examples."""

    optimizer: str
    learning_rate: float
    weight_decay: float
    epochs: int
    max_epochs: int
    gamma: float
    alpha: float
    temperature: float
    decay_after: tuple[int, ...]
    retain_batch_size: int = 8
    forget_batch_size: int = 3
    rewind: bool = False
    ties: str = "first"
    batch_statistics: str = "moving"

    def method(self) -> Scrub:
        return Scrub(**vars(self))


SMALL = Setting("adam", 5e-4, 0.1, 10, 3, 1, 0.5, 2, (5, 8, 9))
LARGE = Setting("sgd", 5e-4, 5e-4, 3, 2, 0.99, 0.001, 4, (3, 5, 9))
SELECTIVE = Setting("sgd", 5e-4, 5e-4, 5, 3, 1, 0.5, 4, (3, 5, 9))
STRONG = Setting("sgd", 0.1, 0.01, 5, 4, 0.7, 2.0, 3, (2, 3))
STRONG_ADAM = Setting("adam", 0.02, 0.1, 5, 4, 0.7, 2.0, 3, (2, 3))
SETTINGS = {
    "small": SMALL, "large": LARGE, "selective": SELECTIVE, "strong sgd": STRONG, "strong adam": STRONG_ADAM
}  # fmt: skip


def plain_distance(student: Tensor, teacher: Tensor, t: float) -> Tensor:
    """T²/|B| Σ_n Σ_y p log(p/q), p the teacher's and q the student's softmax at temperature T."""
    p, q = plain.softmax(teacher / t), plain.softmax(student / t)
    return t**2 / len(p) * sum((p[n] * (p[n].log() - q[n].log())).sum() for n in range(len(p)))


def plain_scrub(given: Problem, s: Setting, forward: Forward = plain.mlp) -> list[list[plain.Weights]]:
    """The weights after every update, epoch by epoch."""
    weights = teacher = plain.weights_of(given.model)
    optimizer = plain.Adam(s.weight_decay, decoupled=False) if s.optimizer == "adam" else plain.Sgd(0.9, s.weight_decay)
    epochs = []
    for epoch in range(1, s.epochs + 1):
        lr = s.learning_rate * 0.1 ** len([m for m in s.decay_after if epoch > m])
        steps = []
        if epoch <= s.max_epochs:
            for b in given.batches("forget", s.forget_batch_size, epoch):
                target = forward(teacher, b.x)
                g = plain.gradient(
                    lambda w, b=b, target=target: -plain_distance(forward(w, b.x), target, s.temperature), weights
                )
                weights = optimizer.update(weights, g, lr)
                steps.append(weights)
        for b in given.batches("retain", s.retain_batch_size, epoch):
            target = forward(teacher, b.x)

            def loss(w: plain.Weights, b: Examples = b, target: Tensor = target) -> Tensor:
                z = forward(w, b.x)
                return s.gamma * plain.cross_entropy(z, b.y) + s.alpha * plain_distance(z, target, s.temperature)

            weights = optimizer.update(weights, plain.gradient(loss, weights), lr)
            steps.append(weights)
        epochs.append(steps)
    return epochs


def flat(epochs: list[list[plain.Weights]]) -> list[plain.Weights]:
    return [weights for steps in epochs for weights in steps]


@pytest.mark.parametrize("name", SETTINGS)
def test_scrub_is_its_formula(name: str) -> None:
    given = problem()  # 3 forget batches, 3 retain batches
    expected = flat(plain_scrub(given, SETTINGS[name]))
    got = path(SETTINGS[name].method(), given)
    assert_same_path(got, expected)
    assert difference(plain.weights_of(given.model), expected[-1]) < TOLERANCE, "without rewind the last epoch is kept"


CHANGES = [
    {"gamma": 0.8}, {"alpha": 1.9}, {"temperature": 2.0}, {"decay_after": (2,)}, {"decay_after": (1, 3)},
    {"max_epochs": 3}, {"weight_decay": 0.0}, {"learning_rate": 0.09},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_setting_of_scrub_matters_and_as_the_formula_says(change: dict[str, object]) -> None:
    given, changed = problem(), replace(STRONG, **change)
    expected = flat(plain_scrub(given, changed))
    assert difference(expected[-1], flat(plain_scrub(given, STRONG))[-1]) > 1e-6
    assert_same_path(path(changed.method(), given), expected)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_distillation_is_teacher_first_kl_and_so_is_its_gradient(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 6, CLASSES, generator=generator, dtype=torch.float64) * 3
    student.requires_grad_()
    expected = plain_distance(student, teacher, temperature)
    got = distillation(student, teacher, temperature)
    assert got.item() == pytest.approx(expected.item(), abs=1e-12)
    assert plain_distance(teacher, student, temperature).item() != pytest.approx(expected.item(), rel=0.01)
    torch.testing.assert_close(*(torch.autograd.grad(2.5 * d, student)[0] for d in (got, expected)), rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(lambda z: distillation(z, teacher, temperature), student)


def test_distillation_gives_the_teacher_no_gradient() -> None:
    student, teacher = torch.randn(2, 4, CLASSES, generator=torch.Generator().manual_seed(1)).requires_grad_().unbind()
    (gradient,) = torch.autograd.grad(distillation(student, teacher, 2.0), teacher, allow_unused=True)
    assert gradient is None


def test_scrub_passes_over_the_forget_set_then_the_retain_set_in_the_right_modes() -> None:
    given, setting = problem(), replace(STRONG, epochs=4, max_epochs=2)
    given.model.eval()
    calls = spy(given.model)
    path(setting.method(), given, mode_between=False)
    expected = []
    for epoch in range(1, 5):
        expected += given.batches("forget", 3, epoch) if epoch <= 2 else []
        expected += given.batches("retain", 8, epoch)
    for student in (True, False):
        seen = [call for call in calls if (call.module is given.model) == student]
        assert len(seen) == len(expected)
        assert all(torch.equal(call.x, batch.x) for call, batch in zip(seen, expected, strict=True))
        assert all(call.training == student for call in seen), "student in train mode, teacher in eval mode"


def test_scrub_never_changes_its_teacher_nor_shares_memory_with_it() -> None:
    given = problem()
    before = plain.weights_of(given.model)
    calls = spy(given.model)
    path(STRONG.method(), given)
    (teacher,) = {call.module for call in calls} - {given.model}
    assert difference(plain.weights_of(teacher), before) == 0
    assert difference(plain.weights_of(given.model), before) > 1e-2, "it is the student that moves"
    storages = [{p.untyped_storage().data_ptr() for p in model.parameters()} for model in (teacher, given.model)]
    assert storages[0].isdisjoint(storages[1])


def test_scrub_max_steps_drive_the_student_away_from_the_teacher() -> None:
    given = problem()
    setting = replace(STRONG, weight_decay=0.0, epochs=2, max_epochs=2, forget_batch_size=7, decay_after=())
    calls = spy(given.model)
    steps = path(setting.method(), given)
    teacher = plain.weights_of(next(call.module for call in calls if call.module is not given.model))

    def distance(weights: plain.Weights) -> float:
        return plain_distance(plain.mlp(weights, given.forget.x), plain.mlp(teacher, given.forget.x), 3).item()

    # One forget and three retain batches an epoch: the fifth update is the second max step.
    before, after = steps[3], steps[4]
    g = plain.gradient(
        lambda w: -plain_distance(plain.mlp(w, given.forget.x), plain.mlp(teacher, given.forget.x), 3), before
    )
    for name in g:
        carried = 0.9 * (before[name] - steps[2][name])  # momentum
        torch.testing.assert_close(after[name] - before[name] - carried, -0.1 * g[name], rtol=0, atol=TOLERANCE)
    assert distance({name: before[name] - 0.1 * g[name] for name in g}) > distance(before)


def models_in_float32() -> dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor]]]:
    tokens = DataShape((2,), CLASSES, 7)

    def transformer(layers: int) -> nn.Module:
        return randomised(Transformer(tokens, layers=layers, width=16, heads=2, mlp_width=24), 1)

    def cnn() -> nn.Module:
        return randomised(CNN(DataShape((1, 8, 8), CLASSES), channels=[4, 4], kernel_size=3, hidden=8), 1)

    def images(n: int) -> Tensor:
        return torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(n))

    def pairs(n: int) -> Tensor:
        return torch.randint(7, (n, 2), generator=torch.Generator().manual_seed(n))

    return {
        "mlp": (lambda: mlp(dtype=torch.float32), lambda n: examples(n, n, torch.float32).x),
        "cnn": (cnn, images),
        "transformer": (lambda: transformer(1), pairs),
        "two layers": (lambda: transformer(2), pairs),
    }


def float32_problem(name: str) -> Problem:
    model, inputs = models_in_float32()[name]
    sets = [Examples(inputs(n), torch.arange(n) % CLASSES) for n in (37, 50, 9)]
    return Problem(model(), *sets, objective=OBJECTIVE, seed=0)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("name", models_in_float32())
def test_the_first_max_epoch_of_scrub_leaves_every_bit_and_the_min_epoch_then_moves(name: str, optimizer: str) -> None:
    given = float32_problem(name)
    before = plain.weights_of(given.model)
    setting = replace(
        STRONG, optimizer=optimizer, learning_rate=0.01, weight_decay=0.0, forget_batch_size=10, retain_batch_size=25
    )
    steps = path(setting.method(), given)
    for weights in steps[:4]:
        assert all(torch.equal(weights[key], before[key]) for key in before)
    assert difference(steps[4], before) > 1e-4
    assert difference(steps[6], steps[5]) > 1e-6, "the second max epoch moves too"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_first_max_step_of_scrub_is_weight_decay_alone(optimizer: str) -> None:
    given = problem()
    lr, decay = STRONG.learning_rate, 0.01
    w = plain.weights_of(given.model)
    first = path(replace(STRONG, optimizer=optimizer, weight_decay=decay).method(), given)[0]
    for name in w:
        pull = decay * w[name]
        step = pull if optimizer == "sgd" else pull / (pull.abs() + 1e-8)
        torch.testing.assert_close(first[name], w[name] - lr * step, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_scrub_uses_its_forget_batches(optimizer: str) -> None:
    setting = replace(STRONG, optimizer=optimizer, weight_decay=0.0, epochs=2, max_epochs=2)
    steps, other = (
        path(setting.method(), replace(problem(), forget=forget)) for forget in (examples(7, 1), examples(7, 55))
    )
    assert difference(steps[5], other[5]) == 0, "the first epoch has nothing to maximise yet"
    assert all(difference(a, b) > 1e-6 for a, b in zip(steps[6:], other[6:], strict=True))


def test_scrub_ascends_in_the_first_msteps_epochs_only() -> None:
    for max_epochs in (1, 2, 5, 9):
        n = len(path(replace(STRONG, max_epochs=max_epochs, epochs=5).method(), problem()))
        assert n == 3 * 5 + 3 * min(max_epochs, 5)


def test_scrub_learning_rates_fall_after_each_epoch_named() -> None:
    method = SMALL.method()
    rates = [method.rate(epoch) for epoch in range(1, 11)]
    assert rates == pytest.approx([5e-4] * 5 + [5e-5] * 3 + [5e-6, 5e-7])


# SCRUB+R

REWINDING = replace(STRONG, learning_rate=0.05, epochs=6, max_epochs=4, decay_after=(5,), rewind=True)


def plain_rewind(given: Problem, setting: Setting) -> tuple[int, list[plain.Weights], list[float], float]:
    """The epoch to go back to, counted from 0, the weights after every epoch, their forget errors and the reference."""
    ends = [steps[-1] for steps in plain_scrub(given, setting)]
    classes = set(given.forget.y.tolist())
    held_out = torch.tensor([int(y) in classes for y in given.validation.y])
    reference = plain.error(ends[-1], given.validation.x[held_out], given.validation.y[held_out])
    errors = [plain.error(weights, given.forget.x, given.forget.y) for weights in ends]
    closest = min(abs(error - reference) for error in errors)
    ties = [i for i, error in enumerate(errors) if abs(error - reference) == closest]
    return ties[0 if setting.ties == "first" else -1], ends, errors, reference


@pytest.mark.parametrize("ties", ["first", "last"])
@pytest.mark.parametrize("seed", range(6))
def test_rewind_returns_the_epoch_whose_forget_error_is_closest_to_the_reference(seed: int, ties: str) -> None:
    setting = replace(REWINDING, ties=ties)
    given = problem(n_forget=7, n_validation=40, seed=seed)
    # One class is not forgotten: its validation examples are no part of the reference.
    keep = given.forget.y != 2
    given = replace(given, forget=Examples(given.forget.x[keep], given.forget.y[keep]))
    chosen, ends, _, _ = plain_rewind(given, setting)
    method = setting.method()
    steps = path(method, given)
    assert_same_path(steps, flat(plain_scrub(replace(given, model=mlp(seed)), setting)))
    assert method.diagnostics == {"scrub_epoch": chosen + 1, "scrub_finite_epochs": 6}
    assert difference(plain.weights_of(given.model), ends[chosen]) < TOLERANCE


def test_the_seeds_of_the_rewind_test_choose_more_than_one_epoch_and_have_ties() -> None:
    chosen, ties = set(), 0
    for seed in range(6):
        given = problem(n_forget=7, n_validation=40, seed=seed)
        keep = given.forget.y != 2
        given = replace(given, forget=Examples(given.forget.x[keep], given.forget.y[keep]))
        epoch, _, errors, _ = plain_rewind(given, REWINDING)
        chosen.add(epoch)
        ties += errors.count(errors[epoch]) > 1
    assert len(chosen) > 1
    assert ties


@pytest.mark.parametrize(
    ("errors", "reference", "first", "last"),
    [
        ([0.5, 0.1, 0.3], 0.15, 1, 1),
        ([0.3, 0.9, 0.3, 0.0], 0.3, 0, 2),
        ([0.2, 0.2, 0.2], 0.9, 0, 2),
        ([1.0, 0.0, 0.5, 0.75], 0.625, 2, 3),
        ([0.7], 0.0, 0, 0),
        # On both sides of the reference, whatever round-off says.
        ([0.2, 0.4], 0.3, 0, 1),
        ([0.4, 0.2], 0.3, 0, 1),
        # Without a reference the last.
        ([0.0, 0.5, 0.9], math.nan, 2, 2),
    ],
)
def test_rewind_takes_the_closest_epoch_and_of_equals_the_first_or_the_last(
    errors: list[float], reference: float, first: int, last: int
) -> None:
    assert rewind_epoch(errors, reference, "first") == first
    assert rewind_epoch(errors, reference, "last") == last
    distances = [round(abs(error - reference), 9) for error in errors]
    assert reference != reference or first == int(numpy.argmin(distances)), "the authors' choice"


def test_rewind_without_validation_examples_of_the_forgotten_classes_keeps_the_last_epoch() -> None:
    given = problem()
    given = replace(
        given,
        forget=Examples(given.forget.x, torch.zeros(7, dtype=torch.int64)),
        validation=Examples(given.validation.x, torch.ones(9, dtype=torch.int64)),
    )
    assert math.isnan(reference_error(given))
    method = REWINDING.method()
    steps = path(method, given)
    assert difference(plain.weights_of(given.model), steps[-1]) == 0
    assert method.diagnostics == {"scrub_epoch": 6, "scrub_finite_epochs": 6}


# a net whose weights lie channels last: an optimizer that walks memory must pair each weight with its own gradient


@pytest.mark.parametrize(("kind", "name", "sign"), [(GradientAscent, "forget", -1), (FineTune, "retain", 1)])
def test_descent_of_a_convolutional_net_is_its_formula(kind: type[Method], name: str, sign: int) -> None:
    given, forward = cnn_problem()
    expected = plain_descent(given, name, sign, 0.02, 0.9, 0.01, epochs=2, size=4, forward=forward)
    method = kind(
        learning_rate=0.02, momentum=0.9, weight_decay=0.01, epochs=2, batch_size=4, batch_statistics="moving"
    )
    assert_same_path(path(method, given), expected)


def test_nabla_tau_of_a_convolutional_net_is_its_formula() -> None:
    given, forward = cnn_problem()
    expected, active = plain_nabla_tau(given, lr=0.01, forward=forward)
    assert any(active)
    assert_same_path(path(nabla_tau(learning_rate=0.01), given), expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_scrub_of_a_convolutional_net_is_its_formula(optimizer: str) -> None:
    given, forward = cnn_problem()
    setting = replace(STRONG, optimizer=optimizer, learning_rate=0.005, epochs=3, retain_batch_size=5)
    expected = flat(plain_scrub(given, setting, forward))
    assert_same_path(path(setting.method(), given), expected)


# Fisher forgetting, whose parts are tested in test_fisher.py


def test_fisher_forgetting_is_one_update_drawn_with_the_problems_seed() -> None:
    first, again, other = (path(FisherForgetting(alpha=1e-4), replace(problem(), seed=seed)) for seed in (0, 0, 1))
    assert len(first) == 1
    assert difference(first[0], again[0]) == 0
    assert difference(first[0], other[0]) > 1e-6


# published settings


def test_defaults_are_the_published_ones() -> None:
    settings = {kind: component().spec().settings for kind, component in registry.METHODS.items()}
    assert [name for name in settings if "batch_statistics" in settings[name]] == [
        "gradient-ascent", "nabla-tau", "scrub", "fine-tune", "relative-ascent", "random-labels", "salun", "bad-teacher",
        "boundary-shrink", "delete", "neg-grad-plus", "l1-sparse", "cf-k", "eu-k",
    ]  # fmt: skip
    moving = {"batch_statistics": "moving"}
    sgd = {"learning_rate": 1e-4, "momentum": 0.9, "weight_decay": 5e-4, "epochs": 5, "batch_size": 256, **moving}
    assert settings["gradient-ascent"] == sgd
    assert settings["fine-tune"].items() >= {"learning_rate": 0.01, "epochs": 10, **moving}.items()
    assert settings["nabla-tau"] == {
        "learning_rate": 1e-3, "weight_decay": 0.01, "alpha_factor": 5 / 3, "refresh_epochs": 5, "batch_size": 256,
        "batch_statistics": "frozen",
    }  # fmt: skip
    small = {**vars(SMALL), "decay_after": [5, 8, 9], "retain_batch_size": 32, "forget_batch_size": 64, "rewind": True}
    assert settings["scrub"] == small
    wrong = {"momentum": 0.9, "weight_decay": 5e-4, "epochs": 10, "batch_size": 256, **moving}
    assert settings["random-labels"] == {"learning_rate": 0.01, **wrong}
    assert settings["salun"] == {"salient_share": 0.5, "learning_rate": 0.013, **wrong}
    assert settings["bad-teacher"] == {
        "learning_rate": 1e-4, "epochs": 1, "retain_share": 0.3, "batch_size": 256, **moving
    }  # fmt: skip
    forget_alone = {"momentum": 0.9, "weight_decay": 0.0, **moving}
    assert settings["boundary-shrink"] == {
        "bound": 0.1, "learning_rate": 1e-5, "epochs": 10, "batch_size": 64, **forget_alone
    }  # fmt: skip
    assert settings["delete"] == {"learning_rate": 1e-3, "epochs": 20, "batch_size": 128, **forget_alone}
    assert settings["fisher"] == {"alpha": 1e-6, "examples": None}
    assert settings["original"] == settings["retrain"] == {}


def test_the_information_is_taken_over_so_many_retain_examples_drawn_by_the_request() -> None:
    whole, drawn, again = problem(), problem(), problem()
    list(FisherForgetting(alpha=1e-2).run(whole))
    for given in (drawn, again):
        list(FisherForgetting(alpha=1e-2, examples=5).run(given))
    assert difference(plain.weights_of(drawn.model), plain.weights_of(again.model)) == 0
    assert difference(plain.weights_of(drawn.model), plain.weights_of(whole.model)) > 0
    part = subset(problem().retain, 5, derive_seed(problem().seed, "unlearning", "fisher examples"))
    by_hand = replace(problem(), retain=part)
    list(FisherForgetting(alpha=1e-2).run(by_hand))
    assert difference(plain.weights_of(drawn.model), plain.weights_of(by_hand.model)) == 0
