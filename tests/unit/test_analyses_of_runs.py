"""Analyses of runs themselves, of which nothing is forgotten: which there are, and what they are given."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import torch
import yaml

from grokforget.analyses.base import Value
from grokforget.analyses.run_probe import RunProbe
from grokforget.config.analyses import Hessian
from grokforget.config.cost import SettingCosts
from grokforget.config.loader import ConfigError, load_study
from grokforget.config.specs import collect, inspection
from grokforget.config.specs.inspection import AnalyseRunSpec
from grokforget.config.study import Study
from grokforget.config.work import Request
from grokforget.data.examples import Split
from grokforget.data.modular import Modular
from grokforget.jobs.analyse_run import analyse_run
from grokforget.jobs.setup import encoded
from grokforget.models.build import build_model
from grokforget.models.states import state_of, write_states
from grokforget.runtime.components import ComponentSpec
from grokforget.runtime.files import read_table
from grokforget.runtime.job import Job
from small import STUDY, small

WEIGHTS = {"kind": "weights"}
DECAY = "training.optimizer.weight_decay"


def looked_at(analyses: dict[str, Any], vary: Any = None, **changes: Any) -> dict[str, Any]:
    """A study of one setting from which nothing is unlearned."""
    tree = {key: deepcopy(STUDY[key]) for key in ("study", "seeds", "data", "settings")}
    tree["settings"]["mlp"] |= {"vary": vary} if vary else {}
    return {**tree, "analyses": analyses, **changes}


def grown(analyses: dict[str, Any], vary: Any = None, **changes: Any) -> Study:
    return Study.model_validate(looked_at(analyses, vary, **changes))


def test_a_study_without_methods_has_them_along_training() -> None:
    study = grown({"weights": WEIGHTS, "complexity": {"kind": "local-complexity"}}, along_training={"snapshots": 7})
    items = inspection.analyse(study, "mlp", "0")
    assert list(items) == ["along/full/weights", "along/full/complexity"]
    item = items["along/full/weights"]
    assert isinstance(item.spec, AnalyseRunSpec)
    assert (item.spec.snapshots, item.spec.analysis.settings) == (7, {})
    assert item.inputs.keys() == {"examples", "split", "snapshots"}
    assert [labels["forget_set"] for labels, _ in collect.values(study, "along")] == ["full"] * 4
    assert "along" in collect.tables_of(study)
    assert collect.values(study, "before") == []
    assert study.analysed_kinds() == {"weights", "local-complexity"}


def test_those_of_the_run_are_done_once_whatever_is_forgotten_and_of_controls_too() -> None:
    control = {**STUDY["settings"]["mlp"], "control": {"of": "mlp", "name": "other"}, "checkpoints": ["grokked"]}
    study = small(
        settings={"control": control},
        analyses={"weights": WEIGHTS, "complexity": {"kind": "local-complexity", "at": ["along"]}},
    )
    along = [name for name in inspection.analyse(study, "mlp", "0") if name.startswith("along")]
    assert along == [
        *(f"along/{one}/alignment" for one in ("within", "random")),
        "along/full/weights",
        *(f"along/{one}/complexity" for one in ("within", "random")),
    ]
    assert [one for one in inspection.analyse(study, "control", "0") if one.startswith("along")] == [
        "along/full/weights"
    ]


def test_a_run_that_is_trained_together_with_others_has_its_data_there() -> None:
    tree = looked_at({"weights": WEIGHTS}, {DECAY: [0.3, 1]})
    tree["settings"]["mlp"]["together"] = True
    item = inspection.analyse(Study.model_validate(tree), "mlp-weight-decay-0p3", "0")["along/full/weights"]
    files = [file for one in item.inputs.values() for file in ([one] if isinstance(one, str) else one)]
    assert len(files) == 4
    assert all(file.startswith("together/mlp/seed0/") for file in files)


def test_an_analysis_may_be_of_some_settings_or_of_a_grid() -> None:
    study = grown(
        {
            "weights": {**WEIGHTS, "settings": ["mlp-weight-decay-1"]},
            "units": {"kind": "active-units", "settings": ["mlp"]},
        },
        {DECAY: [0.3, 1]},
    )
    assert list(inspection.analyse(study, "mlp-weight-decay-0p3", "0")) == ["along/full/units"]
    assert list(inspection.analyse(study, "mlp-weight-decay-1", "0")) == ["along/full/weights", "along/full/units"]
    request = small(analyses={"alignment": {"kind": "gradient-alignment", "settings": ["mlp"]}})
    assert len(inspection.analyse(request, "mlp", "0")) == 4
    alone = small(analyses={"alignment": {**STUDY["analyses"]["alignment"], "settings": ["mlp"]}})
    spec = inspection.analyse(alone, "mlp", "0")["along/within/alignment"].spec
    assert spec == inspection.analyse(small(), "mlp", "0")["along/within/alignment"].spec, "it decides nothing else"


def test_one_for_other_data_is_left_out() -> None:
    tree = looked_at({"weights": WEIGHTS, "fourier": {"kind": "fourier"}})
    assert "along/full/fourier" in inspection.analyse(Study.model_validate(tree), "mlp", "0")
    tree["data"]["addition"] = {"kind": "sparse-parity", "bits": 20, "relevant": 3}
    assert list(inspection.analyse(Study.model_validate(tree), "mlp", "0")) == ["along/full/weights"]


def test_it_costs_what_its_snapshots_cost() -> None:
    def seconds(**changes: Any) -> float:
        return SettingCosts(
            grown({"h": {"kind": "hessian", **changes}}, along_training={"snapshots": 10}), "mlp"
        ).analyse()

    one = SettingCosts(grown({}), "mlp").computed(Hessian(iterations=30).work(Request(0, 101, 68, 13)))
    assert seconds(iterations=30) == pytest.approx(10 * one)
    assert SettingCosts(grown({}), "mlp").analyse() == 0


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"analyses": {"cka": {"kind": "cka"}}}, "methods: is missing; add it, or take out `analyses.cka`"),
        (
            {"analyses": {"w": {**WEIGHTS, "at": ["before"]}}},
            "analyses.w.at: an analysis of runs themselves: found ['before']; allowed: along",
        ),
        (
            {"analyses": {"w": {**WEIGHTS, "forget_sets": ["within"]}}},
            "analyses.w.forget_sets: forget sets of an analysis of runs",
        ),
        (
            {"analyses": {"w": {**WEIGHTS, "settings": ["mpl"]}}},
            "analyses.w.settings.0: no such setting or grid: found 'mpl'",
        ),
        ({"analyses": {"w": {**WEIGHTS, "settings": []}}}, "analyses.w.settings"),
        ({"analyses": {"v": WEIGHTS, "w": WEIGHTS}}, "analyses.w: a kind given twice in analyses"),
        ({"analyses": {"s": {"kind": "sharpness", "at": ["before"]}}}, "analyses.s.at: an analysis of checkpoints"),
        ({"along_training": {"method": "ascent"}}, "methods: is missing; add it, or take out `along_training.method`"),
    ],
)
def test_what_is_no_analysis_of_a_run_is_refused_at_its_key(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump({**looked_at({}), **changes}))
    with pytest.raises(ConfigError) as refused:
        load_study(file)
    assert told in str(refused.value), refused.value


SEEN: list[dict[str, Any]] = []


def recorded(probe: RunProbe, **settings: Any) -> list[Value]:
    """An analysis that notes what it is given, and leaves the model changed as none should."""
    SEEN.append(
        {"model": state_of(probe.model), "training": probe.model.training, "probe": probe, "settings": settings}
    )
    with torch.no_grad():
        for parameter in probe.model.parameters():
            parameter.zero_()
    probe.model.train()
    return [Value("measure", "part", float(len(SEEN)))]


def silent(probe: RunProbe) -> list[Value]:
    return []


def test_it_is_given_every_snapshot_the_whole_train_set_and_the_last_weights(tmp_path: Path) -> None:
    study = grown({"weights": WEIGHTS})
    spec = inspection.analyse(study, "mlp", "0")["along/full/weights"].spec
    assert isinstance(spec, AnalyseRunSpec)
    table = Modular(modulus=13, operation="+", train_fraction=0.6, validation_fraction=0.1).examples()
    index = np.arange(len(table.labels))
    split = Split(index[:100], index[100:120], index[120:])
    table.write(tmp_path / "examples.safetensors")
    split.write(tmp_path / "split.safetensors")
    states = {step: state_of(build_model(spec.model, table.shape, seed=step)) for step in (0, 10, 20, 100)}
    write_states(tmp_path / "1.safetensors", {str(step): states[step] for step in (0, 10)})
    write_states(tmp_path / "2.safetensors", {str(step): states[step] for step in (20, 100)})
    inputs = {name: [tmp_path / f"{name}.safetensors"] for name in ("examples", "split")}
    inputs["snapshots"] = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    found: dict[str, tuple[pd.DataFrame, Any]] = {}
    for name in ("silent", "recorded"):
        SEEN.clear()
        component = ComponentSpec(implementation=f"{__name__}:{name}", settings={"n": 3} if name == "recorded" else {})
        told = spec.model_copy(update={"analysis": component, "snapshots": 2})
        analyse_run(Job(inputs, {"table": tmp_path / "table.parquet"}, told))
        found[name] = read_table(tmp_path / "table.parquet"), pyarrow.parquet.read_schema(tmp_path / "table.parquet")
    rows, types = found["recorded"]
    assert rows.step.tolist() == [10, 100], "from the first trained one to the last, in even steps of the logarithm"
    assert list(rows.columns) == ["step", "flag", "measure", "part", "value"]
    assert len(found["silent"][0]) == 0
    assert found["silent"][1] == types
    for seen, step in zip(SEEN, (10, 100), strict=True):
        probe = seen["probe"]
        assert all(torch.equal(value, states[step][name]) for name, value in seen["model"].items())
        assert all(torch.equal(value, states[100][name]) for name, value in probe.last.items())
        assert (seen["training"], seen["settings"]) == (False, {"n": 3})
        assert probe.examples.keys() == {"retain", "validation", "test"}
        for name, part in (("retain", split.train), ("validation", split.validation), ("test", split.test)):
            expected = encoded(build_model(spec.model, table.shape, seed=0), table, part, torch.device("cpu"))
            assert torch.equal(probe.examples[name].x, expected.x)
            assert torch.equal(probe.examples[name].y, expected.y)
        assert (probe.original, probe.retrained) == ({}, {})
    assert SEEN[0]["probe"].seed == SEEN[1]["probe"].seed


def test_a_run_that_diverged_before_its_first_update_has_an_empty_table(tmp_path: Path) -> None:
    study = grown({"weights": WEIGHTS})
    spec = inspection.analyse(study, "mlp", "0")["along/full/weights"].spec
    assert isinstance(spec, AnalyseRunSpec)
    table = Modular(modulus=13, operation="+", train_fraction=0.6, validation_fraction=0.1).examples()
    index = np.arange(len(table.labels))
    table.write(tmp_path / "examples.safetensors")
    Split(index[:100], index[100:120], index[120:]).write(tmp_path / "split.safetensors")
    write_states(tmp_path / "snapshots.safetensors", {"0": state_of(build_model(spec.model, table.shape, seed=0))})
    inputs = {name: [tmp_path / f"{name}.safetensors"] for name in ("examples", "split", "snapshots")}
    analyse_run(Job(inputs, {"table": tmp_path / "table.parquet"}, spec))
    assert len(read_table(tmp_path / "table.parquet")) == 0
