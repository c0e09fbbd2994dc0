"""Which summaries, paper tables and verdicts a study has, and what their jobs are told and read."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from typing import Any

import pytest

from grokforget.config.data import Modular
from grokforget.config.models import MLP
from grokforget.config.paper_tables import PAPER_TABLES
from grokforget.config.specs.tables import (
    EXPLAINING,
    ChooseSpec,
    OutcomesSpec,
    PublishedSpec,
    claims_item,
    explanations_item,
    laws_item,
    outcomes_item,
    paper_table_item,
    paper_tables_of,
    published_item,
    summarise_item,
    tuned_item,
)
from grokforget.config.study import Study
from grokforget.runtime import paths
from grokforget.runtime.components import load_implementation
from grokforget.runtime.fingerprint import digests
from grokforget.statistics.candidates import KINDS
from small import STUDY

TIDY = ["training", "checkpoints", "unlearning", "analysis", "membership", "tuning", "tuned"]


def study(**changes: Any) -> Study:
    return Study.model_validate({**deepcopy(STUDY), **changes})


def controlled() -> Study:
    """With a control."""
    mlp = deepcopy(STUDY["settings"]["mlp"])
    control = {**mlp, "control": {"of": "mlp", "name": "sam"}, "checkpoints": ["grokked"]}
    return study(settings={"mlp": mlp, "control": control})


def test_a_study_has_the_paper_tables_that_it_has_something_for() -> None:
    few = ["table1", "table3", "table10", "membership"]
    assert paper_tables_of(study(), TIDY) == few
    more = ["table1", "table3", "table8", "table9", "table10", "table11", "membership"]
    assert paper_tables_of(controlled(), TIDY) == more
    least = study(forget_sets={"within": STUDY["forget_sets"]["within"]}, analyses={})
    assert paper_tables_of(least, TIDY) == ["table1", "membership"]


def test_a_study_has_the_transition_under_attack_where_robustness_is_analysed_along_training() -> None:
    mlp = {**deepcopy(STUDY["settings"]["mlp"]), "data": "pixels"}
    images = {"data": {"pixels": {"kind": "digits", "train": 200}}, "settings": {"mlp": mlp}}
    for at, there in ((["before", "after"], False), (["before", "along"], True)):
        found = study(**images, analyses={"attacked": {"kind": "robustness", "at": at}})
        assert ("robustness-along" in paper_tables_of(found, [*TIDY, "along"])) == there
    # Of tokens no accuracy under attack is measured, at whatever moment.
    tokens = study(analyses={"attacked": {"kind": "robustness", "at": ["along"]}})
    assert "robustness-along" not in paper_tables_of(tokens, [*TIDY, "along"])
    item = paper_table_item(found, "robustness-along", [*TIDY, "along"])
    assert item.inputs == {name: f"tables/{name}.parquet" for name in ("along", "checkpoints")}


def test_a_paper_table_reads_what_the_study_has_of_its_tables() -> None:
    both = paper_table_item(study(), "membership", TIDY)
    assert both.inputs == {name: f"tables/{name}.parquet" for name in ("unlearning", "membership")}
    assert both.outputs == {kind: f"paper/membership.{kind}" for kind in ("csv", "md", "tex")}
    assert [*paper_table_item(study(), "membership", ["unlearning"]).inputs] == ["unlearning"]
    assert paper_table_item(study(), "table1", TIDY).inputs == {"unlearning": "tables/unlearning.parquet"}


def test_claims_are_decided_by_the_tables_that_the_study_has_for_it() -> None:
    assert [*claims_item(study(), TIDY).inputs] == ["unlearning", "analysis", "tuned"]
    assert [*claims_item(study(), ["training", "analysis", "unlearning"]).inputs] == ["unlearning", "analysis"]
    outputs = {"tests": "tables/claims.parquet", "csv": "paper/claims.csv", "md": "paper/claims.md"}
    assert claims_item(study(), TIDY).outputs == outputs


def test_explanations_are_told_of_the_analyses_that_may_explain_something_and_of_no_other() -> None:
    assert EXPLAINING == KINDS
    more = study(analyses={**STUDY["analyses"], "similar": {"kind": "cka"}, "attacked": {"kind": "relearning"}})
    item = explanations_item(more, ["training", "checkpoints", "unlearning", "analysis", "along", "tuned"])
    assert item.spec.model_dump()["study"]["analyses"] == {"alignment": "gradient-alignment", "similar": "cka"}
    assert [*item.inputs] == ["training", "checkpoints", "along", "analysis"]
    assert item.outputs["table"] == "tables/explanations.parquet"
    spec = explanations_item(controlled(), TIDY).spec.model_dump()
    assert spec["settings"] == ["mlp"], "controls are trained otherwise"
    assert spec["forget_sets"] == ["within"]


def test_published_numbers_are_a_file_of_the_workflow() -> None:
    item = published_item(controlled())
    assert isinstance(item.spec, PublishedSpec)
    # By content: the checkout may lie anywhere.
    assert item.spec.numbers == hashlib.sha256(paths.PAPER_NUMBERS.read_bytes()).hexdigest()
    assert item.spec.beside == {}, "digits and modular addition are no data of the paper"
    assert item.spec.methods["ascent"] == "gradient-ascent"


def test_published_numbers_stand_beside_the_same_data_and_family_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Modular, "in_paper", "cifar10")
    assert published_item(controlled()).spec.model_dump()["beside"] == {}, "no multi-layer perceptron is in the paper"
    monkeypatch.setattr(MLP, "in_paper", "resnet")
    same = {"dataset": "cifar10", "model": "resnet"}
    assert published_item(controlled()).spec.model_dump()["beside"] == {"mlp": same, "control": same}


@pytest.mark.parametrize(
    ("optimizer", "share"),
    [
        ({"name": "adamw"}, 2e-3),
        ({"name": "sgd"}, 2e-3),
        ({"name": "sgd", "momentum": 0.9}, 2e-2),
        ({"name": "adam"}, None),
        ({"name": "muon"}, None),
        ({"name": "adamw", "schedule": "cosine", "decay_steps": 100}, None),
        ({"name": "adamw", "switches": [{"step": 100, "weight_decay": 0.0}]}, None),
    ],
)
def test_weight_decay_is_a_clock_where_every_update_takes_the_same_share(
    optimizer: dict[str, Any], share: float | None
) -> None:
    tree = deepcopy(STUDY["settings"])
    tree["mlp"]["training"]["optimizer"] = {"learning_rate": 1e-2, "weight_decay": 0.2, **optimizer}
    spec = outcomes_item(study(settings=tree)).spec
    assert isinstance(spec, OutcomesSpec)
    assert spec.decay == ({} if share is None else {"mlp": pytest.approx(share)})


def test_outcomes_are_read_off_the_curves_alone_by_the_rule_of_each_setting() -> None:
    item = outcomes_item(controlled())
    assert item.inputs == {"training": "tables/training.parquet", "labels": ["data/addition/labels.csv"] * 2}
    assert item.outputs == {name: f"tables/{name}.parquet" for name in ("runs", "rates")}
    spec = item.spec.model_dump()
    assert spec["settings"] == ["mlp", "control"]
    assert {name: one["transition"] for name, one in spec["selection"].items()} == dict.fromkeys(
        spec["settings"], "accuracy"
    )


def test_the_headline_table_leaves_controls_out_and_the_tables_on_them_know_them() -> None:
    headline, controls = (paper_table_item(controlled(), name, TIDY).spec.model_dump() for name in ("table1", "table8"))
    assert headline["settings"] == ["mlp"]
    assert controls["study"]["controls"] == {"control": {"of": "mlp", "name": "sam"}}


def test_an_analysis_of_another_kind_is_nothing_to_a_paper_table() -> None:
    more = study(analyses={**STUDY["analyses"], "similar": {"kind": "cka"}})
    assert "table5" in paper_tables_of(more, TIDY)
    for name in paper_tables_of(study(), TIDY):
        assert paper_table_item(more, name, TIDY) == paper_table_item(study(), name, TIDY)


def test_no_setting_of_a_study_is_part_of_the_code_of_a_table() -> None:
    """A further field or row of a schema leaves every table valid."""
    items = [
        *(item(controlled()) for item in (summarise_item, published_item, tuned_item, outcomes_item, laws_item)),
        claims_item(study(), TIDY),
    ]
    items.append(explanations_item(study(), TIDY))
    modules = {item.spec.function for item in items} | {row.implementation for row in PAPER_TABLES.values()}
    for module in modules:
        assert not [name for name in digests(module) if name.startswith("grokforget.config")], module


def test_specs_are_read_as_they_were_written() -> None:
    """From JSON with its keys in alphabetical order, as a spec file has them."""
    items = [item(controlled()) for item in (summarise_item, published_item, tuned_item, outcomes_item)]
    items += [claims_item(controlled(), TIDY), explanations_item(controlled(), TIDY)]
    items += [paper_table_item(controlled(), name, TIDY) for name in paper_tables_of(controlled(), TIDY)]
    for spec in [*(item.spec for item in items), ChooseSpec(parts=[{"setting": "a", "seed": 9, "method": "ga"}])]:
        text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
        assert type(spec).model_validate_json(text) == spec
        assert callable(load_implementation(spec.function))
