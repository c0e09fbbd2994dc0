"""Every method on a small batch-norm net, with moving and with frozen statistics, against a plain calculation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.config import methods as registry
from grokforget.data.loader import Examples
from grokforget.methods.base import Method, Problem
from grokforget.methods.references import Original, Retrain
from grokforget.models.fresh import fresh_copy
from grokforget.training.classification import Classification, other_labels

FEATURES, WIDTH, CLASSES = 5, 4, 3
State = dict[str, Tensor]


def network(seed: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(FEATURES, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, CLASSES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.7)
        model[1].running_mean.copy_(torch.randn(WIDTH, generator=generator) * 0.3)
        model[1].running_var.copy_(torch.rand(WIDTH, generator=generator) + 0.5)
    return model.double()


def examples(n: int, seed: int) -> Examples:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, FEATURES, generator=generator, dtype=torch.float64)
    return Examples(x, torch.randint(CLASSES, (n,), generator=generator))


def problem(model: nn.Module | None = None) -> Problem:
    """Of 7 and 9 examples batches of 3 and of 4 leave one over."""
    sets = [examples(n, n) for n in (7, 9, 8)]
    return Problem(model or network(), *sets, objective=Classification(loss="mse"), seed=3)


@dataclass
class Plain:
    """The net by hand: its weights, and what its batch norm remembers."""

    weights: plain.Weights
    mean: Tensor
    variance: Tensor
    count: int

    def logits(self, weights: plain.Weights, x: Tensor, moving: bool = False) -> Tensor:
        hidden = x @ weights["0.weight"].T + weights["0.bias"]
        mean, variance = self.mean, self.variance
        if moving:
            n = len(x)
            mean = hidden.sum(0) / n
            variance = ((hidden - mean) ** 2).sum(0) / n
            self.mean = 0.9 * self.mean + 0.1 * mean.detach()
            self.variance = 0.9 * self.variance + 0.1 * variance.detach() * n / (n - 1)
            self.count += 1
        normalised = (hidden - mean) / (variance + 1e-5).sqrt()
        hidden = (normalised * weights["1.weight"] + weights["1.bias"]).clamp(min=0)
        return hidden @ weights["3.weight"].T + weights["3.bias"]

    def state(self) -> State:
        statistics = {
            "running_mean": self.mean,
            "running_var": self.variance,
            "num_batches_tracked": torch.tensor(self.count),
        }
        return {**self.weights, **{f"1.{name}": value for name, value in statistics.items()}}


def by_hand(model: nn.Module) -> Plain:
    return Plain(plain.weights_of(model), model[1].running_mean.clone(), model[1].running_var.clone(), 0)


def order(given: Problem, name: str, size: int, epoch: int, moving: bool) -> list[Examples]:
    """The batches as the loader cuts them, but no single example at the end where the statistics are the batch's."""
    whole = getattr(given, name)
    together = given.batches(name, len(whole), epoch)[0]
    ends = list(range(size, len(whole), size))
    if moving and len(whole) - ends[-1] == 1:
        ends.pop()
    parts = torch.arange(len(whole)).tensor_split(ends)
    return [together[part] for part in parts]


SGD = {"learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.01}


def descent(given: Problem, name: str, sign: int, size: int, moving: bool) -> Iterator[State]:
    net, sgd = by_hand(given.model), plain.Sgd(0.9, 0.01)
    for epoch in range(3):
        for b in order(given, name, size, epoch, moving):
            g = plain.gradient(lambda w, b=b: sign * plain.cross_entropy(net.logits(w, b.x, moving), b.y), net.weights)
            net.weights = sgd.update(net.weights, g, 0.05)
            yield net.state()


def relabelled(given: Problem, labels: Tensor) -> Problem:
    return replace(given, forget=Examples(given.forget.x, labels))


def random_labels(given: Problem, moving: bool, share: float = 1.0) -> Iterator[State]:
    net, sgd = by_hand(given.model), plain.Sgd(0.9, 0.01)
    first, forget = net.weights, given.forget
    g = plain.gradient(lambda w: plain.cross_entropy(net.logits(w, forget.x), forget.y), first)
    sizes = torch.cat([value.flatten() for value in g.values()]).abs().sort(descending=True).values
    least = sizes[int(share * len(sizes)) - 1]
    for epoch in range(3):
        labels = other_labels(forget.y, CLASSES, given.generator("random labels", epoch))
        batches = order(relabelled(given, labels), "forget", 3, epoch, moving) + order(
            given, "retain", 3, epoch, moving
        )
        for b in batches:
            step = plain.gradient(lambda w, b=b: plain.cross_entropy(net.logits(w, b.x, moving), b.y), net.weights)
            after = sgd.update(net.weights, step, 0.05)
            net.weights = {name: torch.where(g[name].abs() >= least, w, first[name]) for name, w in after.items()}
            yield net.state()


def divergence(p: Tensor, z: Tensor) -> Tensor:
    ratio = torch.where(p > 0, p / plain.softmax(z), 1)
    return (p * ratio.log()).sum() / len(p)


def bad_teacher(given: Problem, moving: bool) -> Iterator[State]:
    net, good = by_hand(given.model), by_hand(given.model)
    bad, adam = by_hand(fresh_copy(given.model, given.generator("bad teacher").initial_seed())), plain.Adam(0.0, False)
    part = given.retain[torch.randperm(9, generator=given.generator("bad teacher", "retain"))[:6]]
    forgets = torch.cat([torch.ones(7), torch.zeros(6)]).double()
    mixed = replace(given, forget=Examples(torch.cat([given.forget.x, part.x]), forgets))
    for epoch in range(3):
        for b in order(mixed, "forget", 4, epoch, moving):
            p, q = (plain.softmax(teacher.logits(teacher.weights, b.x)) for teacher in (bad, good))
            p = b.y[:, None] * p + (1 - b.y[:, None]) * q
            g = plain.gradient(lambda w, b=b, p=p: divergence(p, net.logits(w, b.x, moving)), net.weights)
            net.weights = adam.update(net.weights, g, 0.01)
            yield net.state()


def boundary_shrink(given: Problem, moving: bool) -> Iterator[State]:
    net, forget = by_hand(given.model), given.forget
    x = forget.x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(plain.cross_entropy(net.logits(net.weights, x), forget.y), x)
    data = torch.cat([forget.x, given.retain.x, given.validation.x])
    moved = (forget.x + 0.2 * (data.max() - data.min()) * slope.sign()).clamp(data.min(), data.max())
    logits = net.logits(net.weights, moved)
    labels = logits.masked_fill(torch.arange(CLASSES) == forget.y[:, None], -math.inf).argmax(1)
    return descent(relabelled(given, labels), "forget", 1, 3, moving)


def delete(given: Problem, moving: bool) -> Iterator[State]:
    net, sgd = by_hand(given.model), plain.Sgd(0.9, 0.01)
    powers = net.logits(net.weights, given.forget.x).exp() * (torch.arange(CLASSES) != given.forget.y[:, None])
    others = relabelled(given, powers / powers.sum(1, keepdim=True))
    for epoch in range(3):
        for b in order(others, "forget", 3, epoch, moving):
            g = plain.gradient(lambda w, b=b: divergence(b.y, net.logits(w, b.x, moving)), net.weights)
            net.weights = sgd.update(net.weights, g, 0.05)
            yield net.state()


def neg_grad_plus(given: Problem, moving: bool) -> Iterator[State]:
    net, sgd = by_hand(given.model), plain.Sgd(0.9, 0.01)
    for epoch in range(3):
        forget = order(given, "forget", 3, epoch, moving)
        for number, r in enumerate(order(given, "retain", 4, epoch, moving)):
            f = forget[number % len(forget)]

            def loss(w: plain.Weights, r: Examples = r, f: Examples = f) -> Tensor:
                kept = plain.cross_entropy(net.logits(w, r.x, moving), r.y)
                return 0.8 * kept - 0.2 * plain.cross_entropy(net.logits(w, f.x, moving), f.y)

            net.weights = sgd.update(net.weights, plain.gradient(loss, net.weights), 0.05)
            yield net.state()


def l1_sparse(given: Problem, moving: bool) -> Iterator[State]:
    net, sgd = by_hand(given.model), plain.Sgd(0.9, 0.01)
    for epoch in range(3):
        for b in order(given, "retain", 4, epoch, moving):

            def loss(w: plain.Weights, b: Examples = b, share: float = 1 - epoch / 3) -> Tensor:
                sizes = sum(torch.where(value < 0, -value, value).sum() for value in w.values())
                return plain.cross_entropy(net.logits(w, b.x, moving), b.y) + 0.01 * share * sizes

            net.weights = sgd.update(net.weights, plain.gradient(loss, net.weights), 0.05)
            yield net.state()


def relative(given: Problem, moving: bool) -> Iterator[State]:
    def norm(w: plain.Weights) -> float:
        return math.sqrt(sum(float((value**2).sum()) for value in w.values()))

    net = by_hand(given.model)
    for epoch in range(3):
        for b in order(given, "forget", 3, epoch, moving):
            g = plain.gradient(lambda w, b=b: plain.cross_entropy(net.logits(w, b.x, moving), b.y), net.weights)
            step = 0.02 * norm(net.weights) / norm(g)
            net.weights = {name: w + step * g[name] for name, w in net.weights.items()}
            yield net.state()


def nabla_tau(given: Problem, moving: bool) -> Iterator[State]:
    net, adam = by_hand(given.model), plain.Adam(0.01, decoupled=True)
    epochs = int(6 * 3 / (2 * 3))
    walk = iter([b for number in range(9) for b in order(given, "retain", 3, number, moving)])
    validation = plain.cross_entropy(net.logits(net.weights, given.validation.x), given.validation.y).item()
    for i in range(epochs):
        alpha = 5 / 3 * 7 / 16 * (1 - i / epochs)
        for f in order(given, "forget", 3, i, moving):
            r = next(walk)

            def loss(w: plain.Weights, f: Examples = f, r: Examples = r, a: float = alpha) -> Tensor:
                short = validation - plain.cross_entropy(net.logits(w, f.x, moving), f.y)
                ascent = short**2 if short > 0 else 0 * short
                return a * ascent + (1 - a) * plain.cross_entropy(net.logits(w, r.x, moving), r.y)

            net.weights = adam.update(net.weights, plain.gradient(loss, net.weights), 0.01 * (1 - 0.9 * i / epochs))
            yield net.state()


def scrub(given: Problem, moving: bool) -> Iterator[State]:
    net, teacher, sgd = by_hand(given.model), by_hand(given.model), plain.Sgd(0.9, 0.01)

    def distance(z: Tensor, x: Tensor) -> Tensor:
        p, q = plain.softmax(teacher.logits(teacher.weights, x) / 2), plain.softmax(z / 2)
        return 4 / len(x) * (p * (p.log() - q.log())).sum()

    for epoch in range(1, 4):
        batches = [(b, False) for b in order(given, "forget", 3, epoch, moving)] if epoch <= 2 else []
        for b, descend in [*batches, *((b, True) for b in order(given, "retain", 4, epoch, moving))]:

            def loss(w: plain.Weights, b: Examples = b, descend: bool = descend) -> Tensor:
                z = net.logits(w, b.x, moving)
                d = distance(z, b.x)
                return plain.cross_entropy(z, b.y) + 0.5 * d if descend else -d

            net.weights = sgd.update(net.weights, plain.gradient(loss, net.weights), 0.05)
            yield net.state()


SCRUB = {
    "optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 0.01, "epochs": 3, "max_epochs": 2, "decay_after": [9],
    "retain_batch_size": 4, "forget_batch_size": 3, "rewind": False,
}  # fmt: skip
METHODS: dict[str, tuple[registry.Updates, Callable[[Problem, bool], Iterator[State]]]] = {
    "gradient-ascent": (
        registry.GradientAscent(**SGD, epochs=3, batch_size=3),
        lambda given, moving: descent(given, "forget", -1, 3, moving),
    ),
    "fine-tune": (
        registry.FineTune(**SGD, epochs=3, batch_size=4),
        lambda given, moving: descent(given, "retain", 1, 4, moving),
    ),
    "relative-ascent": (registry.RelativeAscent(share=0.02, epochs=3, batch_size=3), relative),
    "nabla-tau": (registry.NablaTau(learning_rate=0.01, batch_size=3), nabla_tau),
    "scrub": (registry.Scrub(**SCRUB), scrub),
    "random-labels": (registry.RandomLabels(**SGD, epochs=3, batch_size=3), random_labels),
    "salun": (
        registry.SalUn(**SGD, epochs=3, batch_size=3, salient_share=0.4),
        lambda given, moving: random_labels(given, moving, 0.4),
    ),
    "bad-teacher": (registry.BadTeacher(learning_rate=0.01, epochs=3, batch_size=4, retain_share=0.7), bad_teacher),
    "boundary-shrink": (registry.BoundaryShrink(**SGD, epochs=3, batch_size=3, bound=0.2), boundary_shrink),
    "delete": (registry.Delete(**SGD, epochs=3, batch_size=3), delete),
    "neg-grad-plus": (
        registry.NegGradPlus(**SGD, epochs=3, retain_weight=0.8, retain_batch_size=4, forget_batch_size=3),
        neg_grad_plus,
    ),
    "l1-sparse": (registry.L1Sparse(**SGD, epochs=3, batch_size=4, alpha=0.01), l1_sparse),
    # Of both layers, the batch norm among them; that it stays with the layers before is tested with that method's formula.
    "cf-k": (
        registry.CatastrophicForgetting(**SGD, k=2, epochs=3, batch_size=4),
        lambda given, moving: descent(given, "retain", 1, 4, moving),
    ),
}


def build(name: str, **changes: object) -> Method:
    return METHODS[name][0].updated(changes).spec().build()


def path(method: Method, given: Problem) -> list[State]:
    """The state after every update; evaluation between updates leaves the model in eval mode."""
    states = []
    for _ in method.run(given):
        states.append({name: value.clone() for name, value in given.model.state_dict().items()})
        given.model.eval()
    return states


@pytest.mark.parametrize("statistics", ["moving", "frozen"])
@pytest.mark.parametrize("name", METHODS)
def test_on_batch_norm_every_method_is_its_formula(name: str, statistics: str) -> None:
    expected = list(METHODS[name][1](problem(), statistics == "moving"))
    got = path(build(name, batch_statistics=statistics), problem())
    assert len(got) == len(expected) > 4
    for number, (ours, theirs) in enumerate(zip(got, expected, strict=True)):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            torch.testing.assert_close(
                ours[key], value, rtol=0, atol=1e-9, msg=lambda m, n=number, k=key: f"{n} {k}: {m}"
            )
    moved = not torch.equal(got[-1]["1.running_mean"], network()[1].running_mean)
    assert moved == (statistics == "moving")


def test_methods_move_the_statistics_as_published_and_nabla_tau_does_not() -> None:
    for name in METHODS:
        last = path(build(name), problem())[-1]
        assert torch.equal(last["1.running_var"], network()[1].running_var) == (name == "nabla-tau"), name


@pytest.mark.parametrize("statistics", ["moving", "frozen"])
@pytest.mark.parametrize("name", METHODS)
def test_dropout_goes_by_the_methods_mode_and_not_by_the_statistics(name: str, statistics: str) -> None:
    model = nn.Sequential(*network()[:3], nn.Dropout(0.5), network()[3])
    seen: list[tuple[bool, bool, bool]] = []
    model.register_forward_hook(
        lambda module, args, output: seen.append((torch.is_grad_enabled(), module[1].training, module[3].training))
    )
    path(build(name, batch_statistics=statistics), problem(model))
    learned = [(norm, dropout) for grad, norm, dropout in seen if grad]
    if name in ("salun", "boundary-shrink"):
        assert learned.pop(0) == (False, False), "the original's gradient, before the first update"
    updates = set(learned)
    assert updates == {(statistics == "moving", name != "nabla-tau")}


@pytest.mark.parametrize("statistics", ["moving", "frozen"])
@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize(("size", "whole"), [(3, [3, 3, 1]), (6, [6, 1]), (7, [7]), (8, [7]), (4, [4, 3])])
def test_a_single_last_example_joins_the_batch_before_where_it_has_no_statistics(
    size: int, whole: list[int], normed: bool, statistics: str
) -> None:
    given = problem(network() if normed else nn.Sequential(nn.Linear(FEATURES, CLASSES)))
    batches = given.batches("forget", size, 2, statistics)
    expected = [*whole[:-2], whole[-2] + 1] if normed and statistics == "moving" and whole[-1] == 1 else whole
    assert [len(batch) for batch in batches] == expected
    assert torch.equal(torch.cat([b.x for b in batches]), given.batches("forget", 7, 2)[0].x), "the order is the same"


def test_a_rewind_takes_the_statistics_back_with_the_weights() -> None:
    method = build("scrub", rewind=True, epochs=6, max_epochs=4, learning_rate=0.3)
    given = problem()
    states = path(method, given)
    ends = [states[i] for i in (3, 7, 11, 15, 17, 19)]  # two forget batches and two retain batches, then two
    chosen = int(method.diagnostics["scrub_epoch"])
    assert chosen < 6, "going back to the last would test nothing"
    after = given.model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in ends[chosen - 1].items())
    assert not torch.equal(after["1.running_mean"], states[-1]["1.running_mean"])


def test_scrubs_teacher_keeps_its_own_statistics() -> None:
    given, teachers = problem(), set()
    before = {key: value.clone() for key, value in given.model.state_dict().items()}
    given.model.register_forward_hook(lambda module, args, output: teachers.add(module))
    path(build("scrub"), given)
    (teacher,) = teachers - {given.model}
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


def test_the_references_have_the_statistics_of_their_own_training() -> None:
    given, other = problem(), network(seed=1)
    before = copy.deepcopy(given.model.state_dict())
    assert path(Original(), given) == []
    assert all(torch.equal(value, before[key]) for key, value in given.model.state_dict().items())
    assert path(Retrain(), replace(given, retrained=other.state_dict())) == []
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in given.model.state_dict().items())


def test_fisher_forgetting_puts_noise_on_a_batch_norm_and_leaves_its_statistics() -> None:
    model = network()
    model.output_layer = "3"
    given, before = problem(model), {key: value.clone() for key, value in model.state_dict().items()}
    list(registry.FisherForgetting(alpha=1e-3).spec().build().run(given))
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {name for name, _ in model.named_parameters()}
