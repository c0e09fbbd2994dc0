"""The methods that give the forget examples other targets, each against a plain calculation from its formula."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from conformance.problems import (
    CLASSES,
    Call,
    Forward,
    assert_same_path,
    cnn_problem,
    difference,
    mlp,
    path,
    problem,
    randomised,
    spy,
)
from grokforget.config import methods as registry
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods.base import Problem
from grokforget.methods.boundary_shrink import neighbour_logits
from grokforget.methods.salun import forget_gradient, largest
from grokforget.models.fresh import fresh_copy
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification, other_labels
from grokforget.training.distillation import distillation

SGD = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}


def positions(x: Tensor, whole: Tensor) -> list[int]:
    """Where each row of ``x`` stands in ``whole``, whose rows are all different."""
    return [int((whole == row).flatten(1).all(1).nonzero().item()) for row in x]


# random labels and SalUn


class Recording(Classification):
    """Keeps the targets of every loss that a gradient is taken of."""

    def __init__(self) -> None:
        super().__init__(loss="cross-entropy")
        self.targets: list[Tensor] = []

    def unlearning_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            self.targets.append(targets.clone())
        return super().unlearning_loss(outputs, targets)


def batches_in_turns(given: Problem, epochs: int, size: int) -> Iterator[tuple[str, int, Examples]]:
    for epoch in range(epochs):
        for name in ("forget", "retain"):
            yield from ((name, epoch, batch) for batch in given.batches(name, size, epoch))


def plain_learning(
    given: Problem,
    batches: Sequence[Examples],
    moves: plain.Weights | None = None,
    forward: Forward = plain.mlp,
) -> list[plain.Weights]:
    """SGD on the cross-entropy of one batch after another; weights where ``moves`` is False stand still."""
    weights, sgd, steps = plain.weights_of(given.model), plain.Sgd(0.9, 0.01), []
    first = weights
    for b in batches:
        g = plain.gradient(lambda w, b=b: plain.cross_entropy(forward(w, b.x), b.y), weights)
        weights = sgd.update(weights, g, 0.05)
        if moves:
            weights = {name: torch.where(moves[name], w, first[name]) for name, w in weights.items()}
        steps.append(weights)
    return steps


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_random_labels_is_sgd_on_wrong_labels_and_then_on_right_ones(net: str) -> None:
    given, forward = (problem(), plain.mlp) if net == "mlp" else cnn_problem()
    given = replace(given, objective=Recording())
    turns = list(batches_in_turns(given, 3, 4))
    start = plain.weights_of(given.model)
    method = registry.RandomLabels(**SGD, epochs=3, batch_size=4).spec().build()
    got = path(method, given)
    recorded = given.objective.targets
    assert len(recorded) == len(turns) == len(got)
    labels: list[dict[int, int]] = [{}, {}, {}]
    for (name, epoch, batch), targets in zip(turns, recorded, strict=True):
        if name == "retain":
            assert torch.equal(targets, batch.y)
        else:
            assert (targets != batch.y).all(), "the true class is never drawn"
            assert targets.min() >= 0
            assert targets.max() < CLASSES
            labels[epoch] |= dict(zip(positions(batch.x, given.forget.x), targets.tolist(), strict=True))
    assert [len(each) for each in labels] == [len(given.forget)] * 3
    assert labels[0] != labels[1] != labels[2], "every epoch draws anew"
    as_seen = [Examples(batch.x, targets) for (_, _, batch), targets in zip(turns, recorded, strict=True)]
    with torch.no_grad():
        for name, p in given.model.named_parameters():
            p.copy_(start[name])
    assert_same_path(got, plain_learning(given, as_seen, forward=forward))


def test_other_labels_are_all_the_others_and_equally_often() -> None:
    labels = torch.arange(30_000) % 5
    drawn = other_labels(labels, 5, torch.Generator().manual_seed(0))
    counts = torch.zeros(5, 5).index_put((labels, drawn), torch.ones(len(labels)), accumulate=True)
    assert (counts.diagonal() == 0).all()
    others = counts[~torch.eye(5, dtype=torch.bool)]
    # 1500 expected of each, with a standard deviation of 34.
    assert (others - 1500).abs().max() < 5 * 34
    assert torch.equal(other_labels(labels % 2, 2, torch.Generator()), 1 - labels % 2)


def plain_salient(given: Problem, share: float, forward: Forward = plain.mlp) -> plain.Weights:
    weights, forget = plain.weights_of(given.model), given.forget
    g = plain.gradient(lambda w: plain.cross_entropy(forward(w, forget.x), forget.y), weights)
    sizes = sorted((abs(value) for each in g.values() for value in each.flatten().tolist()), reverse=True)
    least = sizes[int(share * len(sizes)) - 1]
    return {name: each.abs() >= least for name, each in g.items()}


@pytest.mark.parametrize(("share", "net"), [(0.1, "mlp"), (0.5, "mlp"), (0.8, "mlp"), (0.1, "cnn"), (0.4, "cnn")])
def test_salun_is_random_labels_for_the_salient_weights_alone(share: float, net: str) -> None:
    given, forward = (problem(), plain.mlp) if net == "mlp" else cnn_problem()
    given = replace(given, objective=Recording())
    moves, turns, start = (
        plain_salient(given, share, forward),
        list(batches_in_turns(given, 3, 4)),
        plain.weights_of(given.model),
    )
    n = sum(p.numel() for p in given.model.parameters())
    assert sum(int(each.sum()) for each in moves.values()) == int(share * n), "no ties"
    got = path(registry.SalUn(**SGD, epochs=3, batch_size=4, salient_share=share).spec().build(), given)
    for weights in got:
        assert all(torch.equal(weights[name][~moves[name]], start[name][~moves[name]]) for name in start)
    moved = sum(int((got[-1][name] != start[name]).sum()) for name in start)
    assert moved > 0.8 * int(share * n), "all but weights behind a dead unit"
    targets = given.objective.targets[-len(turns) :]
    as_seen = [Examples(batch.x, each) for (_, _, batch), each in zip(turns, targets, strict=True)]
    with torch.no_grad():
        for name, p in given.model.named_parameters():
            p.copy_(start[name])
    assert_same_path(got, plain_learning(given, as_seen, moves, forward))


def test_salun_of_all_weights_is_random_labels_to_the_last_bit() -> None:
    settings = {**SGD, "epochs": 3, "batch_size": 4}
    whole = path(registry.SalUn(**settings, salient_share=1.0).spec().build(), problem(dtype=torch.float32))
    plain_one = path(registry.RandomLabels(**settings).spec().build(), problem(dtype=torch.float32))
    assert all(torch.equal(a[name], b[name]) for a, b in zip(whole, plain_one, strict=True) for name in a)


@pytest.mark.parametrize("margin", [0.0, 60.0, 300.0])
def test_salun_chooses_weights_by_direction_at_every_margin(margin: float) -> None:
    """In float32, where the gradient itself is 0 from a margin of 100 on."""
    given = problem(dtype=torch.float32)
    given = replace(given, forget=Examples(given.forget.x, torch.ones(7, dtype=torch.int64)))
    with torch.no_grad():
        given.model.output.bias[1] += margin
    wide = {name: value.double() for name, value in plain.weights_of(given.model).items()}
    x = given.forget.x.double()
    exact = plain.gradient(lambda w: plain.cross_entropy(plain.mlp(w, x), given.forget.y), wide)
    got = dict(zip(wide, forget_gradient(given.model, given.forget, given.objective), strict=True))
    loss = plain.cross_entropy(plain.mlp(wide, x), given.forget.y)
    for name in wide:
        torch.testing.assert_close(got[name], exact[name] / loss, rtol=2e-4, atol=1e-5)


def test_salun_counts_every_forget_example_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem()
    whole = forget_gradient(given.model, given.forget, given.objective)
    monkeypatch.setattr("grokforget.methods.salun.BATCH", 3)
    for a, b in zip(whole, forget_gradient(given.model, given.forget, given.objective), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_the_largest_are_chosen_of_all_tensors_together_and_of_equal_ones_the_first() -> None:
    values = [torch.tensor([[1.0, -5.0], [2.0, 0.0]]), torch.tensor([-2.0, 2.0])]
    assert [each.tolist() for each in largest(values, 0.5)] == [[[False, True], [True, False]], [True, False]]
    assert [each.tolist() for each in largest(values, 0.2)] == [[[False, True], [False, False]], [False, False]]


# bad teacher


def plain_kl(p: Tensor, z: Tensor) -> Tensor:
    """Σ_n Σ_k p log(p / q) / |B|, over the classes with p > 0; q the softmax of z."""
    q = plain.softmax(z)
    terms = [p[n, k] * (p[n, k] / q[n, k]).log() for n in range(len(p)) for k in range(p.shape[1]) if p[n, k] > 0]
    return sum(terms) / len(p)


def teachers(calls: list[Call], student: nn.Module, start: plain.Weights) -> tuple[nn.Module, nn.Module]:
    """The good one and the bad one, of the copies that were called."""
    copies = list(dict.fromkeys(call.module for call in calls if call.module is not student))
    same = [difference(plain.weights_of(module), start) == 0 for module in copies]
    assert sorted(same) == [False, True]
    return copies[same.index(True)], copies[same.index(False)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_bad_teacher_is_its_formula(net: str, share: float) -> None:
    given, forward = (problem(), plain.mlp) if net == "mlp" else cnn_problem()
    weights = start = plain.weights_of(given.model)
    calls = spy(given.model)
    method = registry.BadTeacher(learning_rate=0.01, epochs=3, retain_share=share, batch_size=4).spec().build()
    got = path(method, given, mode_between=False)
    _, bad = teachers(calls, given.model, start)
    other, expected, adam = plain.weights_of(bad), [], plain.Adam(0.0, decoupled=False)
    whole = torch.cat([given.forget.x, given.retain.x])
    n, part = len(given.forget), int(share * len(given.retain))
    seen: list[int] = []
    for x in [call.x for call in calls if call.grad]:
        at = positions(x, whole)
        seen += at
        forgets = torch.tensor([[float(i < n)] for i in at], dtype=torch.float64)
        p = forgets * plain.softmax(forward(other, x)) + (1 - forgets) * plain.softmax(forward(start, x))
        weights = adam.update(weights, plain.gradient(lambda w, x=x, p=p: plain_kl(p, forward(w, x)), weights), 0.01)
        expected.append(weights)
    assert_same_path(got, expected)
    epochs = [sorted(seen[i * (n + part) : (i + 1) * (n + part)]) for i in range(3)]
    assert epochs[0] == epochs[1] == epochs[2], "the same part of the retain set in every epoch"
    assert epochs[0][:n] == list(range(n))
    assert len(set(epochs[0])) == len(seen) / 3 == n + part, "each example once"
    assert all(call.training == (call.module is given.model) for call in calls)


def test_the_bad_teacher_is_drawn_by_the_seed_and_leaves_the_callers_draws_alone() -> None:
    drawn = []
    for seed in (0, 0, 1):
        given = replace(problem(), seed=seed)
        start, calls = plain.weights_of(given.model), spy(given.model)
        state = torch.get_rng_state()
        path(registry.BadTeacher().spec().build(), given)
        assert torch.equal(torch.get_rng_state(), state)
        drawn.append(plain.weights_of(teachers(calls, given.model, start)[1]))
    assert difference(drawn[0], drawn[1]) == 0
    assert difference(drawn[0], drawn[2]) > 0.01


def test_a_batch_of_retain_examples_alone_leaves_every_bit_of_what_is_still_the_original() -> None:
    """Adam would make a full step of any round-off."""
    given = problem(n_forget=1, n_retain=40, dtype=torch.float32)
    before, calls = plain.weights_of(given.model), spy(given.model)
    got = path(registry.BadTeacher(retain_share=1.0, batch_size=4).spec().build(), given)
    batches = [call.x for call in calls if call.grad]
    first = next(i for i, x in enumerate(batches) if (x == given.forget.x).all(1).any())
    assert first > 2
    assert all(torch.equal(weights[name], before[name]) for weights in got[:first] for name in before)
    assert difference(got[first], before) > 0


# fresh copies


def initial(model: nn.Module, seed: int) -> plain.Weights:
    return plain.weights_of(fresh_copy(model, seed))


@pytest.mark.parametrize("initialisation", ["default", "normal"])
def test_a_fresh_mlp_is_drawn_as_a_new_one(initialisation: str) -> None:
    model = MLP(DataShape((400,), 50), hidden=[300], activation="relu", bias=False, initialisation=initialisation)
    fresh = initial(randomised(model, 0), 3)
    first = fresh["features.0.weight"]
    assert first.std().item() == pytest.approx(
        1 / 20 if initialisation == "normal" else 1 / 20 / math.sqrt(3), rel=0.02
    )
    assert first.abs().max() <= 1 / 20 or initialisation == "normal"
    assert difference(fresh, initial(model, 3)) == 0
    assert difference(fresh, initial(model, 4)) > 0.01


def test_a_fresh_transformer_has_its_own_initialisation_and_not_its_layers() -> None:
    model = randomised(Transformer(DataShape((2,), 5, 97), layers=2, width=64, heads=2, mlp_width=128), 0)
    fresh = initial(model, 0)
    assert all((value == 0).all() for name, value in fresh.items() if name.endswith("bias"))
    assert fresh["token.weight"].std().item() == pytest.approx(1 / 8, rel=0.05)


def test_a_fresh_copy_forgets_statistics_and_draws_attention_anew_and_leaves_the_model() -> None:
    model = nn.ModuleList([nn.BatchNorm1d(3), nn.MultiheadAttention(4, 2)])
    with torch.no_grad():
        for value in model.state_dict().values():
            value.fill_(7)
    fresh = fresh_copy(model, 0)
    assert {name: value.mean().item() for name, value in fresh[0].state_dict().items() if value.ndim} == {
        "weight": 1, "bias": 0, "running_mean": 0, "running_var": 1
    }  # fmt: skip
    assert fresh[0].num_batches_tracked == 0
    assert fresh[1].in_proj_weight.std() > 0
    assert all((value == 7).all() for value in model.state_dict().values())


def test_weights_that_nothing_draws_anew_are_an_error_that_names_them() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.scale = nn.Linear(2, 2), nn.Parameter(torch.ones(1))

    with pytest.raises(TypeError, match="no new weights for scale:"):
        fresh_copy(Scaled(), 0)


# boundary shrink


def plain_neighbours(given: Problem, bound: float, forward: Forward = plain.mlp) -> Tensor:
    """Logits at x + bound · range · sign(∂ CE/∂x), in the range of the data (by channel of images)."""
    weights, x, y = plain.weights_of(given.model), given.forget.x, given.forget.y
    rows = []
    data = torch.cat([given.forget.x, given.retain.x, given.validation.x])
    for n in range(len(x)):
        leaf = x[n : n + 1].clone().requires_grad_()
        (slope,) = torch.autograd.grad(plain.cross_entropy(forward(weights, leaf), y[n : n + 1]), leaf)
        moved = leaf.detach().clone()
        for channel in range(x.shape[1]) if x.ndim == 4 else [slice(None)]:
            low, high = data[:, channel].min(), data[:, channel].max()
            step = bound * (high - low) * slope[:, channel].sign()
            moved[:, channel] = (moved[:, channel] + step).clamp(low, high)
        rows.append(forward(weights, moved))
    return torch.cat(rows)


def other_class(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.tensor(
        [max((k for k in range(len(row)) if k != y), key=lambda k, row=row: row[k]) for row, y in
         zip(logits.tolist(), labels.tolist(), strict=True)]
    )  # fmt: skip


@pytest.mark.parametrize("bound", [0.02, 0.3])
@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_boundary_shrink_is_sgd_on_the_nearest_other_classes(net: str, bound: float) -> None:
    given, forward = (problem(), plain.mlp) if net == "mlp" else cnn_problem()
    given.model.train()
    logits = plain_neighbours(given, bound, forward)
    torch.testing.assert_close(neighbour_logits(given, bound), logits, rtol=0, atol=1e-12)
    labels = other_class(logits, given.forget.y)
    relabelled = replace(given, forget=Examples(given.forget.x, labels))
    batches = [batch for epoch in range(3) for batch in relabelled.batches("forget", 4, epoch)]
    expected = plain_learning(given, batches, forward=forward)
    method = registry.BoundaryShrink(**SGD, epochs=3, batch_size=4, bound=bound).spec().build()
    assert_same_path(path(method, given), expected)
    crossed = sum(int(row.argmax()) != int(y) for row, y in zip(logits, given.forget.y, strict=True))
    assert method.diagnostics == {"boundary_crossed_share": pytest.approx(crossed / len(labels))}


def test_neighbours_depend_on_the_step_on_the_range_and_on_the_model_in_eval_mode() -> None:
    given = problem()
    near, far = (neighbour_logits(given, bound) for bound in (0.02, 0.3))
    assert (near - far).abs().max() > 0.1
    # One example more that is far away makes the range, and so the step, larger.
    wider = replace(given, validation=Examples(torch.full((1, 5), 9.0).double(), torch.zeros(1, dtype=torch.int64)))
    assert (neighbour_logits(wider, 0.02) - near).abs().max() > 1e-3
    given.model.features.append(nn.Dropout(0.5))
    given.model.train()
    torch.testing.assert_close(neighbour_logits(given, 0.02), near, rtol=0, atol=1e-12)
    assert all(module.training for module in given.model.modules())


@pytest.mark.parametrize("margin", [30.0, 300.0])
def test_neighbours_of_a_saturated_float32_model_lie_where_those_of_float64_do(margin: float) -> None:
    logits = []
    for dtype in (torch.float32, torch.float64):
        given = problem(dtype=dtype)
        given = replace(given, forget=Examples(given.forget.x, torch.ones(7, dtype=torch.int64)))
        with torch.no_grad():
            given.model.output.bias[1] += margin
        logits.append(neighbour_logits(given, 0.1).double())
        if dtype == torch.float64:
            assert (logits[1] - plain_neighbours(given, 0.1)).abs().max() < 1e-12
            assert (logits[1] - given.model(given.forget.x)).abs().max() > 0.1
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
def test_tokens_are_moved_as_embeddings(layers: int) -> None:
    shape = DataShape((2,), CLASSES, 7)
    model = randomised(Transformer(shape, layers=layers, width=16, heads=2, mlp_width=24), 1).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    pairs = [torch.randint(7, (n, 2), generator=torch.Generator().manual_seed(n)) for n in (6, 9, 5)]
    sets = [Examples(x, torch.arange(len(x)) % CLASSES) for x in pairs]
    given = Problem(model, *sets, objective=Classification(loss="mse"), seed=0)
    embedded = [model.embed(x).detach() for x in pairs]
    low, high = (end(torch.cat(embedded)) for end in (torch.min, torch.max))
    points = embedded[0].requires_grad_()
    (slope,) = torch.autograd.grad(nn.functional.cross_entropy(model.from_embedding(points), sets[0].y), points)
    moved = (points + 0.1 * (high - low) * slope.sign()).clamp(low, high)
    torch.testing.assert_close(neighbour_logits(given, 0.1), model.from_embedding(moved), rtol=0, atol=1e-12)
    assert len(path(registry.BoundaryShrink(epochs=2, batch_size=4).spec().build(), given)) == 4


def test_tokens_without_embeddings_are_an_error_before_any_update() -> None:
    tokens = Examples(torch.zeros(3, 2, dtype=torch.int64), torch.arange(3))
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(8, CLASSES))
    given = Problem(model, tokens, tokens, tokens, objective=Classification(loss="mse"), seed=0)
    with pytest.raises(TypeError, match=r"torch.int64 inputs; Sequential needs embed and from_embedding"):
        next(registry.BoundaryShrink().spec().build().run(given))


# DELETE


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_delete_is_its_formula(net: str) -> None:
    given, forward = (problem(), plain.mlp) if net == "mlp" else cnn_problem()
    weights = start = plain.weights_of(given.model)
    sgd, expected = plain.Sgd(0.9, 0.01), []
    for epoch in range(3):
        for b in given.batches("forget", 4, epoch):
            powers = forward(start, b.x).exp()
            for n, y in enumerate(b.y.tolist()):
                powers[n, y] = 0
            p = powers / powers.sum(1, keepdim=True)
            g = plain.gradient(lambda w, x=b.x, p=p: plain_kl(p, forward(w, x)), weights)
            weights = sgd.update(weights, g, 0.05)
            expected.append(weights)
    calls = spy(given.model)
    method = registry.Delete(**SGD, epochs=3, batch_size=4).spec().build()
    assert_same_path(path(method, given, mode_between=False), expected)
    assert all(call.training == call.grad for call in calls), (
        "the original speaks in eval mode, the student learns in train"
    )
    assert {len(call.x) for call in calls if not call.grad} == {len(given.forget)}


def test_the_distance_from_a_teacher_that_rules_a_class_out_is_a_number_and_so_is_its_gradient() -> None:
    student = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    teacher = student.flip(0).scatter(1, torch.tensor([[0], [1], [2], [0]]), -math.inf)
    student.requires_grad_()
    expected = plain_kl(plain.softmax(teacher), student)
    got = distillation(student, teacher, 1.0)
    assert got.item() == pytest.approx(expected.item(), abs=1e-12)
    torch.testing.assert_close(*(torch.autograd.grad(d, student)[0] for d in (got, expected)), rtol=0, atol=1e-12)


def test_delete_leaves_the_other_classes_in_proportion() -> None:
    """At the minimum the student is the original without the class."""
    given = problem()
    before = plain.softmax(mlp()(given.forget.x)).detach()
    method = (
        registry.Delete(learning_rate=0.1, momentum=0.9, weight_decay=0.0, epochs=3000, batch_size=7).spec().build()
    )
    path(method, given)
    others = before.scatter(1, given.forget.y[:, None], 0)
    after = plain.softmax(given.model(given.forget.x)).detach()
    torch.testing.assert_close(after, others / others.sum(1, keepdim=True), rtol=0, atol=0.01)


def test_the_methods_are_in_train_mode_and_see_no_examples_but_their_own() -> None:
    for name, sets in {
        "random-labels": "fr",
        "salun": "fr",
        "bad-teacher": "fr",
        "boundary-shrink": "f",
        "delete": "f",
    }.items():
        given = problem()
        given.model.eval()
        calls = spy(given.model)
        path(registry.METHODS[name](batch_size=4, epochs=2).spec().build(), given, mode_between=False)
        updates = [call for call in calls if call.grad and not torch.equal(call.x, given.forget.x)]
        assert all(call.training for call in updates if call.module is given.model), name
        own = {"f": given.forget.x, "fr": torch.cat([given.forget.x, given.retain.x])}[sets]
        for call in updates:
            positions(call.x, own)
