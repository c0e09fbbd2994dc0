"""What is asked of trained and unlearned models: analyses, shadow models, attacks, and the controls' checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
from torch import Tensor

from grokforget.analyses.base import Probe, Value
from grokforget.config.specs.inspection import AnalyseAlongTrainingSpec, AnalyseSpec, AttackSpec, ShadowSpec
from grokforget.config.specs.runs import ModelSpec, SelectSpec
from grokforget.config.specs.unlearning import UnlearnAlongTrainingSpec
from grokforget.config.training import SelectionSettings
from grokforget.data.examples import ExampleTable, ForgetSplit, Split
from grokforget.grokking.checkpoints import TOLERANCE, match
from grokforget.jobs.analyse import analyse, analyse_along_training
from grokforget.jobs.attack import attack, compare, shadows
from grokforget.jobs.found import is_found, metadata_of
from grokforget.jobs.select import select
from grokforget.jobs.shadow import shadow
from grokforget.jobs.snapshots import chosen, spread
from grokforget.jobs.unlearn_along_training import unlearn_along_training
from grokforget.metrics.mia_lira import attack as likelihood_ratio
from grokforget.models.build import build_model
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_table, read_tensors, write_table, write_tensors
from grokforget.runtime.job import Job
from small import small

MODEL = ModelSpec(
    implementation="grokforget.models.mlp:MLP",
    settings={"hidden": [5], "activation": "relu", "bias": True, "initialisation": "default"},
)
RECIPE = small().settings["mlp"].training.recipe()
COMPUTE: dict[str, Any] = {
    **{"model": MODEL, "objective": small().settings["mlp"].training.objective()},
    **{"seed": 0, "threads": 1, "device": "cpu"},
}
N = 12
TABLE = ExampleTable(
    np.random.default_rng(0).random((N, 1, 2, 2), dtype=np.float32), np.arange(N, dtype=np.int64) % 3, 3
)
SPLIT = Split(np.arange(6), np.array([6, 7]), np.arange(8, 12))
FORGET = ForgetSplit(np.array([0, 3]), np.array([1, 2, 4, 5]))


def weights(seed: int) -> dict[str, Tensor]:
    """A state of the model, drawn anew for each seed."""
    return {name: value.clone() for name, value in build_model(MODEL, TABLE.shape, seed).state_dict().items()}


def write_states(path: Path, found: bool = True, **states: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"{key}/{name}": value.numpy() for key, state in states.items() for name, value in state.items()}
    write_tensors(path, tensors, metadata_of(dict.fromkeys(states, found)))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with the files of one run."""
    TABLE.write(tmp_path / "examples.safetensors")
    SPLIT.write(tmp_path / "split.safetensors")
    (tmp_path / "forget").mkdir()
    FORGET.write(tmp_path / "forget" / "within.safetensors")
    return tmp_path


# Analyses.

SEEN: list[dict[str, Any]] = []


def recorded(probe: Probe, **settings: Any) -> list[Value]:
    """An analysis that notes what it is given, and leaves the model changed as none should."""
    SEEN.append(
        {
            "model": {name: value.clone() for name, value in probe.model.state_dict().items()},
            "training": probe.model.training,
            **{name: getattr(probe, name) for name in ("examples", "seed", "objective", "original", "retrained")},
            "recipe": probe.recipe,
            "settings": settings,
        }
    )
    with torch.no_grad():
        for parameter in probe.model.parameters():
            parameter.zero_()
    probe.model.train()
    return [Value("measure", "part", float(len(SEEN))), Value("other", "", math.nan)]


def silent(probe: Probe) -> list[Value]:
    return []


def inspected(
    run: Path, name: str, inputs: dict[str, list[Path]], forget_set: str = "within", **spec: Any
) -> tuple[pd.DataFrame, pyarrow.Schema]:
    SEEN.clear()
    component = ComponentSpec(implementation=f"{__name__}:{name}", settings={"n": 3} if name == "recorded" else {})
    told = {**COMPUTE, "forget_set": forget_set, "analysis": component, "recipe": RECIPE, **spec}
    shared = {what: [run / f"{what}.safetensors"] for what in ("examples", "split")}
    every = {**shared, "forget": [run / "forget" / f"{forget_set}.safetensors"], **inputs}
    outputs = {"table": run / "table.parquet"}
    if "checkpoints" in spec:
        analyse(Job(every, outputs, AnalyseSpec.model_validate(told)))
    else:
        analyse_along_training(Job(every, outputs, AnalyseAlongTrainingSpec.model_validate(told)))
    return read_table(run / "table.parquet"), pyarrow.parquet.read_schema(run / "table.parquet")


@pytest.fixture
def models(run: Path) -> Path:
    """Checkpoints of the run and of the retrained one, and results of two methods."""
    write_states(run / "checkpoints" / "full.safetensors", early=weights(1), grokked=weights(2))
    write_states(run / "checkpoints" / "without-within.safetensors", early=weights(3), grokked=weights(4))
    for n, method in enumerate(("retrain", "ga")):
        path = run / "unlearned" / "within" / method / "models.safetensors"
        write_states(path, early=weights(5 + 2 * n), grokked=weights(6 + 2 * n))
    return run


def same(state: Any, seed: int) -> bool:
    other = weights(seed)
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


def results(models: Path, name: str = "recorded", **spec: Any) -> tuple[pd.DataFrame, pyarrow.Schema]:
    told = {"checkpoints": ["early", "grokked"], "before": True, "methods": ["retrain", "ga"], **spec}
    inputs = {"checkpoints": [models / "checkpoints" / "full.safetensors"]}
    if told["methods"]:
        inputs["retrained"] = [models / "checkpoints" / "without-within.safetensors"]
        inputs["unlearned"] = [models / "unlearned" / "within" / one / "models.safetensors" for one in told["methods"]]
    return inspected(models, name, inputs, **told)


def test_every_checkpoint_and_every_result_is_analysed_in_its_own_state(models: Path) -> None:
    table, _ = results(models)
    labels = [(name, stage) for name in ("early", "grokked") for stage in ("before", "retrain", "ga")]
    assert list(zip(table.checkpoint[::2], table.stage[::2], strict=True)) == labels
    assert list(table.columns) == ["checkpoint", "stage", "flag", "measure", "part", "value"]
    assert table.value[::2].tolist() == [1, 2, 3, 4, 5, 6]
    assert table[["measure", "part"]].drop_duplicates().to_numpy().tolist() == [["measure", "part"], ["other", ""]]
    # The model, the one before unlearning and the retrained one, whatever an analysis has left behind.
    for seen, model, original, retrained in zip(
        SEEN, (1, 5, 7, 2, 6, 8), (1, 1, 1, 2, 2, 2), (3, 3, 3, 4, 4, 4), strict=True
    ):
        assert same(seen["model"], model)
        assert same(seen["original"], original)
        assert same(seen["retrained"], retrained)
        assert not seen["training"]
    assert len({seen["seed"] for seen in SEEN}) == 1, "all are looked at on the same draws"
    assert SEEN[0]["settings"] == {"n": 3}
    assert SEEN[0]["recipe"] == RECIPE


def test_an_analysis_is_given_the_examples_of_the_request(models: Path) -> None:
    results(models)
    examples = SEEN[0]["examples"]
    assert type(SEEN[0]["objective"]) is type(COMPUTE["objective"].build())
    where = {"forget": FORGET.forget, "retain": FORGET.retain, "validation": SPLIT.validation, "test": SPLIT.test}
    for name, index in where.items():
        assert examples[name].y.tolist() == TABLE.labels[index].tolist()
        assert np.array_equal(
            examples[name].x.numpy().reshape(len(index), -1), TABLE.inputs[index].reshape(len(index), -1)
        )


def test_another_request_has_other_draws(models: Path) -> None:
    results(models)
    first = SEEN[0]["seed"]
    FORGET.write(models / "forget" / "other.safetensors")
    results(models, forget_set="other", methods=[])
    assert SEEN[0]["seed"] != first
    results(models, seed=1)
    assert SEEN[0]["seed"] != first


def test_only_what_is_asked_for_is_analysed_and_read(models: Path) -> None:
    (models / "checkpoints" / "without-within.safetensors").unlink()
    table, _ = results(models, methods=[])
    assert table.stage.unique().tolist() == ["before"]
    assert all(seen["retrained"] == {} for seen in SEEN)
    write_states(models / "checkpoints" / "without-within.safetensors", grokked=weights(4))
    table, _ = results(models, before=False, checkpoints=["grokked"], methods=["ga"])
    assert table[["checkpoint", "stage"]].drop_duplicates().to_numpy().tolist() == [["grokked", "ga"]]


def test_snapshots_of_all_segments_are_analysed_in_order(run: Path) -> None:
    snapshots = [run / "1.safetensors", run / "2.safetensors"]
    write_states(snapshots[0], **{"0": weights(0), "10": weights(1)})
    write_states(snapshots[1], **{"20": weights(2), "100": weights(3)})
    table, schema = inspected(run, "recorded", {"snapshots": snapshots}, snapshots=3)
    # From 10 to 100 in even steps of the logarithm: 10, 31.6, 100; the untrained model is none.
    assert table.step[::2].tolist() == [10, 20, 100]
    assert list(table.columns) == ["step", "flag", "measure", "part", "value"]
    assert [same(seen["model"], seed) for seen, seed in zip(SEEN, (1, 2, 3), strict=True)] == [True] * 3
    assert all(seen["original"] == {} and seen["retrained"] == {} for seen in SEEN)
    assert schema.field("step").type == pyarrow.int64()


@pytest.mark.parametrize("along", [False, True])
def test_an_analysis_that_says_nothing_leaves_an_empty_table_of_the_same_types(models: Path, along: bool) -> None:
    """So that it goes together with others."""

    def made(name: str) -> tuple[pd.DataFrame, pyarrow.Schema]:
        if not along:
            return results(models, name)
        write_states(models / "1.safetensors", **{"10": weights(1)})
        return inspected(models, name, {"snapshots": [models / "1.safetensors"]}, snapshots=2)

    (full, types), (empty, of_empty) = made("recorded"), made("silent")
    assert len(empty) == 0 < len(full)
    assert of_empty == types
    both = pd.concat([full, empty], ignore_index=True)
    assert both.dtypes.tolist() == full.dtypes.tolist()


def test_a_run_that_diverged_before_its_first_update_leaves_empty_tables_of_the_same_types(run: Path) -> None:
    """So that they go together with those of other runs: its only snapshot is the untrained one."""
    write_states(run / "trained.safetensors", **{"0": weights(0), "10": weights(1)})
    write_states(run / "untrained.safetensors", **{"0": weights(0)})
    method = ComponentSpec(implementation="grokforget.methods.references:Original", settings={})
    told = UnlearnAlongTrainingSpec(**COMPUTE, method=method, forget_set="within", snapshots=3)
    for wanted in (3, None):
        assert spread([0], wanted) == spread([], wanted) == []
        read: dict[str, list[tuple[pd.DataFrame, pyarrow.Schema]]] = {"analysed": [], "unlearned": []}
        for snapshots in ([run / "trained.safetensors"], [run / "untrained.safetensors"]):
            read["analysed"].append(inspected(run, "recorded", {"snapshots": snapshots}, snapshots=wanted))
            inputs = {what: [run / f"{what}.safetensors"] for what in ("examples", "split")}
            inputs |= {"forget": [run / "forget" / "within.safetensors"], "snapshots": snapshots}
            output = run / "unlearned.parquet"
            unlearn_along_training(Job(inputs, {"table": output}, told.model_copy(update={"snapshots": wanted})))
            read["unlearned"].append((read_table(output), pyarrow.parquet.read_schema(output)))
        for (trained, types), (untrained, of_untrained) in read.values():
            assert len(untrained) == 0 < len(trained)
            assert of_untrained == types
            labelled = [table.assign(setting="mlp", seed=0) for table in (trained, untrained)]
            assert pd.concat(labelled[::-1]).dtypes.tolist() == labelled[0].dtypes.tolist()
    names = [f"{split}_{what}" for split in ("forget", "retain", "test") for what in ("accuracy", "loss")]
    at_chance = ["updates_to_chance", "retain_accuracy_at_chance", "test_accuracy_at_chance"]
    assert list(trained.columns) == ["step", "flag", *(f"original_{name}" for name in names), *names, *at_chance]
    # Nothing was done: the same before and after.
    assert all((trained[f"original_{name}"] == trained[name]).all() for name in names)
    assert trained.step.tolist() == [10]


# Shadow models.


def confidences_of(state: dict[str, Tensor]) -> np.ndarray:
    """log(p / (1 - p)) of every example, in float64 by hand."""
    x = TABLE.inputs.reshape(N, -1).astype(np.float64)
    w = {name: value.double().numpy() for name, value in state.items()}
    hidden = np.maximum(x @ w["features.0.weight"].T + w["features.0.bias"], 0)
    logits = hidden @ w["output.weight"].T + w["output.bias"]
    own = np.exp(logits)[np.arange(N), TABLE.labels]
    return np.log(own) - np.log(np.exp(logits).sum(1) - own)


@pytest.mark.parametrize(("train_set", "members"), [("full", [0, 1, 2, 3, 4, 5]), ("without-within", [1, 2, 4, 5])])
def test_a_shadow_model_says_what_it_thinks_of_every_example_and_what_it_was_trained_on(
    run: Path, train_set: str, members: list[int]
) -> None:
    states = {"early": weights(1), "grokked": weights(2)}
    write_states(run / "checkpoints.safetensors", **states, memorised=weights(3))
    inputs = {what: [run / f"{what}.safetensors"] for what in ("examples", "split", "checkpoints")}
    if train_set != "full":
        inputs["forget"] = [run / "forget" / "within.safetensors"]
    spec = ShadowSpec(**COMPUTE, checkpoints=["early", "grokked"])
    shadow(Job(inputs, {"shadow": run / "shadow.safetensors"}, spec))
    found, _ = read_tensors(run / "shadow.safetensors")
    assert found.keys() == {"member", "confidence/early", "confidence/grokked"}
    for name, state in states.items():
        assert found[f"confidence/{name}"].dtype == np.float64
        assert found[f"confidence/{name}"] == pytest.approx(confidences_of(state), rel=1e-5, abs=1e-6)
    assert np.flatnonzero(found["member"]).tolist() == members


# Attacks.

SEEDS, TRAIN_SETS, CHECKPOINTS = [0, 1, 2], ["full", "without-within"], ["early", "grokked"]
CELL_METHODS = ["original", "ga"]
FLAGS = {seed: {"early": "", "grokked": "not found" if seed == 1 else ""} for seed in SEEDS}
ATTACK = AttackSpec(seeds=SEEDS, train_sets=TRAIN_SETS, checkpoints=CHECKPOINTS, methods=CELL_METHODS)


def forgotten_and_unseen(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Of classes 0 and 1; the test set has class 2 too."""
    return (np.array([0, 3, 1]) + 3 * (seed % 2)), np.array([9, 10, 11, 6, 7])


@pytest.fixture
def attacked(tmp_path: Path) -> dict[str, Any]:
    """The job of three seeds, and what is in its files by path and by cell."""
    generator = np.random.default_rng(1)
    confidences: dict[Any, np.ndarray] = {}
    member: dict[Any, np.ndarray] = {}
    cells: dict[Any, pd.DataFrame] = {}
    inputs: dict[str, list[Path]] = {"forget": [], "split": [], "outputs": [], "diagnostics": [], "shadows": []}

    def file(kind: str, ending: str) -> Path:
        """The next input of a kind."""
        inputs[kind].append(tmp_path / f"{kind}{len(inputs[kind])}.{ending}")
        return inputs[kind][-1]

    for seed in SEEDS:
        forgotten, unseen = forgotten_and_unseen(seed)
        ForgetSplit(forgotten, np.array([2])).write(file("forget", "safetensors"))
        Split(np.array([0]), np.array([1]), unseen).write(file("split", "safetensors"))
        for train_set in TRAIN_SETS:
            key = seed, train_set
            member[key] = generator.integers(0, 2, N).astype(np.uint8)
            confidences |= {(*key, name): generator.normal(3, 2, N) for name in CHECKPOINTS}
            arrays = {"member": member[key], **{f"confidence/{n}": confidences[*key, n] for n in CHECKPOINTS}}
            write_tensors(file("shadows", "safetensors"), arrays, metadata_of(dict.fromkeys(CHECKPOINTS, True)))
        for method in CELL_METHODS:
            rows = [
                {
                    "checkpoint": name,
                    "split": split,
                    "label": int(TABLE.labels[i]),
                    "confidence": generator.normal(3, 2),
                }
                for name in CHECKPOINTS
                for split, index in (("retain", [2]), ("forget", forgotten), ("test", unseen))
                for i in index
            ]
            cells[seed, method] = pd.DataFrame(rows).assign(correct=True)
            write_table(file("outputs", "parquet"), cells[seed, method])
            notes = [{"checkpoint": name, "flag": flag, "measure": "updates"} for name, flag in FLAGS[seed].items()]
            write_table(file("diagnostics", "parquet"), pd.DataFrame(notes))
    job = Job(inputs, {"table": tmp_path / "table.parquet"}, ATTACK)
    return {"job": job, "confidences": confidences, "member": member, "cells": cells}


def test_the_runs_of_the_attacked_seed_are_no_shadow_models(attacked: dict[str, Any]) -> None:
    for seed in SEEDS:
        found = shadows(attacked["job"], seed)
        others = [(other, train_set) for other in SEEDS if other != seed for train_set in TRAIN_SETS]
        assert len(others) == 4
        for name in CHECKPOINTS:
            confidences, member = found[name]
            assert np.array_equal(member, np.stack([attacked["member"][key] for key in others]))
            assert np.array_equal(confidences, np.stack([attacked["confidences"][*key, name] for key in others]))


def test_a_run_without_the_checkpoint_gives_no_shadow_model_of_it(attacked: dict[str, Any]) -> None:
    for number, path in enumerate(attacked["job"].inputs["shadows"]):
        arrays, _ = read_tensors(path)
        write_tensors(path, arrays, metadata_of({"early": number != 3, "grokked": False}))
    found = shadows(attacked["job"], 0)  # which leaves the files 2 to 5 of seeds 1 and 2
    keys = [(1, "full"), (2, "full"), (2, "without-within")]
    assert np.array_equal(found["early"][0], np.stack([attacked["confidences"][*key, "early"] for key in keys]))
    assert np.array_equal(found["early"][1], np.stack([attacked["member"][key] for key in keys]))
    assert [part.shape for part in found["grokked"]] == [(0, N)] * 2
    attack(attacked["job"])
    table = read_table(attacked["job"].outputs["table"])
    assert table.lira_auc[table.checkpoint == "grokked"].isna().all()
    assert table.lira_auc[table.checkpoint == "early"].notna().any()


def test_a_cell_is_attacked_at_its_own_checkpoint_with_unseen_examples_of_the_same_classes(
    attacked: dict[str, Any],
) -> None:
    attack(attacked["job"])
    table = read_table(attacked["job"].outputs["table"])
    assert len(table) == len(SEEDS) * len(CELL_METHODS) * len(CHECKPOINTS)
    for row in table.to_dict("records"):
        forgotten, unseen = forgotten_and_unseen(row["seed"])
        classes = set(TABLE.labels[forgotten])
        index = [*forgotten, *(i for i in unseen if TABLE.labels[i] in classes)]
        assert 3 < len(index) < 8
        cell = attacked["cells"][row["seed"], row["method"]]
        cell = cell[(cell.checkpoint == row["checkpoint"]) & (cell.split != "retain") & cell.label.isin(classes)]
        others = [(seed, train_set) for seed in SEEDS if seed != row["seed"] for train_set in TRAIN_SETS]
        expected = likelihood_ratio(
            cell.confidence.to_numpy(),
            np.stack([attacked["confidences"][*key, row["checkpoint"]][index] for key in others]),
            np.stack([attacked["member"][key][index] for key in others]).astype(bool),
            (cell.split == "forget").to_numpy(),
        )
        assert {name: row[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert table.lira_auc.notna().any()
    assert table.lira_auc.nunique() > 4
    assert table.flag.tolist() == [FLAGS[row.seed][row.checkpoint] for row in table.itertuples()]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["forget", "test", "retain"])
def test_the_attack_on_a_model_that_has_diverged_is_nan(split: str, value: float) -> None:
    generator = np.random.default_rng(0)
    splits = np.repeat(["retain", "forget", "test"], [5, 20, 30])
    cell = {"split": splits, "label": np.zeros(55, int), "confidence": generator.normal(size=55)}
    shadow_models = generator.normal(size=(6, 50)), generator.integers(0, 2, (6, 50))
    assert np.isfinite(list(compare(cell, *shadow_models, 20).values())).all()
    cell["confidence"][np.flatnonzero(splits == split)[2]] = value
    assert np.isnan(list(compare(cell, *shadow_models, 20).values())).all()


def test_outputs_in_another_order_are_refused() -> None:
    cell = {"split": np.array(["forget", "test", "forget"]), "label": np.zeros(3, int), "confidence": np.ones(3)}
    for n in (1, 2):
        with pytest.raises(ValueError, match="not in the order of its forget and test set"):
            compare(cell, np.ones((2, 3)), np.ones((2, 3)), n)


# Which snapshots.


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [(2, [1, 1000]), (4, [1, 10, 100, 1000]), (50, [1, 3, 10, 90, 100, 1000]), (None, [1, 3, 10, 90, 100, 1000])],
)
def test_snapshots_are_spread_over_the_logarithms_of_their_steps(wanted: int | None, steps: list[int]) -> None:
    assert spread([0, 1, 3, 10, 90, 100, 1000], wanted) == steps


def test_a_snapshot_is_found_in_its_segment(tmp_path: Path) -> None:
    segments = [tmp_path / f"{n}.safetensors" for n in (1, 2)]
    for path, steps in zip(segments, ((0, 1, 10), (100, 1000)), strict=True):
        write_tensors(path, {f"{step}/w": np.zeros(1) for step in steps})
    assert chosen(segments, 2) == [(1, segments[0]), (1000, segments[1])]
    assert chosen(segments, None) == [(1, segments[0]), (10, segments[0]), (100, segments[1]), (1000, segments[1])]


# The controls' checkpoints.

STEPS = np.array([0, 10, 20, 30, 40, 50])
FITTED = np.array([0.1, 0.9, 1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("validation", "wanted", "step", "found"),
    [
        # The first that is fitted and as accurate.
        ([0.1, 0.8, 0.8, 0.9, 0.95, 0.9], 0.9, 30, True),
        # As accurate before it has fitted its training data does not count.
        ([0.1, 0.9, 0.5, 0.6, 0.9, 0.9], 0.9, 40, True),
        # Within the tolerance it counts, beyond it does not.
        ([0.1, 0.2, 0.9 - TOLERANCE + 1e-6, 0.9, 0.9, 0.9], 0.9, 20, True),
        ([0.1, 0.2, 0.9 - TOLERANCE - 1e-6, 0.9, 0.9, 0.9], 0.9, 30, True),
        # More accurate counts.
        ([0.1, 0.2, 0.99, 0.5, 0.5, 0.5], 0.6, 20, True),
        # Never as accurate: the best there is, flagged; the untrained model is none.
        ([0.7, 0.2, 0.3, 0.5, 0.4, 0.5], 0.9, 30, False),
    ],
)
def test_matched_is_the_first_fitted_snapshot_that_is_as_accurate(
    validation: list[float], wanted: float, step: int, found: bool
) -> None:
    assert match(STEPS, FITTED, np.array(validation), fitted=0.99, wanted=wanted) == (step, found)


def test_without_a_trained_snapshot_there_is_no_match() -> None:
    assert match(STEPS[:1], FITTED[:1], np.ones(1), fitted=0.0, wanted=0.0) == (0, False)


def test_what_has_fitted_its_training_data_is_said_by_the_settings() -> None:
    validation = np.full(len(STEPS), 0.9)
    assert match(STEPS, FITTED, validation, fitted=0.9, wanted=0.9) == (10, True)
    assert match(STEPS, FITTED, validation, fitted=1.0, wanted=0.9) == (20, True)
    assert match(STEPS, FITTED, validation, fitted=1.1, wanted=0.9) == (10, False)


# Memorised at 20, grokked at 50.
CURVE = pd.DataFrame(
    {
        "step": [0, 10, 20, 30, 40, 50, 60],
        "train_accuracy": [0.3, 0.7, 1.0, 1.0, 1.0, 1.0, 1.0],
        "validation_accuracy": [0.3, 0.4, 0.4, 0.4, 0.8, 1.0, 1.0],
        "test_accuracy": [0.3, 0.41, 0.42, 0.43, 0.81, 0.99, 1.0],
        "train_loss": [1.0, 0.5, 0.1, 0.1, 0.1, 0.1, 0.1],
        "test_loss": [1.0, 0.9, 2.0, 2.1, 1.0, 0.2, 0.1],
        "weight_norm": [5.0, 6.0, 7.0, 6.5, 5.5, 4.5, 4.0],
        "diverged": False,
    }
)


def selected(
    run: Path, checkpoints: list[str], reference: float | None = None, grokked: bool = True
) -> tuple[pd.DataFrame, dict[str, Any]]:
    settings = SelectionSettings.model_validate({"transition": "accuracy", "sustained": 1})
    write_table(run / "curve.parquet", CURVE)
    write_states(run / "snapshots.safetensors", **{str(step): weights(step) for step in CURVE.step})
    inputs = {
        name: [run / f"{name}.{end}"] for name, end in (("examples", "safetensors"), ("snapshots", "safetensors"))
    }
    inputs["curves"] = [run / "curve.parquet"]
    if reference is not None:
        rows = {"checkpoint": ["early", "grokked"], "validation_accuracy": [0.2, reference], "found": [True, grokked]}
        write_table(run / "reference.parquet", pd.DataFrame(rows))
        inputs["reference"] = [run / "reference.parquet"]
    outputs = {"table": run / "table.parquet", "weights": run / "weights.safetensors"}
    model = MODEL if "rescaled" in checkpoints else None
    select(Job(inputs, outputs, SelectSpec(selection=settings, checkpoints=checkpoints, model=model)))
    return read_table(outputs["table"]).set_index("checkpoint"), read_tensors(outputs["weights"])[0]


def parts(arrays: dict[str, Any], checkpoint: str) -> dict[str, np.ndarray]:
    return {name.split("/", 1)[1]: value for name, value in arrays.items() if name.startswith(f"{checkpoint}/")}


@pytest.mark.parametrize(("wanted", "step", "found"), [(0.8, 40, True), (0.4, 20, True), (0.95, 50, True)])
def test_a_control_is_matched_with_grokked_of_its_setting(run: Path, wanted: float, step: int, found: bool) -> None:
    table, arrays = selected(run, ["matched"], wanted)
    assert table.index.tolist() == ["matched"]
    assert (table.step["matched"], table.found["matched"]) == (step, found)
    assert table.test_accuracy["matched"] == CURVE.test_accuracy[CURVE.step == step].item()
    assert {name.split("/")[0] for name in arrays} == {"matched"}
    assert all(np.array_equal(value, weights(step)[name]) for name, value in parts(arrays, "matched").items())


def test_rescaled_predicts_as_memorised_with_the_norm_of_grokked(run: Path) -> None:
    table, arrays = selected(run, ["rescaled", "memorised", "grokked"])
    assert table.step.to_dict() == {"memorised": 20, "grokked": 50, "rescaled": 20}
    states = {name: parts(arrays, name) for name in table.index}

    def norm(name: str) -> float:
        return math.sqrt(sum(float((value.astype(np.float64) ** 2).sum()) for value in states[name].values()))

    assert norm("rescaled") == pytest.approx(norm("grokked"), rel=1e-6)
    assert norm("memorised") != pytest.approx(norm("grokked"), rel=1e-3)
    model = build_model(MODEL, TABLE.shape, seed=0)
    logits = {}
    for name in ("memorised", "rescaled"):
        model.load_state_dict({key: torch.from_numpy(value) for key, value in states[name].items()})
        with torch.no_grad():
            logits[name] = model(torch.from_numpy(TABLE.inputs).flatten(1))
    factor = logits["rescaled"] / logits["memorised"]
    assert factor.min() > 0
    assert factor.numpy() == pytest.approx(factor.mean().item(), rel=1e-3)
    # Its row: accuracies of the one, norm of the other, and losses of neither.
    row, memorised = table.loc["rescaled"], table.loc["memorised"]
    assert row.weight_norm == table.weight_norm["grokked"] != memorised.weight_norm
    assert (row.train_accuracy, row.test_accuracy, row.found) == (1.0, memorised.test_accuracy, True)
    assert math.isnan(row.train_loss)
    assert math.isnan(row.test_loss)
    assert row.t_grok == memorised.t_grok


def test_rescaled_is_found_where_both_are(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CURVE, "validation_accuracy", [0.3] * len(CURVE))
    table, _ = selected(run, ["memorised", "grokked", "rescaled"])
    assert table.found.to_dict() == {"memorised": True, "grokked": False, "rescaled": False}
    assert table.flag.to_dict() == {"memorised": "", "grokked": "not found", "rescaled": "not found"}
    # What becomes of the weights is told by them.
    assert {name: is_found(run / "weights.safetensors", name) for name in table.index} == table.found.to_dict()


def test_what_is_as_accurate_as_a_model_that_did_not_grok_is_no_match(run: Path) -> None:
    table, _ = selected(run, ["matched"], 0.8, grokked=False)
    assert (table.step["matched"], table.found["matched"], table.flag["matched"]) == (40, False, "not found")


def test_a_checkpoint_from_a_run_that_has_diverged_there_is_flagged(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CURVE, "diverged", CURVE.step >= 40)
    table, _ = selected(run, ["memorised", "grokked"])
    assert table.flag.to_dict() == {"memorised": "", "grokked": "diverged"}


@pytest.mark.parametrize("which", ["full", "without-within"])
def test_what_is_no_such_checkpoint_is_flagged_with_all_that_comes_of_it(models: Path, which: str) -> None:
    numbers = (1, 2) if which == "full" else (3, 4)
    states = dict(zip(("early", "grokked"), map(weights, numbers), strict=True))
    write_states(models / "checkpoints" / f"{which}.safetensors", found=False, **states)
    table, _ = results(models)
    assert set(table.flag[table.stage == "before"]) == ({"not found"} if which == "full" else {""})
    # Where the retrained reference is none, an analysis is given none.
    assert all(bool(seen["retrained"]) == (which == "full") for seen in SEEN)


def test_models_whose_outputs_are_no_numbers_are_flagged(models: Path) -> None:
    """All weights of ``ga`` from grokked are finite, and their products are not."""
    path = models / "unlearned" / "within" / "ga" / "models.safetensors"
    write_states(path, early=weights(7), grokked={name: value * 1e30 for name, value in weights(8).items()})
    table, _ = results(models)
    gone = (table.checkpoint == "grokked") & (table.stage == "ga")
    assert table.flag.tolist() == ["diverged" if one else "" for one in gone]
    # An analysis says by itself that it knows nothing of such a model (tests/conformance/test_diverged.py).
