"""Training: a loop that gives the same bits wherever it is interrupted, from initialisations that the seed decides."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from grokforget.config.specs.runs import ModelSpec
from grokforget.config.training import TrainingSettings
from grokforget.data.digits import Digits
from grokforget.data.loader import Examples
from grokforget.data.modular import Modular
from grokforget.models.build import build_model
from grokforget.models.states import read_state, write_states
from grokforget.runtime.files import tensor_groups
from grokforget.runtime.seeds import derive_seed, numpy_generator
from grokforget.training.classification import Classification
from grokforget.training.evaluate import accuracy_and_loss
from grokforget.training.loop import Segment, TrainingState, start, train
from grokforget.training.schedule import evaluation_steps, log_steps
from grokforget.training.snapshots import InMemory
from grokforget.training.state import load_training, save_training

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 30
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mlp": ("mlp:MLP", {"hidden": [16], "activation": "relu", "bias": True, "initialisation": "default"}),
    "quadratic": ("mlp:MLP", {"hidden": [16], "activation": "quadratic", "bias": False, "initialisation": "normal"}),
    "cnn": ("cnn:CNN", {"channels": [4, 8], "kernel_size": 3, "hidden": 16}),
    "transformer": ("transformer:Transformer", {"layers": 1, "width": 16, "heads": 2, "mlp_width": 32}),
    "transformer-2": ("transformer:Transformer", {"layers": 2, "width": 16, "heads": 2, "mlp_width": 32}),
}
SGD = {"name": "sgd", "learning_rate": 0.05, "weight_decay": 1e-3, "momentum": 0.9, "nesterov": True}
COSINE = {"schedule": "cosine", "decay_steps": 25}
WARMUP = {"warmup_steps": 17}
SWITCHES = {"switches": [{"step": 8, "weight_decay": 1.0}, {"step": 15, "weight_decay": 0, "learning_rate": 0.01}]}
ADAM = {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.01}
ADAMW = {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 0.5, "betas": [0.9, 0.98]}
MUON = {**ADAMW, "name": "muon", "matrix_learning_rate": 0.02}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Any]:
    """Images and token pairs: a table and a split of each."""
    found = {}
    for name, task in (
        ("images", Digits(train=60, validation=40)),
        ("tokens", Modular(modulus=11, operation="+", train_fraction=0.5, validation_fraction=0.2)),
    ):
        table = task.examples()
        found[name] = (table, task.split(table.labels, numpy_generator(0, "split")))
    return found


def training(
    optimizer: dict[str, Any], batch_size: int | None = None, loss: str = "cross-entropy", **more: Any
) -> TrainingSettings:
    return TrainingSettings.model_validate(
        {"loss": loss, "optimizer": optimizer, "batch_size": batch_size, "steps": STEPS, "segment_steps": STEPS}
        | {"evaluate_every": 10, "evaluations_per_decade": 4, "snapshots_per_decade": 3, "snapshot_change": 1.0}
        | more
    )


ANY = training(SGD)
"""For what does not depend on the recipe."""


class Run:
    """A model on a task, to be trained from the start or from a saved state."""

    def __init__(
        self, tasks: dict[str, Any], model: str, settings: TrainingSettings, seed: int = 0, alpha: float = 1.0
    ) -> None:
        self.table, self.split = tasks["tokens" if model in ("quadratic", "transformer", "transformer-2") else "images"]
        self.model, self.seed, self.alpha = model, seed, alpha
        self.recipe, self.objective = settings.recipe(), settings.objective().build()
        self.weights: dict[int, dict[str, torch.Tensor]] = {}
        """All snapshots of this run so far, by step."""

    def build(self, seed: int) -> nn.Module:
        code, options = MODELS[self.model]
        spec = ModelSpec(implementation=f"grokforget.models.{code}", settings=options, alpha=self.alpha)
        return build_model(spec, self.table.shape, derive_seed(seed, "initialisation"))

    def begin(self) -> TrainingState:
        return start(self.build(self.seed), self.recipe.optimizer)

    def resume(self, path: Path) -> TrainingState:
        """From the file alone: the model that it is loaded into was initialised otherwise."""
        return load_training(path, self.build(self.seed + 100), self.recipe.optimizer)

    def splits(self, model: nn.Module) -> dict[str, Examples]:
        parts = {}
        for name, index in vars(self.split).items():
            x = model.encode(torch.from_numpy(self.table.inputs[index[:60]]))
            parts[name] = Examples(x, torch.from_numpy(self.table.labels[index[:60]]))
        return parts

    def go(self, state: TrainingState, stop: int = STEPS) -> Segment:
        snapshots = InMemory()
        segment = train(
            state,
            self.splits(state.model),
            self.recipe,
            self.objective,
            seed=self.seed,
            stop=stop,
            on_snapshot=snapshots.keep,
        )
        assert list(snapshots.states) == segment.snapshots
        self.weights |= snapshots.states
        return segment


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(a[key].numpy().tobytes() == b[key].numpy().tobytes() for key in a)


def slots(state: TrainingState) -> dict[str, torch.Tensor]:
    """The optimizer's memory by parameter and name."""
    saved = state.optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value) for index, values in saved.items() for key, value in values.items()
    }


def remembered(state: TrainingState) -> dict[str, torch.Tensor]:
    """The memory of a gradient filter."""
    return state.gradient_filter.memory if state.gradient_filter else {}


def rows(segments: list[Segment]) -> dict[int, dict[str, Any]]:
    return {row["step"]: row for segment in segments for row in segment.curve}


# Models.
@pytest.mark.parametrize("model", MODELS)
def test_alpha_scales_every_initial_parameter(tasks: dict[str, Any], model: str) -> None:
    plain = dict(Run(tasks, model, ANY).build(0).named_parameters())
    scaled = dict(Run(tasks, model, ANY, alpha=8.0).build(0).named_parameters())
    assert plain.keys() == scaled.keys()
    assert all(torch.equal(scaled[name], 8 * plain[name]) for name in plain)


@pytest.mark.parametrize("model", MODELS)
def test_initial_weights_depend_on_the_seed_alone(tasks: dict[str, Any], model: str) -> None:
    run = Run(tasks, model, ANY)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = run.build(0).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert same_bits(run.build(0).state_dict(), first)
    assert not same_bits(run.build(1).state_dict(), first)


# The loop.
def test_a_step_of_plain_sgd_is_minus_rate_times_gradient(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training({"name": "sgd", "learning_rate": 0.5}, loss="mse"))
    model = run.build(0)
    examples = run.splits(model)["train"]
    Classification(loss="mse").training_loss(model(examples.x), examples.y).backward()
    expected = [p.detach() - 0.5 * p.grad for p in model.parameters()]
    state = run.begin()
    run.go(state, stop=1)
    for p, value in zip(state.model.parameters(), expected, strict=True):
        torch.testing.assert_close(p.detach(), value)


def test_cosine_ends_training_at_decay_steps(tasks: dict[str, Any]) -> None:
    recipe = training(
        {"name": "sgd", "learning_rate": 0.5, "schedule": "cosine", "decay_steps": 5}, snapshots_per_decade=50
    )
    run = Run(tasks, "mlp", recipe)
    run.go(run.begin(), stop=8)
    weights = run.weights
    assert not same_bits(weights[4], weights[5])
    assert same_bits(weights[5], weights[8])


def test_rows_are_what_evaluation_gives(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training(ADAM))
    state = run.begin()
    last = run.go(state).curve[-1]
    for name, examples in run.splits(state.model).items():
        assert (last[f"{name}_accuracy"], last[f"{name}_loss"]) == accuracy_and_loss(
            state.model, examples, run.objective, nn.functional.cross_entropy
        )
    assert last["weight_norm"] == pytest.approx(math.sqrt(sum((p**2).sum().item() for p in state.model.parameters())))
    assert (last["step"], last["diverged"]) == (STEPS, False)


def test_training_fits(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training({**SGD, "learning_rate": 0.2}))
    curve = run.go(run.begin()).curve
    assert curve[-1]["train_loss"] < 0.5 * curve[0]["train_loss"]


def test_evaluations_and_snapshots_lie_on_their_grids_and_on_the_last_step(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training(ADAM))
    state = run.begin()
    initial = {name: value.clone() for name, value in state.model.state_dict().items()}
    segment = run.go(state, stop=27)
    # snapshot_change = 1 adds no snapshot between those of the grid; where there is a snapshot there is a row.
    assert segment.snapshots == sorted(log_steps(0, 27, 3) | {27})
    assert [row["step"] for row in segment.curve] == sorted(evaluation_steps(0, 27, 4, 10) | set(segment.snapshots))
    assert same_bits(run.weights[0], initial)
    assert same_bits(run.weights[27], state.model.state_dict())


def test_a_moving_accuracy_is_caught_by_further_snapshots(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training(SGD, snapshot_change=0.05, evaluate_every=1))
    segment = run.go(run.begin())
    assert len(segment.snapshots) > len(log_steps(0, STEPS, 3) | {STEPS})
    kept = None
    for row in segment.curve:
        if row["step"] in segment.snapshots:
            kept = row
        for name in ("train_accuracy", "validation_accuracy"):
            assert abs(row[name] - kept[name]) < 0.05


def test_memorisation_is_caught_by_a_snapshot(tasks: dict[str, Any]) -> None:
    run = Run(tasks, "mlp", training({**SGD, "learning_rate": 0.2}, evaluate_every=1))
    segment = run.go(run.begin(), stop=80)
    first = next(row["step"] for row in segment.curve if row["train_accuracy"] >= 0.999)
    assert first not in log_steps(0, 80, 3) | {80}
    assert first in segment.snapshots


CASES = {
    "mlp-sgd": ("mlp", training({**SGD, **COSINE}, batch_size=16)),
    "mlp-plain-sgd": ("mlp", training({"name": "sgd", "learning_rate": 0.1}, loss="mse")),
    "mlp-adam": ("mlp", training(ADAM, batch_size=16, loss="mse")),
    "quadratic-adamw": ("quadratic", training(ADAMW)),
    "cnn-sgd": ("cnn", training({**SGD, **COSINE}, batch_size=16)),
    "cnn-adamw": ("cnn", training({**ADAMW, **COSINE}, batch_size=25)),
    "cnn-adam": ("cnn", training(ADAM, loss="mse")),
    "transformer-adamw": ("transformer", training(ADAMW, batch_size=16)),
    "transformer-2-sgd": ("transformer-2", training({**SGD, **COSINE}, batch_size=16)),
    "mlp-warmup": ("mlp", training({**ADAMW, **COSINE, **WARMUP}, batch_size=16)),
    "mlp-switches": ("mlp", training({**ADAMW, **SWITCHES}, batch_size=16)),
    "mlp-grokfast-ema": ("mlp", training({**ADAMW, "gradient_filter": {"kind": "grokfast-ema"}}, batch_size=16)),
    "cnn-grokfast-ema": ("cnn", training({**SGD, "gradient_filter": {"kind": "grokfast-ema"}})),
    "transformer-grokfast-ma": (
        "transformer",
        training({**ADAMW, "gradient_filter": {"kind": "grokfast-ma", "window": 7}}, batch_size=16),
    ),
    "cnn-grokfast-ma": ("cnn", training({**ADAM, "gradient_filter": {"kind": "grokfast-ma", "window": 12}})),
    "cnn-perpendicular": ("cnn", training({**SGD, "gradient_filter": {"kind": "perpendicular"}}, batch_size=16)),
    "mlp-stablemax": ("mlp", training(ADAMW, batch_size=16, loss="stablemax")),
    "mlp-muon": (
        "mlp",
        training({"name": "muon", "learning_rate": 2e-3, "weight_decay": 0.5, **WARMUP}, batch_size=16),
    ),
    "cnn-muon": ("cnn", training({**MUON, **SWITCHES}, batch_size=16)),
    "transformer-muon": ("transformer", training({**MUON, "gradient_filter": {"kind": "grokfast-ema"}})),
    "mlp-sam": ("mlp", training({**SGD, "sam_rho": 0.05}, batch_size=16)),
    "cnn-sam": ("cnn", training({**ADAMW, "sam_rho": 0.05}, loss="mse")),
    "mlp-orthogonal": ("mlp", training(ADAMW, penalty={"kind": "template-orthogonality", "strength": 0.1})),
    "mlp-jacobian": ("mlp", training(ADAMW, batch_size=16, penalty={"kind": "jacobian", "strength": 0.1})),
    "cnn-crop-flip": (
        "cnn",
        training({**SGD, **COSINE}, batch_size=16, augmentation={"kind": "crop-flip", "padding": 2}),
    ),
    "cnn-bfloat16": ("cnn", training(ADAMW, batch_size=16, precision="bfloat16")),
    "mlp-bfloat16-jacobian": (
        "mlp",
        training(ADAMW, precision="bfloat16", penalty={"kind": "jacobian", "strength": 0.1}),
    ),
    "transformer-jacobian-sam": (
        "transformer",
        training({**ADAMW, "sam_rho": 0.05}, penalty={"kind": "jacobian", "strength": 0.1}),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_run_cut_into_segments_is_bit_for_bit_the_uninterrupted_run(
    tasks: dict[str, Any], tmp_path: Path, case: str
) -> None:
    run = Run(tasks, *CASES[case])
    whole = run.begin()
    segment = run.go(whole)
    kept, run.weights = run.weights, {}

    state, parts = run.begin(), []
    for number, stop in enumerate((1, 8, 19, STEPS)):
        parts.append(run.go(state, stop))
        save_training(tmp_path / f"{number}.safetensors", state)
        state = run.resume(tmp_path / f"{number}.safetensors")

    assert state.step == whole.step == STEPS
    assert same_bits(state.model.state_dict(), whole.model.state_dict())
    assert same_bits(slots(state), slots(whole))
    assert same_bits(remembered(state), remembered(whole))
    cut = rows(parts)
    assert all(cut[step] == row for step, row in rows([segment]).items())
    assert all(same_bits(run.weights[step], weights) for step, weights in kept.items())


@pytest.mark.parametrize(
    "recipe",
    [
        training({**SGD, "sam_rho": 0.05}),
        training({**SGD, **WARMUP}),
        training({**SGD, **SWITCHES}),
        training({**SGD, "gradient_filter": {"kind": "grokfast-ema"}}),
        training({**SGD, "gradient_filter": {"kind": "grokfast-ma", "window": 5}}),
        training({**SGD, "gradient_filter": {"kind": "perpendicular"}}),
        training(SGD, loss="stablemax"),
        training(SGD, penalty={"kind": "jacobian", "strength": 0.1}),
        training(SGD, penalty={"kind": "template-orthogonality", "strength": 0.1}),
        training(SGD, augmentation={"kind": "crop-flip", "padding": 1}),
        training(SGD, precision="bfloat16"),
    ],
)
def test_each_addition_to_a_recipe_changes_the_run(tasks: dict[str, Any], recipe: TrainingSettings) -> None:
    weights = []
    for each in (recipe, training(SGD)):
        run = Run(tasks, "cnn", each)
        state = run.begin()
        run.go(state)
        weights.append(state.model.state_dict())
    assert not same_bits(*weights)


def test_snapshots_do_not_depend_on_how_a_run_is_cut(tasks: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tasks, "mlp", training(ADAM, batch_size=16, loss="mse", snapshot_change=0.1))
    whole = run.go(run.begin()).snapshots
    state = run.begin()
    first = run.go(state, 19).snapshots
    save_training(tmp_path / "state.safetensors", state)
    second = run.go(run.resume(tmp_path / "state.safetensors")).snapshots
    assert set(whole) <= set(first) | set(second)


@pytest.mark.parametrize("case", CASES)
def test_a_saved_state_is_read_back_whole(tasks: dict[str, Any], tmp_path: Path, case: str) -> None:
    run = Run(tasks, *CASES[case])
    state = run.begin()
    run.go(state, 7)
    torch.manual_seed(5)
    save_training(tmp_path / "state.safetensors", state)
    expected = torch.rand(3)
    torch.manual_seed(6)
    read = run.resume(tmp_path / "state.safetensors")
    assert torch.equal(torch.rand(3), expected)
    assert (read.step, read.diverged, read.seen) == (state.step, state.diverged, state.seen)
    assert same_bits(read.model.state_dict(), state.model.state_dict())
    assert same_bits(slots(read), slots(state))
    assert same_bits(remembered(read), remembered(state))
    for a, b in zip(read.model.parameters(), state.model.parameters(), strict=True):
        assert a.stride() == b.stride()
        for key, value in state.optimizer.state[b].items():
            assert torch.as_tensor(read.optimizer.state[a][key]).stride() == torch.as_tensor(value).stride()


def test_the_cnn_of_these_tests_is_channels_last(tasks: dict[str, Any]) -> None:
    weight = Run(tasks, "cnn", ANY).build(0).features[3].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@pytest.mark.parametrize("case", ["mlp-sgd", "cnn-adamw", "transformer-adamw"])
def test_same_seed_same_bits_other_seed_other_bits(tasks: dict[str, Any], case: str) -> None:
    model, recipe = CASES[case]
    results = []
    for seed, caller in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(caller)
        run = Run(tasks, model, recipe, seed)
        state = run.begin()
        run.go(state)
        results.append(state.model.state_dict())
    assert same_bits(results[0], results[1])
    assert not same_bits(results[0], results[2])


def test_the_seed_orders_the_data(tasks: dict[str, Any]) -> None:
    first, second = (Run(tasks, *CASES["mlp-sgd"], seed) for seed in (0, 1))
    a, b = first.begin(), first.begin()
    first.go(a)
    second.go(b)
    assert not same_bits(a.model.state_dict(), b.model.state_dict())


def test_a_longer_run_goes_the_same_way(tasks: dict[str, Any]) -> None:
    run = Run(tasks, *CASES["mlp-sgd"])
    short, long = run.go(run.begin(), 20), run.go(run.begin(), 30)
    assert all(rows([long])[step] == row for step, row in rows([short]).items())


def test_training_on_batch_norm_takes_a_single_last_example_with_the_batch_before() -> None:
    """It has no statistics of its own: torch refuses a batch of one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
    seen: list[int] = []
    model.register_forward_hook(lambda module, args, output: seen.append(len(output)) if module.training else None)
    data = Examples(torch.randn(7, 4), torch.arange(7) % 3)
    splits, settings = dict.fromkeys(("train", "validation", "test"), data), training(SGD, batch_size=3)
    state = start(model, settings.recipe().optimizer)
    train(state, splits, settings.recipe(), settings.objective().build(), seed=0, stop=4)
    assert seen == [3, 4, 3, 4]


def test_a_diverging_run_is_flagged_and_stays_put(tasks: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tasks, "mlp", training({"name": "sgd", "learning_rate": 100.0}, loss="mse"), alpha=100.0)
    state = run.begin()
    curve = run.go(state).curve
    assert (state.diverged, state.step) == (True, STEPS)
    assert [row["diverged"] for row in curve] == [False] * (len(curve) - 1) + [True]
    assert curve[-1]["step"] < STEPS
    assert not math.isfinite(curve[-1]["train_loss"])

    stopped = {name: value.clone() for name, value in state.model.state_dict().items()}
    save_training(tmp_path / "state.safetensors", state)
    again = run.resume(tmp_path / "state.safetensors")
    assert run.go(again, 2 * STEPS) == Segment()
    assert (again.diverged, again.step) == (True, 2 * STEPS)
    assert same_bits(again.model.state_dict(), stopped)


# Files of states.
def test_states_are_read_by_name(tmp_path: Path) -> None:
    path = tmp_path / "states.safetensors"
    write_states(path, {"1": {"w": torch.ones(2)}, "10": {"w": torch.zeros(2)}}, {"a": 1})
    assert tensor_groups(path) == ["1", "10"]
    assert torch.equal(read_state(path, "1")["w"], torch.ones(2))
    with pytest.raises(KeyError, match=r"no state '100'; it holds: 1, 10"):
        read_state(path, "100")


def test_the_same_state_gives_the_same_bytes(tasks: dict[str, Any], tmp_path: Path) -> None:
    run = Run(tasks, *CASES["cnn-adamw"])
    for name in ("a", "b"):
        torch.manual_seed(0)
        state = run.begin()
        run.go(state, 5)
        save_training(tmp_path / name, state)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
