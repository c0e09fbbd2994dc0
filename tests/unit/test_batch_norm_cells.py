"""Jobs on a model with batch norms look at recalibrated models everywhere, and say beside that what its statistics do."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value
from grokforget.config import methods as registry
from grokforget.config.models import MLP
from grokforget.config.specs import collect as collecting
from grokforget.config.specs import unlearning
from grokforget.config.specs.figures import figures_of
from grokforget.config.specs.inspection import AnalyseSpec, ShadowSpec
from grokforget.config.specs.runs import ModelSpec
from grokforget.config.specs.unlearning import TuneSpec, UnlearnAlongTrainingSpec, UnlearnSpec
from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.data.subset import subset
from grokforget.jobs.analyse import analyse
from grokforget.jobs.found import metadata_of
from grokforget.jobs.request import MEASURES
from grokforget.jobs.shadow import shadow
from grokforget.jobs.tune import tune
from grokforget.jobs.unlearn import unlearn
from grokforget.jobs.unlearn_along_training import unlearn_along_training
from grokforget.methods.base import Problem
from grokforget.models.build import build_model
from grokforget.models.images import ImageModel
from grokforget.models.states import read_state, state_of, write_states
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_table, read_tensors
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import derive_seed
from grokforget.statistics.flags import FLAG
from grokforget.training.evaluate import evaluate, logits_of
from grokforget.training.recalibrate import recalibrate
from pages import DOCS, code, read, section
from small import small

N, CLASSES = 60, 3
INPUTS = np.random.default_rng(0).normal(size=(N, 1, 2, 2)).astype(np.float32)
LABELS = (INPUTS.reshape(N, -1)[:, :CLASSES] + 0.5 * np.eye(CLASSES)[np.arange(N) % CLASSES]).argmax(1)
TABLE = ExampleTable(INPUTS, LABELS.astype(np.int64), CLASSES)
SPLIT = Split(np.arange(36), np.arange(36, 42), np.arange(42, N))
FORGET = ForgetSplit(
    np.flatnonzero(LABELS[:36] == 0)[:8], np.setdiff1d(np.arange(36), np.flatnonzero(LABELS[:36] == 0)[:8])
)
CHECKPOINTS = ["early", "grokked"]
PLAIN = small().settings["mlp"].training
OBJECTIVE = PLAIN.objective().build()
RECALIBRATION = 20


class Normed(ImageModel):
    """A batch norm before and behind a hidden layer."""

    output_layer = "output"

    def __init__(self, shape: DataShape) -> None:
        super().__init__(shape)
        width = shape.n_features
        self.features = nn.Sequential(
            nn.BatchNorm1d(width), nn.Linear(width, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)
        )
        self.output = nn.Linear(8, shape.n_classes)

    def from_embedding(self, x: Tensor) -> Tensor:
        return self.output(self.features(x.flatten(1)))


MODEL = ModelSpec(implementation=f"{__name__}:Normed")
WITHOUT = ModelSpec(
    implementation="grokforget.models.mlp:MLP",
    settings={"hidden": [5], "activation": "relu", "bias": True, "initialisation": "default"},
)
COMPUTE: dict[str, Any] = {
    **{"model": MODEL, "objective": PLAIN.objective(), "seed": 4, "threads": 1, "device": "cpu"},
    "recalibration_examples": RECALIBRATION,
}
SEED = derive_seed(4, "some")


def weights(seed: int, model: ModelSpec = MODEL) -> dict[str, Tensor]:
    """A state with statistics of its own, of which none fits the data."""
    state = {name: value.clone() for name, value in build_model(model, TABLE.shape, seed).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    for name, value in state.items():
        if "running" in name:
            state[name] = torch.rand(value.shape, generator=generator) + 0.5
    return state


def part(index: np.ndarray) -> Examples:
    return Examples(torch.from_numpy(INPUTS[index]), torch.from_numpy(TABLE.labels[index]))


PARTS = {"forget": part(FORGET.forget), "retain": part(FORGET.retain), "test": part(SPLIT.test)}
INDEX = subset(PARTS["retain"], RECALIBRATION, derive_seed(SEED, "recalibration")).x


def loaded(state: dict[str, Tensor]) -> nn.Module:
    model = build_model(MODEL, TABLE.shape, 0)
    model.load_state_dict(state)
    return model


def said(model: nn.Module, parts: dict[str, Examples] = PARTS) -> dict[str, float]:
    return evaluate(model, parts, OBJECTIVE, OBJECTIVE.unlearning_loss)


def result(state: dict[str, Tensor], method: registry.Updates | None, recalibration: bool) -> nn.Module:
    """What a method makes of a state, as a reader of its page would run it."""
    model = loaded(state)
    torch.manual_seed(SEED)
    given = Problem(model, PARTS["forget"], PARTS["retain"], part(SPLIT.validation), OBJECTIVE, SEED)
    if method:
        list(method.spec().build().run(given))
    if recalibration:
        recalibrate(model, INDEX)
    return model


ASCENT = registry.GradientAscent(learning_rate=0.02, epochs=4, batch_size=4)
FROZEN = registry.GradientAscent(learning_rate=0.02, epochs=4, batch_size=4, batch_statistics="frozen")
METHODS: dict[str, tuple[registry.Updates | None, registry.Updates | None]] = {
    "ascent": (ASCENT, FROZEN),
    "ascent that is frozen by itself": (FROZEN, FROZEN),
    "nothing": (None, None),
}
"""A method, and the same with frozen statistics."""


@pytest.fixture
def run(tmp_path: Path) -> dict[str, list[Path]]:
    """The files of a run."""
    TABLE.write(tmp_path / "examples.safetensors")
    SPLIT.write(tmp_path / "split.safetensors")
    FORGET.write(tmp_path / "forget.safetensors")
    states = {name: weights(seed) for seed, name in enumerate(CHECKPOINTS)}
    write_states(tmp_path / "checkpoints.safetensors", states, metadata_of({"early": True, "grokked": False}))
    return {what: [tmp_path / f"{what}.safetensors"] for what in ("examples", "split", "forget", "checkpoints")}


def unlearned(run: dict[str, list[Path]], method: registry.Updates | None, **changes: Any) -> dict[str, Path]:
    spec = (method or registry.Original()).spec()
    told = {
        **COMPUTE,
        "method": spec,
        "forget_set": "some",
        "checkpoints": CHECKPOINTS,
        "stride": None,
        "updates": None,
    }
    folder = run["examples"][0].parent / f"out{len(list(run['examples'][0].parent.iterdir()))}"
    names = {
        "models": "safetensors",
        **dict.fromkeys(("trajectory", "outputs", "diagnostics", "batch_norm"), "parquet"),
    }
    out = {name: folder / f"{name}.{ending}" for name, ending in names.items()}
    unlearn(Job(run, out, UnlearnSpec.model_validate({**told, **changes})))
    return out


@pytest.mark.parametrize("case", METHODS)
def test_a_cell_has_the_three_kinds_of_statistics_and_all_else_is_of_the_recalibrated(
    run: dict[str, list[Path]], case: str
) -> None:
    method, frozen = METHODS[case]
    out = unlearned(run, method)
    table = read_table(out["batch_norm"])
    labels = {"setting": "mlp", "seed": 0, "forget_set": "some", "method": "ascent"}
    page = section(read(DOCS / "tables.md"), "batch_norm")
    assert {*table.columns, *labels} - {*code(page)} == set(), "docs/tables.md says what each column is"
    assert table.columns.tolist() == ["checkpoint", "statistics", *MEASURES, "flag"]
    assert table[["checkpoint", "statistics"]].to_numpy().tolist() == [
        [name, kind] for name in CHECKPOINTS for kind in ("left", "recalibrated", "frozen")
    ]
    assert table.flag.tolist() == [""] * 3 + ["not found"] * 3
    rows = table.set_index(["checkpoint", "statistics"])[MEASURES]
    outputs, trajectory = read_table(out["outputs"]), read_table(out["trajectory"])
    for seed, name in enumerate(CHECKPOINTS):
        state = weights(seed)
        models = {
            "left": result(state, method, False),
            "recalibrated": result(state, method, True),
            "frozen": result(state, frozen, False),
        }
        for kind, model in models.items():
            assert rows.loc[(name, kind)].to_dict() == pytest.approx(said(model), abs=1e-5), kind
        means = outputs[outputs.checkpoint == name].groupby("split")[["correct", "loss"]].mean()
        path = trajectory[trajectory.checkpoint == name]
        for split in PARTS:
            assert means.correct[split] == pytest.approx(rows[f"{split}_accuracy"][name, "recalibrated"])
            assert means.loss[split] == pytest.approx(rows[f"{split}_loss"][name, "recalibrated"], abs=1e-5)
        assert path[MEASURES].iloc[-1].to_dict() == pytest.approx(rows.loc[(name, "recalibrated")].to_dict(), abs=1e-6)
        assert path[MEASURES].iloc[0].to_dict() == pytest.approx(said(result(state, None, True)), abs=1e-5)
        kept = read_state(out["models"], name)
        for key, value in models["recalibrated"].state_dict().items():
            torch.testing.assert_close(kept[key], value, msg=key)
    # Or else nothing would tell them apart.
    distinct = rows.forget_loss.round(5).groupby("checkpoint").nunique()
    assert (distinct == (3 if case == "ascent" else 2)).all()


def test_one_kind_of_statistics_may_diverge_without_the_others(run: dict[str, list[Path]]) -> None:
    """A variance that was never a number is one again once it is computed anew."""
    states = {name: weights(seed) for seed, name in enumerate(CHECKPOINTS)}
    states["early"]["features.0.running_var"][1] = math.nan
    write_states(run["checkpoints"][0], states, metadata_of(dict.fromkeys(CHECKPOINTS, True)))
    out = unlearned(run, None)
    flags = read_table(out["batch_norm"]).set_index(["checkpoint", "statistics"]).flag
    assert flags["early"].to_dict() == {"left": "diverged", "recalibrated": "", "frozen": "diverged"}
    assert (flags["grokked"] == "").all()
    assert (read_table(out["diagnostics"]).flag == "").all()


def test_a_model_without_batch_norms_is_what_it_was_and_its_table_is_empty(run: dict[str, list[Path]]) -> None:
    """Also where its settings could not say so: to the byte the results of one whose settings did."""
    states = {name: weights(seed, WITHOUT) for seed, name in enumerate(CHECKPOINTS)}
    write_states(run["checkpoints"][0], states, metadata_of(dict.fromkeys(CHECKPOINTS, True)))
    known = unlearned(run, ASCENT, model=WITHOUT, recalibration_examples=None)
    unknown = unlearned(run, ASCENT, model=WITHOUT)
    for name, path in known.items():
        assert path.read_bytes() == unknown[name].read_bytes(), name
    assert len(read_table(known["batch_norm"])) == 0
    normed = {name: weights(seed) for seed, name in enumerate(CHECKPOINTS)}
    write_states(run["checkpoints"][0], normed, metadata_of(dict.fromkeys(CHECKPOINTS, True)))
    full = pyarrow.parquet.read_schema(unlearned(run, ASCENT)["batch_norm"])
    assert pyarrow.parquet.read_schema(known["batch_norm"]) == full, "it goes together with others"


def test_a_model_that_hides_its_batch_norms_is_refused(run: dict[str, list[Path]]) -> None:
    with pytest.raises(ValueError, match=r"Normed has batch norms .* `has_batch_norm`"):
        unlearned(run, ASCENT, recalibration_examples=None)


def test_rows_of_trajectories_are_of_one_part_of_each_set_and_results_of_all(run: dict[str, list[Path]]) -> None:
    some = unlearned(run, ASCENT, trajectory_examples=6)
    every = unlearned(run, ASCENT)
    for name in ("models", "outputs", "diagnostics", "batch_norm"):
        assert some[name].read_bytes() == every[name].read_bytes(), name
    parts = {name: subset(each, 6, derive_seed(SEED, "trajectory", name)) for name, each in PARTS.items()}
    path = read_table(some["trajectory"])
    for seed, name in enumerate(CHECKPOINTS):
        rows = path[path.checkpoint == name][MEASURES]
        assert rows.iloc[0].to_dict() == pytest.approx(said(result(weights(seed), None, True), parts), abs=1e-5)
        assert rows.iloc[-1].to_dict() == pytest.approx(said(result(weights(seed), ASCENT, True), parts), abs=1e-5)
    assert unlearned(run, ASCENT, trajectory_examples=N)["trajectory"].read_bytes() == every["trajectory"].read_bytes()


def test_candidates_and_snapshots_are_recalibrated_and_of_the_same_examples(run: dict[str, list[Path]]) -> None:
    folder = run["examples"][0].parent
    parts = {name: subset(each, 6, derive_seed(SEED, "trajectory", name)) for name, each in PARTS.items()}
    told = {**COMPUTE, "method": ASCENT.spec(), "trajectory_examples": 6}
    write_states(folder / "retrained.safetensors", {"early": weights(7)}, metadata_of({"early": True}))
    spec = TuneSpec(**told, parameter="learning_rate", candidates=[0.02], forget_sets=["some"], checkpoints=["early"])
    outputs = {name: folder / f"{name}.parquet" for name in ("table", "trajectory")}
    tune(Job({**run, "retrained": [folder / "retrained.safetensors"]}, outputs, spec))
    (row,) = read_table(outputs["table"]).to_dict("records")
    expected = {
        "_before": result(weights(0), None, True),
        "": result(weights(0), ASCENT, True),
        "_retrained": result(weights(7), None, True),
    }
    for suffix, model in expected.items():
        for split in PARTS:
            assert row[f"{split}_accuracy{suffix}"] == pytest.approx(said(model, parts)[f"{split}_accuracy"]), suffix
    write_states(folder / "snapshots.safetensors", {"10": weights(0)})
    along = UnlearnAlongTrainingSpec(**told, forget_set="some", snapshots=None)
    table = folder / "along.parquet"
    unlearn_along_training(Job({**run, "snapshots": [folder / "snapshots.safetensors"]}, {"table": table}, along))
    (snapshot,) = read_table(table).to_dict("records")
    for name, value in said(expected["_before"], parts).items():
        assert snapshot[f"original_{name}"] == pytest.approx(value, abs=1e-5)
    for name, value in said(expected[""], parts).items():
        assert snapshot[name] == pytest.approx(value, abs=1e-5)


def test_candidates_of_a_diverged_run_have_a_trajectory_without_rows(run: dict[str, list[Path]]) -> None:
    folder = run["examples"][0].parent
    lost = {name: value * math.nan if value.is_floating_point() else value for name, value in weights(7).items()}
    write_states(folder / "lost.safetensors", {"early": lost}, metadata_of({"early": False}))
    told = {**COMPUTE, "method": ASCENT.spec(), "trajectory_examples": 6}
    spec = TuneSpec(**told, parameter="learning_rate", candidates=[0.02], forget_sets=["some"], checkpoints=["early"])
    outputs = {name: folder / f"lost.{name}.parquet" for name in ("table", "trajectory")}
    tune(
        Job(
            {**run, "checkpoints": [folder / "lost.safetensors"], "retrained": [folder / "lost.safetensors"]},
            outputs,
            spec,
        )
    )
    assert len(read_table(outputs["table"])) == 1
    found = read_table(outputs["trajectory"])
    assert not len(found)
    assert {"forget_set", "checkpoint", "parameter", "value", "update", "final", "forget_accuracy", FLAG} <= {
        *found.columns
    }


SEEN: list[list[dict[str, Tensor]]] = []


def recorded(probe: Probe) -> list[Value]:
    SEEN.append([dict(state_of(probe.model)), dict(probe.original), dict(probe.retrained)])
    return [Value("measure", "", 0.0)]


def test_analyses_see_recalibrated_models_before_and_after_unlearning(run: dict[str, list[Path]]) -> None:
    SEEN.clear()
    folder = run["examples"][0].parent
    models = unlearned(run, ASCENT)["models"]
    write_states(folder / "retrained.safetensors", {"early": weights(7)}, metadata_of({"early": True}))
    spec = AnalyseSpec(
        **COMPUTE,
        analysis=ComponentSpec(implementation=f"{__name__}:recorded"),
        forget_set="some",
        recipe=PLAIN.recipe(),
        checkpoints=["early"],
        before=True,
        methods=["ascent"],
    )
    inputs = {**run, "retrained": [folder / "retrained.safetensors"], "unlearned": [models]}
    analyse(Job(inputs, {"table": folder / "values.parquet"}, spec))
    original, retrained = (state_of(result(weights(seed), None, True)) for seed in (0, 7))
    after = read_state(models, "early")
    for seen, expected in zip(SEEN, ([original] * 2, [after, original]), strict=True):
        for ours, theirs in zip(seen, [*expected, retrained], strict=True):
            assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_shadow_models_are_recalibrated_on_what_they_were_trained_on(run: dict[str, list[Path]]) -> None:
    output = run["examples"][0].parent / "shadow.safetensors"
    spec = ShadowSpec(**COMPUTE, checkpoints=["early"])
    shadow(Job(run, {"shadow": output}, spec))
    model = loaded(weights(0))
    recalibrate(model, subset(PARTS["retain"], RECALIBRATION, derive_seed(4, "recalibration")).x)
    every = part(np.arange(N))
    expected = OBJECTIVE.confidences(logits_of(model, every.x), every.y).numpy()
    assert read_tensors(output)[0]["confidence/early"] == pytest.approx(expected, abs=1e-5)


# A study.


def test_only_a_study_with_batch_norms_has_their_table_and_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def parts_of(**changes: Any) -> tuple[set[str], Any]:
        study = small(**changes)
        items = unlearning.unlearn(study, "mlp", "0", "within") | unlearning.tune(study, "mlp", "0")
        tables = collecting.tables_of(study)
        return {*tables, *figures_of(study, tables)} & {"batch_norm", "batch-norm"}, items

    shown, items = parts_of()
    assert shown == set()
    assert not any("batch_norm" in item.outputs for item in items.values())
    assert {item.spec.recalibration_examples for item in items.values()} == {None}
    monkeypatch.setattr(MLP, "has_batch_norm", property(lambda self: True))
    shown, items = parts_of(recalibration_examples=50, trajectory_examples=70)
    assert shown == {"batch_norm", "batch-norm"}
    assert {item.spec.recalibration_examples for item in items.values()} == {50}
    assert {item.spec.trajectory_examples for item in items.values()} == {70}
    table = collecting.collect(small(), "batch_norm")[""]
    written = unlearning.unlearn(small(), "mlp", "0", "within")["ascent"].outputs["batch_norm"]
    assert written == "unlearn/mlp/seed0/within/ascent/batch_norm.parquet"
    assert written in table.inputs["parts"]
    assert len(table.inputs["parts"]) == len(table.spec.labels) == 2 * 2 * 4


def test_its_table_is_collected_with_rows_and_without(run: dict[str, list[Path]]) -> None:
    """A torchvision model may have none."""
    parts = [read_table(unlearned(run, ASCENT)["batch_norm"]).assign(setting="a", seed=0)]
    parts.append(parts[0].iloc[:0].assign(setting="b", seed=1))
    whole = pd.concat(parts[::-1], ignore_index=True)
    assert whole.setting.tolist() == ["a"] * 6
    assert whole.forget_accuracy.dtype == np.float64
