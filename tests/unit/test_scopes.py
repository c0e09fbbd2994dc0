"""How much of a study is done with each setting, and what a control is."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_specs import all_jobs, recipes

from grokforget.config.loader import ConfigError, load_study
from grokforget.config.specs import collect as collecting
from grokforget.config.specs import figures as drawing
from grokforget.config.specs import inspection, runs, unlearning
from grokforget.config.specs import tables as deriving
from grokforget.config.specs.shown import meanings
from grokforget.config.study import Study
from grokforget.statistics.claims import ALL
from small import STUDY, small

MLP: dict[str, Any] = STUDY["settings"]["mlp"]
CONTROL = {
    **MLP,
    "control": {"of": "mlp", "name": "sam"},
    "checkpoints": ["matched"],
    "seeds": [1, 0],
    "forget_sets": ["random"],
}


def tree(**settings: Any) -> dict[str, Any]:
    """The small study with further settings, or changes of ``mlp``."""
    study = deepcopy(STUDY)
    for name, setting in settings.items():
        study["settings"][name] = {**study["settings"].get(name, {}), **deepcopy(setting)}
    return study


@pytest.fixture(scope="module")
def scoped() -> Study:
    """Three settings: one with all of the study, one with a part of it, and a control of the first."""
    part = {**MLP, "seeds": [5, 3], "forget_sets": ["random"], "checkpoints": ["grokked", "early"]}
    ascent = {"ascent": {"learning_rate": 0.5, "epochs": 7}}
    settings = {"mlp": {"methods": ascent}, "part": part, "control": CONTROL}
    return Study.model_validate(tree(**settings))


def test_a_setting_has_all_of_the_study_or_the_part_that_it_names(scoped: Study) -> None:
    assert {name: scoped.seeds_of(name) for name in scoped.settings} == {
        "mlp": [0, 1],
        "part": [5, 3],
        "control": [1, 0],
    }
    assert scoped.forget_sets_of("mlp") == ["within", "random"]
    assert scoped.forget_sets_of("part") == scoped.forget_sets_of("control") == ["random"]
    assert scoped.checkpoints_of("mlp") == ["early", "memorised", "grokked"]
    assert scoped.checkpoints_of("part") == ["grokked", "early"]
    assert scoped.checkpoints_of("control") == ["matched"]
    assert scoped.train_sets_of("mlp") == ["full", "without-within", "without-random"]
    assert scoped.train_sets_of("part") == ["full", "without-random"]
    assert scoped.main_settings == ["mlp", "part"]


def test_forget_sets_are_in_the_studys_order_whatever_the_settings() -> None:
    study = Study.model_validate(tree(mlp={"forget_sets": ["random", "within"]}))
    assert study.forget_sets_of("mlp") == ["within", "random"]


def test_runs_and_requests_are_those_of_every_setting(scoped: Study) -> None:
    runs = [("mlp", 0), ("mlp", 1), ("part", 5), ("part", 3), ("control", 1), ("control", 0)]
    assert list(scoped.runs()) == runs
    both = [(*run, name) for run in runs[:2] for name in ("within", "random")]
    assert list(scoped.requests()) == [*both, *((*run, "random") for run in runs[2:])]


def test_what_is_done_along_training_tuning_and_analyses_are_done_for_the_forget_sets_that_a_setting_has_of_theirs() -> (
    None
):
    study = tree(part={**MLP, "forget_sets": ["random"]}, control=CONTROL)
    study["analyses"]["alignment"]["forget_sets"] = ["within"]
    study["along_training"]["forget_sets"] = ["random"]
    study["tuning"]["forget_sets"] = ["within"]
    made = Study.model_validate(study)
    assert [made.forget_sets_along(name) for name in made.settings] == [["random"], ["random"], []]
    assert [made.forget_sets_tuned(name) for name in made.settings] == [["within"], [], []]
    assert [made.analysed(name, "alignment") for name in made.settings] == [["within"], [], []]


def test_an_analysis_that_does_not_fit_the_data_is_left_out() -> None:
    study = tree()
    study["analyses"]["robustness"] = {"kind": "robustness"}
    study["data"]["pixels"] = {"kind": "digits", "train": 200}
    study["settings"]["images"] = {**MLP, "data": "pixels", "model": {"kind": "mlp", "hidden": [8]}}
    made = Study.model_validate(study)
    assert made.analysed("mlp", "robustness") == []
    assert made.analysed("images", "robustness") == ["within", "random"]
    assert made.analysed("mlp", "alignment") == ["within", "random"]


def test_the_methods_of_a_control_are_those_of_its_setting_and_then_its_own(scoped: Study) -> None:
    """The comparison is at the same hyper-parameters, unless the study says otherwise."""
    assert scoped.method("control", "ascent") == scoped.method("mlp", "ascent")
    assert scoped.method("control", "ascent").model_dump()["learning_rate"] == 0.5
    assert scoped.method("part", "ascent") == scoped.methods["ascent"]
    own = {**CONTROL, "methods": {"ascent": {"learning_rate": 0.25}}}
    base = {"methods": {"ascent": {"learning_rate": 0.5, "epochs": 7}}}
    changed = Study.model_validate(tree(mlp=base, control=own))
    dumped = {name: changed.method(name, "ascent").model_dump() for name in ("mlp", "control")}
    assert dumped["control"] == {**dumped["mlp"], "learning_rate": 0.25}
    assert dumped["control"]["epochs"] == 7


def put(key: str, value: Any) -> Any:
    def edit(study: dict[str, Any]) -> None:
        *path, last = key.split(".")
        node = study
        for part in path:
            node = node[part]
        node[last] = value

    return edit


OTHER = {"of": "mlp", "name": "other"}
TRANSFORMER = {"kind": "transformer", "layers": 1, "width": 8, "heads": 2, "mlp_width": 8}
RESCALED = ["memorised", "grokked", "rescaled"]
# What is changed in the study with a control → the key that the message is about, and what it says.
REFUSED: dict[str, tuple[list[Any], str, list[str]]] = {
    "matched without a control": (
        [put("settings.mlp.checkpoints", ["matched"])],
        "settings.mlp.control",
        ["the checkpoint matched in a setting that is no control", "found None", "{of: SETTING, name: NAME}"],
    ),
    "matched with what has no grokked": (
        [put("settings.mlp.checkpoints", ["early", "memorised"])],
        "settings.control.checkpoints",
        ["without grokked in 'mlp'", "found ['matched']", "allowed: grokked there"],
    ),
    "matched with seeds of its own": (
        [put("settings.control.seeds", [0, 7, 4])],
        "settings.control.seeds",
        ["seeds that 'mlp' does not have", "found [4, 7]", "allowed: those that it has"],
    ),
    "matched with forget sets of its own": (
        [put("settings.control.forget_sets", ["within", "random"]), put("settings.mlp.forget_sets", ["random"])],
        "settings.control.forget_sets",
        ["forget_sets that 'mlp' does not have", "found ['within']"],
    ),
    "a control of nothing": (
        [put("settings.control.control.of", "mpl")],
        "settings.control.control.of",
        ["a control of what is no such setting", "found 'mpl'", "allowed: mlp", "did you mean 'mlp'?"],
    ),
    "a control of itself": (
        [put("settings.control.control.of", "control")],
        "settings.control.control.of",
        ["found 'control'", "allowed: mlp"],
    ),
    "a control of a control": (
        [put("settings.further", {**CONTROL, "control": {"of": "control", "name": "other"}})],
        "settings.further.control.of",
        ["found 'control'", "allowed: mlp"],
    ),
    "a control with several checkpoints": (
        [put("settings.control.checkpoints", ["early", "grokked"])],
        "settings.control.checkpoints",
        ["a control with several checkpoints", "found ['early', 'grokked']", "allowed: one of them"],
    ),
    "a control with all of the study's": (
        [put("settings.control.checkpoints", None)],
        "settings.control.checkpoints",
        ["a control with several checkpoints", "found ['early', 'memorised', 'grokked']"],
    ),
    "a control called like a checkpoint": (
        [put("settings.control.control.name", "grokked")],
        "settings.control.control.name",
        ["a reserved name: grokked is a checkpoint", "found 'grokked'", "another name"],
    ),
    "two controls of one name": (
        [put("settings.further", deepcopy(CONTROL))],
        "settings.control.control.name",
        ["the name of another control of 'mlp'", "found 'sam'", "no other control"],
    ),
    "a name that is no folder's": (
        [put("settings.control.control.name", "A b")],
        "settings.control.control.name",
        ["found 'A b'"],
    ),
    "rescaled where it changes the predictions": (
        [put("settings.mlp.model", TRANSFORMER), put("settings.mlp.checkpoints", RESCALED)],
        "settings.mlp.checkpoints",
        ["rescaled with a model that no factor leaves as it is", "found 'transformer'", "mlp, cnn"],
    ),
    "rescaled without memorised": (
        [put("settings.mlp.checkpoints", ["grokked", "rescaled"])],
        "settings.mlp.checkpoints",
        ["the checkpoint rescaled alone", "found ['grokked', 'rescaled']", "memorised and grokked beside it"],
    ),
    "rescaled without grokked": (
        [put("settings.mlp.checkpoints", ["memorised", "rescaled"])],
        "settings.mlp.checkpoints",
        ["the checkpoint rescaled alone", "memorised and grokked beside it"],
    ),
    "no such checkpoint": (
        [put("settings.control.checkpoints", ["mached"])],
        "settings.control.checkpoints.0",
        ["found 'mached'", "early, memorised, grokked, rescaled, matched", "did you mean 'matched'?"],
    ),
    "an attack with one seed": (
        [put("settings.control", None), put("seeds", [0])],
        "seeds",
        ["an attack without shadow models", "found [0]", "allowed: two seeds or more"],
    ),
    "an attack with one seed of a setting": (
        [put("settings.control.seeds", [1])],
        "settings.control.seeds",
        ["an attack without shadow models", "found [1]", "allowed: two seeds or more"],
    ),
    "the seed that chooses": (
        [put("settings.mlp.seeds", [0, 1, 9])],
        "tuning.seed",
        ["a reported seed", "found 9"],
    ),
    "a forget set of a setting": (
        [put("settings.control.forget_sets", ["random", "witin"])],
        "settings.control.forget_sets.1",
        ["no such forget set", "found 'witin'", "allowed: random, within", "did you mean 'within'?"],
    ),
    "a forget set of an analysis": (
        [put("analyses.alignment.forget_sets", ["rndom"])],
        "analyses.alignment.forget_sets.0",
        ["no such forget set", "found 'rndom'", "did you mean 'random'?"],
    ),
    "a forget set along training": (
        [put("along_training.forget_sets", ["full"])],
        "along_training.forget_sets.0",
        ["no such forget set", "found 'full'", "allowed: random, within"],
    ),
    "a forget set of the tuning": (
        [put("tuning.forget_sets", ["within", "other"])],
        "tuning.forget_sets.1",
        ["no such forget set", "found 'other'", "allowed: random, within"],
    ),
    "along training what no setting has": (
        [put("settings.mlp.forget_sets", ["random"]), put("along_training.forget_sets", ["within"])],
        "along_training.forget_sets",
        ["forget sets that no setting has", "found ['within']", "allowed: random"],
    ),
    "a tuning on what no setting has": (
        [put("settings.mlp.forget_sets", ["random"]), put("tuning.forget_sets", ["within"])],
        "tuning.forget_sets",
        ["forget sets that no setting has", "found ['within']"],
    ),
    "a control on other data": (
        [put("data.other", STUDY["data"]["addition"]), put("settings.control.data", "other")],
        "settings.control.data",
        ["a control on other data than its setting", "found 'other'", "allowed: addition"],
    ),
    "a setting that claims take for all": (
        [put(f"settings.{ALL}", MLP)],
        f"settings.{ALL}",
        ["all stands for all settings together in claims", "found 'all'"],
    ),
    "a forget set twice": (
        [put("settings.mlp.forget_sets", ["within", "within"])],
        "settings.mlp.forget_sets.1",
        ["given twice", "found 'within'"],
    ),
    "no forget set": ([put("settings.mlp.forget_sets", [])], "settings.mlp.forget_sets", ["found []", "at least 1"]),
    "no seed": ([put("settings.mlp.seeds", [])], "settings.mlp.seeds", ["found []", "at least 1"]),
    "a kind of analysis twice": (
        [put("analyses.again", {"kind": "gradient-alignment"})],
        "analyses.again",
        ["a kind given twice in analyses", "found 'gradient-alignment'", "allowed: each kind once"],
    ),
    "no such analysis": (
        [put("analyses.alignment.kind", "gradient-alignmnt")],
        "analyses.alignment.kind",
        ["found 'gradient-alignmnt'", "did you mean 'gradient-alignment'?"],
    ),
    "no such moment": (
        [put("analyses.alignment.at", ["befor"])],
        "analyses.alignment.at.0",
        ["found 'befor'", "before, after, along", "did you mean 'before'?"],
    ),
    "an unknown key of an analysis": (
        [put("analyses.alignment.exmples", 3)],
        "analyses.alignment.exmples",
        ["unknown key", "did you mean 'examples'?"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_go_together_is_refused_with_place_find_and_choices(case: str, tmp_path: Path) -> None:
    edits, key, says = REFUSED[case]
    study = tree(control=CONTROL)
    for edit in edits:
        edit(study)
    study["settings"] = {name: setting for name, setting in study["settings"].items() if setting}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    with pytest.raises(ConfigError) as raised:
        load_study(path)
    (message,) = str(raised.value).splitlines()
    found = re.fullmatch(rf"{re.escape(str(path))}:(\d+): ([\w.-]+): (.*)", message)
    assert found, message
    assert found[2] == key
    assert not [part for part in says if part not in found[3]], message
    # The line is that of the key, or of the nearest that the file has around it.
    assert nearest(path.read_text().splitlines()[int(found[1]) - 1], key), message


def nearest(line: str, key: str) -> bool:
    words = re.sub(r"^[\s-]*", "", line).split(":")[0]
    return words in key.split(".") or line.lstrip().startswith("- ")


def test_the_study_that_the_refused_ones_are_made_from_is_none_of_them(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(tree(control=CONTROL), sort_keys=False))
    assert load_study(path).settings["control"].control is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"mlp": {"checkpoints": RESCALED}},
        {"control": {**CONTROL, "checkpoints": ["grokked"], "seeds": [7, 8], "forget_sets": None}},
        {"control": CONTROL, "further": {**CONTROL, "control": OTHER}},
        {"control": CONTROL, "base": MLP, "further": {**CONTROL, "control": {"of": "base", "name": "sam"}}},
    ],
    ids=["rescaled", "a control that is not matched", "two controls", "a name in two settings"],
)
def test_what_goes_together_is_not_refused(settings: dict[str, Any]) -> None:
    assert Study.model_validate(tree(**settings))


# The jobs of a study with a control.


@pytest.fixture
def controlled() -> Study:
    return small(settings__control=CONTROL)


def test_a_matched_checkpoint_depends_on_that_of_the_same_seed_and_train_set(controlled: Study) -> None:
    for seed in ("0", "1"):
        own = runs.select(controlled, "control", seed)
        assert own.keys() == {"full", "without-random"}
        for train_set, item in own.items():
            reference = runs.select(controlled, "mlp", seed)[train_set].outputs["table"]
            assert item.inputs["reference"] == reference == f"checkpoints/mlp/seed{seed}/{train_set}.parquet"
            curves = [f"train/control/seed{seed}/{train_set}/segment00{n}/curve.parquet" for n in (1, 2)]
            assert item.inputs["curves"] == curves


def test_a_control_that_is_not_matched_depends_on_nothing_of_its_setting() -> None:
    study = small(settings__control={**CONTROL, "checkpoints": ["grokked"]})
    assert all("reference" not in item.inputs for item in runs.select(study, "control", "0").values())


def test_nothing_of_a_setting_depends_on_its_control(controlled: Study) -> None:
    def of_base(study: Study) -> dict[str, str]:
        return {name: made for name, made in recipes(study).items() if "/mlp" in name and not name.startswith("tables")}

    alone = of_base(small())
    assert alone
    assert of_base(controlled) == alone


def test_a_control_is_neither_looked_at_along_training_nor_tuned(controlled: Study) -> None:
    keys = list(all_jobs(controlled))
    own = {key.split("/")[0] for key in keys if "/control/" in f"{key}/"}
    assert own == {"forget", "train", "checkpoints", "unlearn", "metrics", "analysis", "shadows", "attack"}
    assert not [key for key in keys if "control/seed9" in key]
    assert controlled.tuning_seeds("control") == []
    assert unlearning.unlearn_along_training(controlled, "control", "0") == {}
    assert {labels["setting"] for labels in collecting.choose(controlled)[""].spec.parts} == {"mlp"}
    for table in ("unlearning_along", "tuning"):
        labels = collecting.collect(controlled, table)[""].spec.labels
        assert {label["setting"] for label in labels} == {"mlp"}
    assert [label["seed"] for label in labels] == [0, 1, 9]
    # Along training only what is unlearned there is analysed.
    assert inspection.analyse(controlled, "control", "0").keys() == {"before/random/alignment"}


def paper(study: Study, name: str) -> Any:
    return deriving.paper_table_item(study, name, collecting.tables_of(study)).spec


def papers(study: Study) -> set[str]:
    return {*deriving.paper_tables_of(study, collecting.tables_of(study))}


def figures(study: Study) -> list[str]:
    return drawing.figures_of(study, [*collecting.tables_of(study), *collecting.SUMMARIES])


def test_the_headline_shows_no_controls_and_the_tables_on_them_do(controlled: Study) -> None:
    assert paper(controlled, "table1").settings == ["mlp"]
    assert all(drawing.figure_item(controlled, f"figure{name}").spec.settings == ["mlp"] for name in ("1a", "1b", "2"))
    assert {"table8", "table9", "table11"} <= papers(controlled)
    assert not {"table8", "table9", "table11"} & papers(small())
    assert ("controls" in figures(controlled), "controls" in figures(small())) == (True, False)
    induced = small(settings__control={**CONTROL, "control": {"of": "mlp", "name": "induced-muon"}})
    assert ("induced" in figures(induced), "induced" in figures(controlled)) == (True, False), "sam is no lever"
    known = deriving.claims_item(controlled, ["unlearning"]).spec.study
    assert known == meanings(controlled)
    assert known.model_dump()["controls"] == {"control": {"of": "mlp", "name": "sam"}}
    assert paper(controlled, "table8").study.controls == known.controls


def test_the_headline_shows_forget_sets_that_all_settings_have() -> None:
    study = small(settings__part={**MLP, "forget_sets": ["random"]})
    assert paper(study, "table1").forget_sets == ["random"]
    assert drawing.figure_item(study, "figure1b").spec.along_forget_sets == ["within", "random"]


def test_what_a_setting_does_not_have_is_neither_made_nor_collected() -> None:
    study = small(settings__part={**MLP, "forget_sets": ["random"], "seeds": [3, 4]})
    keys = set(all_jobs(study))
    assert {key for key in keys if "/part" in key and "within" in key} == set()
    assert {f"unlearn/part/seed{seed}/random" for seed in (3, 4)} <= keys
    assert not [key for key in keys if re.search(r"/part/seed[01]", key)]
    assert {"data/addition/seed3", "data/addition/seed4"} <= keys
    rows = [tuple(labels.values()) for labels in collecting.collect(study, "unlearning")[""].spec.labels]
    both = [("mlp", seed, name) for seed in (0, 1) for name in ("within", "random")]
    assert rows == [*both, ("part", 3, "random"), ("part", 4, "random")]
    analysed = collecting.collect(study, "analysis")[""]
    parts = [part for part in analysed.inputs["parts"] if part.startswith("analysis/part/")]
    assert parts == [f"analysis/part/seed{seed}/before/random/alignment.parquet" for seed in (3, 4)]
    assert unlearning.unlearn(study, "part", "3", "random")["ascent"].spec.checkpoints == study.checkpoints


def test_another_recipe_of_a_setting_reaches_a_control_through_what_it_is_matched_with(controlled: Study) -> None:
    weaker = small(settings__control=CONTROL, settings__mlp__training__optimizer__weight_decay=0.5)
    before, after = recipes(controlled), recipes(weaker)
    assert before["checkpoints/control/seed0@full"] != after["checkpoints/control/seed0@full"]
    own = [name for name in before if name.startswith("train/control/")]
    assert own
    assert all(before[name] == after[name] for name in own), "its own training is as it was"


def test_a_rescaled_checkpoint_needs_the_model() -> None:
    rescaled, plain = small(settings__mlp__checkpoints=RESCALED), small()
    for item in runs.select(rescaled, "mlp", "0").values():
        assert item.spec.model == runs.train(rescaled, "mlp", "0", "full", "001")[""].spec.model
    assert runs.select(plain, "mlp", "0")["full"].spec.model is None
