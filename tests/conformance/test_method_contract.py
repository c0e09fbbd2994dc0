"""What every unlearning method promises, whatever it does: each of the registry on small nets of several kinds."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.methods import METHODS, REFERENCES
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods.base import Method, Problem
from grokforget.methods.runner import Record, unlearn
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.resnet import ResNet
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification
from grokforget.training.language import Language
from texts import TinyLM, refused, texts

CLASSES = 3
SMALL = {"epochs": 2, "batch_size": 3, "retain_batch_size": 3, "forget_batch_size": 3, "learning_rate": 0.01, "k": 1}
"""For those of a method's settings that it has: several batches an epoch, the last of them of one example (7 = 3 + 3 + 1)."""
WITHOUT_DRAWS = {*REFERENCES, "ssd"}
"""Nothing in them depends on the seed."""
OWN: dict[str, dict[str, object]] = {
    "ssd": {"batch_size": 1, "alpha": 1.0},
    "influence": {"examples": 5},
    "rmu": {"module": "blocks.1"},
}
"""Settings with which these methods do something on so few examples, and draw some of them or none; or that fit the nets."""
UNLEARNING = [name for name in METHODS if name not in REFERENCES]
FORGET_EPOCHS = {
    "random-labels",
    "salun",
    "bad-teacher",
    "boundary-shrink",
    "delete",
    "gradient-ascent",
    "relative-ascent",
}
"""Methods of classification of which an epoch is one pass over the forget set, whatever it does beside it."""

State = dict[str, Tensor]


def normed(*layers: nn.Module) -> nn.Module:
    model = with_statistics(nn.Sequential(*layers))
    model.output_layer = str(len(layers) - 1)
    return model


def with_statistics(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.normal_(module.weight)
    return model


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (
        lambda: MLP(DataShape((5,), CLASSES), hidden=[6, 4], activation="relu", bias=True, initialisation="default"),
        (5,),
    ),
    "cnn": (lambda: CNN(DataShape((1, 8, 8), CLASSES), channels=[3], kernel_size=3, hidden=5), (1, 8, 8)),
    "transformer": (lambda: Transformer(DataShape((2,), CLASSES, 7), layers=1, width=8, heads=2, mlp_width=8), ()),
    "batch norm": (
        lambda: normed(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES)),
        (5,),
    ),
    "batch norm of images": (
        lambda: normed(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, CLASSES)),
        (1, 8, 8),
    ),
    "resnet of pixels": (
        lambda: with_statistics(
            ResNet(
                DataShape((3, 8, 8), CLASSES, mean=(0.5, 0.5, 0.5), std=(0.2, 0.3, 0.4)),
                depth=18,
                width=2,
                stem="3x3",
                norm="batch",
                preactivation=False,
            )
        ),
        (3, 8, 8),
    ),
    "language": (TinyLM, ()),
}


def objective_of(net: str) -> str:
    return "language" if net == "language" else "classification"


def fitting(names: list[str], nets: list[str]) -> list[tuple[str, str]]:
    """Every method on every net of what it unlearns."""
    return [(name, net) for name, net in product(names, nets) if objective_of(net) in METHODS[name].objectives]


SMALLEST = [net for net in NETS if net != "resnet of pixels"]
"""For what is asked of every method on every net, several times."""
PLAIN = [net for net in NETS if net in ("mlp", "language")]


def data(net: str, n: int, seed: int) -> Examples:
    if net == "language":
        return texts(n, seed)
    drawn = torch.Generator().manual_seed(seed)
    shape = NETS[net][1]
    x = torch.rand(n, *shape, generator=drawn) if shape else torch.randint(7, (n, 2), generator=drawn)
    if net.endswith("of pixels"):
        x = (255 * x).to(torch.uint8)
    return Examples(x, torch.arange(n) % CLASSES)


def request(net: str, n_forget: int = 7, seed: int = 0) -> Problem:
    torch.manual_seed(5)
    model = NETS[net][0]()
    sets = [data(net, n, n) for n in (n_forget, 11, 9)]
    retrained = {name: value + (value.is_floating_point() * 0.1) for name, value in model.state_dict().items()}
    language = objective_of(net) == "language"
    objective = Language() if language else Classification(loss="cross-entropy")
    extras = {"refused": refused(sets[0], refusals=4, seed=6)} if language else {}
    return Problem(model, *sets, objective=objective, seed=seed, retrained=retrained, extras=extras)


def build(name: str, **changes: object) -> Method:
    settings = METHODS[name]()
    known = {
        key: value
        for key, value in {**SMALL, **OWN.get(name, {}), **changes}.items()
        if key in type(settings).model_fields
    }
    return settings.updated(known).spec().build()


def run(name: str, given: Problem, net: str, **changes: object) -> Record:
    return unlearn(build(name, **changes), given, data(net, 8, 8), stride=1)


def state_of(model: nn.Module) -> State:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name].nan_to_num(7), b[name].nan_to_num(7)) for name in a)


@pytest.mark.parametrize(("name", "net"), fitting([*METHODS], SMALLEST))
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(name: str, net: str) -> None:
    ends, records = [], []
    for number, seed in enumerate((0, 0, 1)):
        given = request(net, seed=seed)
        # Whatever the process drew before.
        torch.manual_seed(number)
        records.append(run(name, given, net))
        ends.append(state_of(given.model))
    assert same(ends[0], ends[1])
    assert repr(records[0]) == repr(records[1])
    assert same(ends[0], ends[2]) == (name in WITHOUT_DRAWS)


@pytest.mark.parametrize(("name", "net"), fitting([*METHODS], [*NETS]))
def test_nothing_is_changed_but_the_models_weights_and_buffers(name: str, net: str) -> None:
    given = request(net)
    model, first = given.model, state_of(given.model)
    # Modes that no method would set, and that a net may come with.
    model.train()
    list(model.modules())[-1].eval()

    def around() -> list[object]:
        modules = list(model.modules())
        return [
            [(type(m), m.training, len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in modules],
            [(id(p), p.requires_grad, len(p._backward_hooks or ())) for p in model.parameters()],
            [id(b) for b in model.buffers()],
            sorted(key for m in modules for key in m.__dict__),
        ]  # fmt: skip

    parts = (given.forget, given.retain, given.validation)
    before, state = around(), torch.get_rng_state()
    copies = [(part.x.clone(), part.y.clone()) for part in parts]
    retrained, flag = copy.deepcopy(dict(given.retrained)), torch.is_grad_enabled()
    run(name, given, net)
    assert around() == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() == flag
    assert all(torch.equal(p.x, x) and torch.equal(p.y, y) for p, (x, y) in zip(parts, copies, strict=True))
    assert same(dict(given.retrained), retrained)
    assert all(p.grad is None for p in model.parameters()), "gradients are left"
    assert same(state_of(model), first) == (name == "original")


@pytest.mark.parametrize(("name", "net"), fitting([*METHODS], SMALLEST))
def test_there_is_an_update_for_every_change(name: str, net: str) -> None:
    given = request(net)
    states = [state_of(given.model)]
    for _ in build(name).run(given):
        states.append(state_of(given.model))
    assert (len(states) == 1) == (name in REFERENCES)
    if name == "scrub":
        # Its rewind goes back to an epoch, and its first max epoch has nothing to maximise without weight decay.
        return
    if name not in REFERENCES:
        assert same(states[-1], state_of(given.model)), "what comes behind the last update"
        assert not same(states[0], states[-1])


@pytest.mark.parametrize("statistics", ["moving", "frozen"])
@pytest.mark.parametrize(
    ("name", "net"), fitting(UNLEARNING, ["batch norm", "batch norm of images", "resnet of pixels"])
)
def test_running_statistics_move_by_the_setting_alone(name: str, net: str, statistics: str) -> None:
    given = request(net)
    before = state_of(given.model)
    run(name, given, net, batch_statistics=statistics)
    after = state_of(given.model)
    moved = {key for key in before if "running" in key and not torch.equal(before[key], after[key])}
    learns = "batch_statistics" in type(METHODS[name]()).model_fields
    # The last layers of CF-k and EU-k have no batch norm here.
    assert bool(moved) == (learns and statistics == "moving" and name not in ("cf-k", "eu-k"))
    assert all(value.isfinite().all() for value in after.values())


@pytest.mark.parametrize(("name", "net"), fitting([*METHODS], SMALLEST))
def test_one_example_can_be_forgotten(name: str, net: str) -> None:
    given = request(net, n_forget=1)
    # A batch norm of single values has no statistics of one example; of the positions of an image it has.
    alone = net == "batch norm"
    record = run(name, given, net, batch_size=4, **({"batch_statistics": "frozen"} if alone else {}))
    assert record.diagnostics["diverged"] == 0
    assert (record.diagnostics["updates"] > 0) == (name not in REFERENCES)


@pytest.mark.parametrize(("name", "net"), fitting(UNLEARNING, [*PLAIN, "batch norm"]))
def test_a_model_that_came_diverged_is_left_after_one_update(name: str, net: str) -> None:
    given = request(net)
    with torch.no_grad():
        next(given.model.parameters()).view(-1)[0] = math.nan
    record = run(name, given, net)
    assert record.diagnostics["diverged"] == 1
    assert record.diagnostics["updates"] == 1
    assert record.trajectory[-1]["final"]


@pytest.mark.parametrize(("name", "net"), fitting(UNLEARNING, PLAIN))
def test_a_run_ends_where_a_weight_is_no_number_and_puts_everything_back(name: str, net: str) -> None:
    given, full = request(net), run(name, request(net), net).diagnostics["updates"]
    given.model.eval()
    at = min(full, 3)

    def spoil(update: int) -> None:
        if update == at:
            with torch.no_grad():
                next(given.model.parameters()).fill_(math.nan)

    record = unlearn(build(name), given, data(net, 8, 8), stride=1, on_update=spoil)
    assert record.diagnostics["updates"] == at
    assert record.diagnostics["diverged"] == 1
    assert not any(module.training for module in given.model.modules())
    assert all(p.requires_grad and p.grad is None for p in given.model.parameters())


@pytest.mark.parametrize("name", sorted(FORGET_EPOCHS))
def test_an_epoch_has_every_forget_example_in_one_batch(name: str) -> None:
    given = request("mlp")
    seen: list[Tensor] = []

    class Net(nn.Module):
        """The net, and a record of what passes through it on the way to an update."""

        output_layer = given.model.output_layer

        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            if torch.is_grad_enabled() and self.training:
                seen.append(x.detach())
            return self.inner(x)

    given.model = Net(given.model)
    given.model.eval()
    ends = []
    for _ in build(name).run(given):
        ends.append(len(seen))
        given.model.eval()
    rows = [
        int((given.forget.x == row).all(1).nonzero()) for x in seen for row in x if (given.forget.x == row).all(1).any()
    ]
    assert ends == list(range(1, len(ends) + 1)), "an update is one batch"
    assert len(rows) == 2 * 7
    for epoch in (rows[:7], rows[7:]):
        assert Counter(epoch) == Counter(range(7))


def test_every_forget_method_is_held_to_its_epochs() -> None:
    assert {*METHODS} >= FORGET_EPOCHS
