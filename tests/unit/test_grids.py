"""Grids of settings: what ``vary`` stands for, and what is refused."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from grokforget.config.cost import START, Costs
from grokforget.config.grids import Axis, name_of
from grokforget.config.loader import ConfigError, load_study
from grokforget.config.specs import collect, runs, tables
from grokforget.config.specs.base import read_from_others
from grokforget.config.study import Study
from grokforget.tables.runs import labelled
from small import STUDY

DECAY, FRACTION = "training.optimizer.weight_decay", "data.train_fraction"


def looked_at(vary: Any = None, **changes: Any) -> dict[str, Any]:
    """A study of one setting from which nothing is unlearned."""
    tree = {key: deepcopy(STUDY[key]) for key in ("study", "seeds", "data", "settings")}
    tree["settings"]["mlp"] |= {**({"vary": vary} if vary is not None else {}), **changes}
    return tree


def grown(vary: Any, **changes: Any) -> Study:
    return Study.model_validate(looked_at(vary, **changes))


def test_a_product_has_all_combinations_with_names_labels_and_data_of_their_own() -> None:
    study = grown({DECAY: [0.3, 1], FRACTION: {"values": [0.5, 0.6]}})
    assert list(study.settings) == [
        f"mlp-train-fraction-{fraction}-weight-decay-{decay}" for fraction in ("0p5", "0p6") for decay in ("0p3", "1")
    ]
    one = study.settings["mlp-train-fraction-0p5-weight-decay-0p3"]
    assert (one.labels, one.grid) == ({"train_fraction": 0.5, "weight_decay": 0.3}, "mlp")
    assert one.training.optimizer.weight_decay == 0.3
    assert study.data[one.data].train_fraction == 0.5  # type: ignore[union-attr]
    assert study.data["addition"].train_fraction == 0.6  # type: ignore[union-attr]


def test_a_list_has_the_points_of_each_of_its_mappings() -> None:
    study = grown([{DECAY: 0.1, "initialisation_scale": 2}, {DECAY: [1, 2], "initialisation_scale": 4}])
    points = [tuple(setting.labels.values()) for setting in study.settings.values()]
    assert points == [(2, 0.1), (4, 1), (4, 2)]


def test_a_grid_that_grows_keeps_the_settings_that_it_had() -> None:
    few, more = grown({DECAY: [0.3, 1]}), grown({DECAY: [3, 1, 0.1, 0.3]})
    assert few.settings.keys() < more.settings.keys()
    for name in few.settings:
        before, after = (runs.train(study, name, "0", "full", "001") for study in (few, more))
        assert before == after


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ({"log": {"start": 0.01, "stop": 1, "count": 5}}, [0.01, 0.0316, 0.1, 0.316, 1]),
        ({"linear": {"start": 0.2, "stop": 0.8, "count": 4}}, [0.2, 0.4, 0.6, 0.8]),
        ({"log": {"start": 16.0, "stop": 128.0, "count": 4, "whole": True}}, [16, 32, 64, 128]),
        ({"values": {"none": None, "ema": {"kind": "grokfast-ema"}}}, [None, {"kind": "grokfast-ema"}]),
    ],
)
def test_axes_have_the_values_that_they_say(axis: dict[str, Any], values: list[Any]) -> None:
    assert [value for _, value in Axis.model_validate(axis).points()] == values


def test_a_name_that_is_a_number_is_that_number_in_the_tables() -> None:
    axis = Axis.model_validate({"values": {"96": [96], "0.5": [48], "two-layers": [96, 96]}})
    assert axis.points() == [(96, [96]), (0.5, [48]), ("two-layers", [96, 96])]


@pytest.mark.parametrize(
    ("value", "name"),
    [(0.3, "0p3"), (1, "1"), (1.0, "1"), (1e-5, "1e-5"), (1e20, "1e20"), (-2, "minus-2"), (None, "none"), ("+", "43")],
)
def test_values_have_readable_names(value: Any, name: str) -> None:
    assert name_of(value) == name


def test_a_label_is_as_long_as_tells_it_from_others() -> None:
    study = grown(
        {"training.steps": [3000, 6000], "training.optimizer.weight_decay": {"values": [1], "label": "decay"}}
    )
    assert [*next(iter(study.settings.values())).labels] == ["decay", "training_steps"]


@pytest.mark.parametrize(
    ("vary", "told"),
    [
        ({"selection.sustained": [1]}, "settings.mlp.vary.selection.sustained: not a key that can be varied"),
        ({DECAY: {"log": {"start": 0, "stop": 1, "count": 3}}}, "log.start: an end of a logarithmic axis: found 0"),
        ({DECAY: {"lin": [1]}}, f"vary.{DECAY}.lin: unknown key: found 'lin'; allowed: label, linear, log, values"),
        ({DECAY: [1, 1.0]}, "the same value twice: found '1'"),
        ({DECAY: []}, "no values"),
        ({DECAY: [{"a": 1}]}, f"{DECAY}.0: a value without a name"),
        ({DECAY: [-1]}, "settings.mlp-weight-decay-minus-1.training.optimizer.weight_decay: found -1"),
        ({"training.optimiser.weight_decay": [1]}, "unknown key: found 'optimiser'"),
        ({FRACTION: [2.0]}, "data.addition-train-fraction-2.train_fraction: found 2.0"),
        ({"model": {"values": {"a": {}}}, "model.width": [1]}, "which is varied as a whole"),
        ([{DECAY: 1}, {FRACTION: 0.5}], "vary.1: other keys than in the first one"),
        ([], "nothing to vary"),
        ({DECAY: {"values": [1], "label": "steps"}}, "a label that another column has: found 'steps'"),
        ({DECAY: {"values": [1], "label": "decay_" + "of_all_weights" * 4}}, "label"),
        ({DECAY: {"linear": {"start": 0, "stop": 1, "count": 1}}}, "linear.count"),
    ],
)
def test_what_is_no_grid_is_refused_at_its_key(vary: Any, told: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(looked_at(vary)))
    with pytest.raises(ConfigError) as refused:
        load_study(file)
    assert told in str(refused.value)
    assert str(refused.value).startswith(f"{file}:"), refused.value


def test_too_large_a_grid_is_refused_before_it_is_made(tmp_path: Path) -> None:
    span = {"linear": {"start": 0.1, "stop": 100, "count": 1000}}
    with pytest.raises(ValueError, match=r"too large a grid: found '1000000 settings'"):
        grown({DECAY: span, "initialisation_scale": span})


def test_a_study_of_what_is_only_looked_at_asks_for_curves_and_what_became_of_runs() -> None:
    study = grown({DECAY: [0.3, 1]})
    names = collect.tables_of(study)
    assert names == ["training", "runs", "rates", "laws"]
    assert collect.products(names, tables.paper_tables_of(study, names), [], collect.summaries_of(study)) == [
        f"tables/{name}.parquet" for name in names
    ]


def test_beside_what_is_unlearned_nothing_more_is_asked_of_what_is_not() -> None:
    tree = deepcopy(STUDY)
    tree["settings"]["grid"] = {**tree["settings"]["mlp"], "unlearn": False, "vary": {DECAY: [1]}}
    plain, both = Study.model_validate(STUDY), Study.model_validate(tree)
    for name in collect.collected(plain):
        before, after = (collect.COLLECTED[name].find(study) for study in (plain, both))
        new = [labels for labels, _ in after if (labels, _) not in before]
        assert {labels["setting"] for labels in new} == ({"grid-weight-decay-1"} if name == "training" else set()), name
        assert len(after) == len(before) + len(new)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"checkpoints": ["early"]}, "checkpoints in a setting from which nothing is unlearned"),
        ({"control": {"of": "mlp", "name": "sam"}}, "control in a setting"),
        ({"labels": {"steps": 1}}, "a label that another column has"),
    ],
)
def test_what_is_for_unlearning_is_refused_where_there_is_none(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        grown({DECAY: [1]}, **changes)
    with pytest.raises(ValueError, match="take out `metrics`, which is for unlearning"):
        Study.model_validate({**looked_at(), "metrics": {"a": {"kind": "accuracy"}}})


def test_runs_of_one_job_are_those_of_jobs_of_their_own_in_another_folder() -> None:
    apart, one = grown({DECAY: [0.3, 1]}), grown({DECAY: [0.3, 1]}, together=True)
    items = runs.together(one, "mlp", "1")
    assert list(items) == sorted(items), "items are done in the order of their names, data first"
    assert read_from_others(items) == []
    for name in one.settings:
        for segment in one.segments(name):
            assert items[f"3 train/{name}/{segment}"].spec == runs.train(apart, name, "1", "full", segment)[""].spec
    written = {file for item in items.values() for file in item.outputs.values()}
    assert all(file.startswith("together/mlp/seed1/") for file in written)
    assert {file for labels, file in collect.training(one) if labels["seed"] == 1} <= written


def test_a_job_of_many_runs_costs_one_start_and_all_of_their_training() -> None:
    study = grown({DECAY: [0.3, 1]}, together=True)
    costs = Costs(study)
    both, one = costs.of("together", "mlp"), costs.of("train", "mlp-weight-decay-1")
    assert both
    assert one
    assert both.seconds == pytest.approx(START + 4 * (one.seconds - START)), "two runs of two segments"
    assert both.disk == pytest.approx(4 * one.disk)


def test_runs_that_others_go_on_from_have_jobs_of_their_own() -> None:
    tree = looked_at(together=True)
    tree["settings"]["late"] = {
        **tree["settings"]["mlp"],
        "together": False,
        "starts_from": {"setting": "mlp", "step": 3000},
    }
    with pytest.raises(ValueError, match="go on from others"):
        Study.model_validate(tree)
    with pytest.raises(ValueError, match="runs of one job from which is unlearned"):
        Study.model_validate({**STUDY, "settings": {"mlp": {**STUDY["settings"]["mlp"], "together": True}}})


def test_labels_are_columns_of_numbers_where_all_are_numbers_else_of_text() -> None:
    table = pd.DataFrame({"setting": ["a", "b", "c"], "seed": [0, 0, 0]})
    columns = {"a": {"decay": 1, "filter": "none"}, "b": {"decay": 0.1, "filter": None}}
    found = labelled(table, {"a": "grid"}, columns)
    assert list(found.grid) == ["grid", "", ""]
    assert list(found.decay[:2]) == [1.0, 0.1]
    assert found.decay.dtype == "float64"
    assert found.decay.isna()[2]
    assert list(found["filter"]) == ["none", "", ""]
    assert labelled(table, {}, {}) is table
