"""What a study is expected to cost: how much its models and methods compute, and how near that comes to recorded jobs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from grokforget.config.cost import CORE, GPU, ON_DEVICE, OTHERS, Costs, request_of
from grokforget.config.data import CIFAR10, DATA_SETS, DataSet, Digits, FictitiousAuthors, ImageFolder, Modular
from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.loader import load_study
from grokforget.config.method_settings.base import Steps
from grokforget.config.methods import METHODS
from grokforget.config.models import CNN, MLP, MODELS, Model, Phi, ResNet, TorchvisionModel, Transformer, ViT
from grokforget.config.profiles import rule_names
from grokforget.config.specs.runs import ModelSpec
from grokforget.config.study import Study
from grokforget.config.work import Extent, Request
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods.base import Problem
from grokforget.models.build import build_model
from grokforget.training.classification import Classification
from grokforget.training.language import Language
from small import small
from texts import TinyLM, refused, texts

ROOT = Path(__file__).parents[2]
IMAGES = CIFAR10(train=1000, download=True)
TOKENS = Modular(modulus=7, train_fraction=0.5)
TEXTS = FictitiousAuthors(authors=4, questions=6, vocabulary=300)
SHAPES = {
    IMAGES: DataShape((3, 32, 32), 10, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
    TOKENS: DataShape((2,), 7, vocabulary=7),
    TEXTS: DataShape((72,), 4, vocabulary=300),
}
CASES: list[tuple[Model, DataSet]] = [
    (MLP(hidden=[12, 5]), IMAGES),
    (MLP(hidden=[12], bias=False), TOKENS),
    (CNN(channels=[4, 6], kernel_size=5, hidden=7), IMAGES),
    (ResNet(width=4), IMAGES),
    (ResNet(width=4, depth=34, norm="none"), IMAGES),
    (ResNet(width=4, depth=50, stem="7x7", norm="group"), IMAGES),
    (ResNet(width=4, preactivation=True), IMAGES),
    (ResNet(width=4, depth=50, preactivation=True), IMAGES),
    (ViT(width=8, depth=2, heads=2), IMAGES),
    (Transformer(width=8, heads=2, mlp_width=12), TOKENS),
    (Transformer(width=8, heads=2, mlp_width=12, layers=3), TOKENS),
    (Phi(width=8, heads=2, mlp_width=12, layers=3), TEXTS),
]


@pytest.mark.parametrize(("settings", "data"), CASES, ids=lambda value: getattr(value, "kind", ""))
def test_what_a_model_computes_is_what_torch_counts(settings: Any, data: DataSet) -> None:
    extent = data.extent()
    assert extent
    work = settings.work(data, extent)
    shape = SHAPES[data]
    model = build_model(ModelSpec(**dict(settings.spec()), alpha=1.0), shape, seed=0).eval()
    assert work.parameters == sum(p.numel() for p in model.parameters())

    def counted(n: int) -> int:
        x = torch.zeros((n, *shape.example), dtype=torch.uint8 if shape.vocabulary == 0 else torch.int64)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(model.encode(x))
        return counter.get_total_flops()

    # What is computed once, however many examples there are, is left out. torch counts matrix products alone, and the one-layer
    # transformer sums values over its three positions otherwise; Phi's attention is a single operation, which it passes over.
    summed = 2 * 3 * 8 if settings.kind == "transformer" and settings.layers == 1 else 0
    attention = 3 * 4 * 72**2 * 8 if settings.kind == "phi" else 0
    assert work.flops == counted(3) - counted(2) + summed + attention
    kept = []
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.BatchNorm2d | torch.nn.GroupNorm):
            module.register_forward_hook(lambda *arguments: kept.append(arguments[2][0].numel()))
    if settings.kind in ("cnn", "resnet"):
        model(model.encode(torch.zeros((1, *shape.example), dtype=torch.uint8)))
        assert 0 <= work.kept - sum(kept) <= 7 + 10, "what is no convolution and no norm: the linear layers"


def test_every_kind_of_model_is_counted_or_said_to_be_unknown() -> None:
    counted = {settings.kind for settings, _ in CASES}
    # That of models of the hub is held to theirs beside the other tests of these.
    assert counted | {"causal-lm"} == MODELS.keys() - {"torchvision"} == CORE.rates.keys() == GPU.rates.keys()
    extent = IMAGES.extent()
    assert TorchvisionModel(name="resnet18").work(IMAGES, extent) is None
    assert {"digits", "modular", "cifar10"} <= DATA_SETS.keys()


def test_a_request_of_so_many_pairs_is_as_large() -> None:
    pairs = FORGET_SETS["local-grokking"](group="early", pairs=27, from_epoch=10)
    assert request_of(pairs, 270, 30, 15) == Request(27, 243, 30, 15)
    assert request_of(FORGET_SETS["random"](fraction=0.1), 270, 30, 15) == Request(27, 243, 30, 15)


def test_data_sets_tell_how_large_they_are_where_their_settings_do(tmp_path: Path) -> None:
    assert Digits(train=300, validation=500).extent() == Extent(300, 500, 997, 64, 10, 1797 * 64 * 4)
    assert CIFAR10(train=0.8, validation=1000, side=16, download=True).extent() == Extent(
        40_000, 1000, 10_000, 768, 10, 60_000 * 768
    )
    (tmp_path / "classes.txt").write_text("a\nb\n")
    for part, count in (("train", 20), ("test", 5)):
        for name in "abc":
            folder = tmp_path / "parted" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").touch()
    whole: dict[str, Any] = {"path": str(tmp_path / "parted" / "train"), "train": 0.5, "validation": 6}
    assert ImageFolder(**whole).extent() is None
    told: dict[str, Any] = {"size": 8, "colour": "rgb"}
    assert ImageFolder(**whole, **told).extent() == Extent(30, 6, 24, 192, 3, 60 * 192)
    assert ImageFolder(**whole, **told, test=0.1).extent() == Extent(30, 6, 6, 192, 3, 60 * 192)
    parted = {**whole, **told, "path": str(tmp_path / "parted"), "classes": str(tmp_path / "classes.txt")}
    assert ImageFolder(**parted).extent() == Extent(20, 6, 10, 192, 2, 50 * 192)
    assert ImageFolder(**parted, test=3).extent() == Extent(20, 6, 3, 192, 2, 50 * 192)


@pytest.mark.parametrize("kind", [kind for kind, method in METHODS.items() if issubclass(method, Steps)])
@pytest.mark.parametrize(("forget", "retain"), [(30, 290), (160, 70)])
def test_a_method_makes_as_many_updates_as_is_expected(kind: str, forget: int, retain: int) -> None:
    settings = METHODS[kind]()
    if settings.objectives == ("language",):
        settings = settings.updated({"module": "blocks.0"} if kind == "rmu" else {})
        sets = [texts(n, seed=n) for n in (forget, retain, 20)]
        problem = Problem(TinyLM(), *sets, Language(), 0, extras={"refused": refused(sets[0], 2, seed=1)})
    else:
        problem = classes(forget, retain)
    made = sum(1 for _ in settings.spec().build().run(problem))
    work = settings.work(Request(forget, retain, 50, 3))
    assert work.calls == made
    assert work.passes > 0


def classes(forget: int, retain: int) -> Problem:
    generator = torch.Generator().manual_seed(0)

    def examples(n: int) -> Examples:
        return Examples(torch.rand((n, 4), generator=generator), torch.arange(n) % 3)

    model = build_model(ModelSpec(**dict(MLP(hidden=[5]).spec()), alpha=1.0), DataShape((4,), 3), seed=0)
    objective = Classification(loss="cross-entropy")
    return Problem(model, examples(forget), examples(retain), examples(20), objective, 0, {})


@pytest.mark.parametrize("kind", [kind for kind, method in METHODS.items() if method.objectives == ("language",)])
@pytest.mark.parametrize(("forget", "retain", "epochs"), [(30, 70, 2), (20, 15, 3)])
def test_a_method_of_language_passes_as_many_examples_as_is_expected(
    kind: str, forget: int, retain: int, epochs: int
) -> None:
    settings = METHODS[kind]().updated({"epochs": epochs, **({"module": "blocks.0"} if kind == "rmu" else {})})
    sets = [texts(n, seed=n) for n in (forget, retain, 20)]
    # So many refusals that hardly any is drawn twice.
    problem = Problem(TinyLM(), *sets, Language(), 0, extras={"refused": refused(sets[0], 500, seed=1)})
    passes = {True: 0, False: 0}

    def count(module: object, given: tuple[torch.Tensor]) -> None:
        passes[torch.is_grad_enabled()] += len(given[0])

    problem.model.register_forward_pre_hook(count)
    for _ in settings.spec().build().run(problem):
        pass
    work = settings.work(Request(forget, retain, 50, 3))
    # What is drawn in two epochs is looked at once; and one example is looked at to check the model.
    assert 0.95 * work.passes < 3 * passes[True] + passes[False] <= work.passes + 1


def test_every_rule_has_a_cost() -> None:
    assert {*ON_DEVICE, "measure", "together", *OTHERS} == {*rule_names()} - {"all", "tuning"}
    costs = Costs(small())
    for rule in (*ON_DEVICE, "measure"):
        found = costs.of(rule, "mlp")
        assert found
        assert found.seconds > 0
    found = costs.of("prepare", "addition")
    assert found
    assert found.disk == 16 * 169


def test_what_is_unknown_is_said_to_be() -> None:
    tree = small().model_dump(mode="json", exclude_unset=True)
    tree["data"] = {"images": {"kind": "cifar10", "train": 100, "download": True}}
    tree["settings"]["mlp"] |= {"data": "images", "model": {"kind": "torchvision", "name": "resnet18"}}
    costs = Costs(Study.model_validate(tree))
    assert costs.of("train", "mlp") is None
    assert costs.unknown == {"mlp": "a model of kind torchvision"}
    assert costs.of("select", "mlp")
    assert costs.gpu_needs() == {}


def test_disk_and_kept_models_follow_from_the_weights() -> None:
    """26 inputs, 16 hidden neurons, 13 classes, without biases; three checkpoints, two forget sets, four methods."""
    weights = 4 * (26 * 16 + 16 * 13)
    assert costs_of(small()).disk("select")[0] == 3 * 3 * weights
    kept, models = costs_of(small()).disk("unlearn")
    assert models == 3 * 4 * weights
    assert kept > models
    assert costs_of(small(keep_models="analysed")).disk("unlearn")[1] == 0
    assert costs_of(small(keep_models=["scrub"])).disk("unlearn")[1] == 3 * weights
    # The optimizer's two states and the weights; half of the run's snapshots.
    snapshots = 8 * math.log10(6000) + 1 + 16
    train = costs_of(small()).disk("train")[0]
    assert train == pytest.approx(snapshots / 2 * weights + 3 * weights)
    rounded = costs_of(small(settings__mlp__training__snapshot_precision="bfloat16")).disk("train")[0]
    assert rounded == pytest.approx(snapshots / 4 * weights + 3 * weights)


def costs_of(study: Study) -> Any:
    return Costs(study).setting("mlp")


def test_memory_on_a_gpu_is_counted_at_the_least() -> None:
    """A byte for each of an example's numbers; weights, gradients and Adam's two states; outputs of both layers, of a batch."""
    weights, outputs = 4 * (26 * 16 + 16 * 13), (16 + 13) * 32
    held = 169 * 26 + 4 * weights
    assert Costs(small()).gpu_needs() == {"mlp": held + 4 * outputs}
    assert Costs(small(settings__mlp__training__precision="bfloat16")).gpu_needs() == {"mlp": held + 2 * outputs}


def test_what_is_asked_for_twice_costs_twice() -> None:
    train = costs_of(small()).seconds("train")
    sam = costs_of(small(settings__mlp__training__optimizer__sam_rho=0.1)).seconds("train")
    long = costs_of(small(settings__mlp__training__steps=12000)).seconds("train")
    assert 1.3 * train < sam < 2 * train
    assert long == pytest.approx(train, rel=0.05), "a segment of it"
    assert costs_of(small(threads=2)).seconds("train") < train


RECORDED: dict[str, dict[tuple[str, str], float]] = {
    # Seconds of a job: its record, and what starting a process takes. A quiet machine, two jobs at a time; the mean over seeds.
    "config.yaml": {
        ("train", "digits-mlp"): 16.6,
        ("train", "digits-cnn"): 11.6,
        ("train", "modular-transformer"): 16.4,
        ("train", "modular-mlp"): 3.3,
        ("train", "digits-mlp-standard"): 2.2,
        ("train", "digits-mlp-sam"): 2.6,
        ("train", "digits-mlp-jacobian"): 3.5,
        ("unlearn", "digits-mlp"): 5.9,
        ("unlearn", "digits-cnn"): 12.6,
        ("tune", "digits-mlp"): 13.2,
        ("tune", "digits-cnn"): 24.8,
        ("unlearn_along_training", "digits-mlp"): 5.6,
        ("unlearn_along_training", "digits-cnn"): 10.1,
        ("analyse", "digits-mlp"): 11.2,
        ("analyse", "digits-cnn"): 23.8,
        ("analyse", "modular-transformer"): 30.0,
        ("analyse", "modular-mlp"): 4.0,
        ("measure", "digits-mlp"): 1.9,
        ("measure", "modular-mlp"): 2.6,
        ("select", "digits-mlp"): 1.9,
        ("shadow", "digits-mlp"): 1.6,
    },
    "workflow/studies/smoke.yaml": {
        ("train", "modular-mlp"): 2.2,
        ("unlearn", "modular-mlp"): 2.2,
        ("tune", "modular-mlp"): 1.7,
        ("unlearn_along_training", "modular-mlp"): 1.8,
        ("analyse", "modular-mlp"): 2.1,
    },
    "workflow/studies/cifar10-small.yaml": {
        ("train", "cnn"): 41.0,
        ("train", "resnet"): 226.0,
        ("train", "mlp"): 26.3,
        ("select", "resnet"): 1.1,
    },
}


def study(file: str) -> Study:
    """A study of the repository; CIFAR-10 need not be there."""
    data = {f"data__{name}__download": True for name in ("cifar10", "cifar10-500")} if "cifar10" in file else {}
    return load_study(ROOT / file, data)


@pytest.mark.parametrize("file", RECORDED)
def test_jobs_cost_what_is_expected_within_a_factor_of_two(file: str) -> None:
    costs = Costs(study(file))
    ratios = {}
    for kind, seconds in RECORDED[file].items():
        found = costs.of(*kind)
        assert found
        ratios[kind] = found.seconds / seconds
    assert all(0.5 < ratio < 2 for ratio in ratios.values()), ratios


@pytest.mark.parametrize(
    ("file", "setting", "rule", "memory_mb", "disk_mb"),
    [
        ("config.yaml", "digits-mlp", "train", 341, 11.9),
        ("config.yaml", "modular-transformer", "train", 350, 24.0),
        ("config.yaml", "modular-transformer", "unlearn", 443, 22.0),
        ("config.yaml", "digits-cnn", "analyse", 387, None),
        ("workflow/studies/cifar10-small.yaml", "cnn", "train", 447, 19.6),
        ("workflow/studies/cifar10-small.yaml", "mlp", "train", 390, 33.0),
        ("workflow/studies/cifar10-small.yaml", "resnet", "train", 562, 60.8),
    ],
)
def test_memory_and_disk_are_near_those_of_records(
    file: str, setting: str, rule: str, memory_mb: float, disk_mb: float | None
) -> None:
    found = Costs(study(file)).of(rule, setting)
    assert found
    assert 0.7 < found.memory_mb / memory_mb < 1.4
    assert disk_mb is None or 0.7 < found.disk / 1e6 / disk_mb < 1.5
