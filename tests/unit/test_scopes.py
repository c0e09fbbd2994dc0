"""How much of a study is done with each setting, and what a control is."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from grokforget.analysis.claims import ALL
from grokforget.config.loader import ConfigError, load_study
from grokforget.config.study import Study
from grokforget.plan import Plan
from grokforget.recipes import recipe, unit, units
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


def test_sweep_tuning_and_analyses_are_done_for_the_forget_sets_that_a_setting_has_of_theirs() -> None:
    study = tree(part={**MLP, "forget_sets": ["random"]}, control=CONTROL)
    study["analyses"]["alignment"]["forget_sets"] = ["within"]
    study["sweep"]["forget_sets"] = ["random"]
    study["tuning"]["forget_sets"] = ["within"]
    made = Study.model_validate(study)
    assert [made.swept(name) for name in made.settings] == [["random"], ["random"], []]
    assert [made.tuned(name) for name in made.settings] == [["within"], [], []]
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
        ["stands for something else in 'mlp'", "found 'grokked'", "no checkpoint's"],
    ),
    "two controls of one name": (
        [put("settings.further", deepcopy(CONTROL))],
        "settings.control.control.name",
        ["stands for something else in 'mlp'", "found 'sam'", "no other control's"],
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
    "a forget set of the sweep": (
        [put("sweep.forget_sets", ["full"])],
        "sweep.forget_sets.0",
        ["no such forget set", "found 'full'", "allowed: random, within"],
    ),
    "a forget set of the tuning": (
        [put("tuning.forget_sets", ["within", "other"])],
        "tuning.forget_sets.1",
        ["no such forget set", "found 'other'", "allowed: random, within"],
    ),
    "a sweep of what no setting has": (
        [put("settings.mlp.forget_sets", ["random"]), put("sweep.forget_sets", ["within"])],
        "sweep.forget_sets",
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
        ["a name that stands for all settings together in claims", "found 'all'"],
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


# The plan of a study with a control.


@pytest.fixture
def controlled() -> Plan:
    return small(settings__control=CONTROL)


def test_a_matched_checkpoint_depends_on_that_of_the_same_seed_and_train_set(controlled: Plan) -> None:
    for seed in (0, 1):
        own = units(controlled.select("control", seed))
        assert own.keys() == {"full", "without-random"}
        for train_set, made in own.items():
            assert made["upstream"]["reference"] == recipe(unit(controlled.select("mlp", seed), train_set))
            segments = [recipe(controlled.train("control", seed, train_set, name)) for name in ("001", "002")]
            assert made["upstream"]["segments"] == segments
    seeds = {recipe(units(controlled.select("control", seed))["full"]["upstream"]["reference"]) for seed in (0, 1)}
    assert len(seeds) == 2


def test_a_control_that_is_not_matched_depends_on_nothing_of_its_setting() -> None:
    plan = small(settings__control={**CONTROL, "checkpoints": ["grokked"]})
    assert all("reference" not in made["upstream"] for made in units(plan.select("control", 0)).values())


def test_nothing_of_a_setting_depends_on_its_control(controlled: Plan) -> None:
    def of_base(plan: Plan) -> dict[str, str]:
        own = (job for job in plan.jobs() if "/mlp" in job.key and not job.key.startswith("tables"))
        return {f"{job.key}@{name}": recipe(made) for job in own for name, made in units(job.task).items()}

    alone = of_base(small())
    assert alone
    assert of_base(controlled) == alone


def test_a_control_is_neither_swept_nor_tuned(controlled: Plan) -> None:
    keys = [job.key for job in [*controlled.jobs(), *controlled.tuning_jobs()]]
    own = {key.split("/")[0] for key in keys if "/control/" in f"{key}/"}
    assert own == {"forget", "train", "checkpoints", "unlearn", "measures", "analysis", "shadows", "attack"}
    assert not [key for key in keys if "control/seed9" in key]
    assert controlled.tuning_seeds("control") == []
    assert controlled.tuned_settings == ["mlp"]
    assert controlled.choose()["spec"]["settings"] == ["mlp"]
    assert controlled.collect("sweep")["spec"]["settings"].keys() == {"mlp"}
    assert controlled.collect("tuning")["spec"]["settings"] == {"mlp": [0, 1, 9]}
    # Along training only what is swept is analysed.
    assert units(controlled.analyse("control", 0)).keys() == {"before/random/alignment"}


def test_the_headline_shows_no_controls_and_the_tables_on_them_do(controlled: Plan) -> None:
    assert controlled.table1()["spec"]["settings"] == ["mlp"]
    assert all(controlled.figure(f"figure{name}")["spec"]["settings"] == ["mlp"] for name in ("1a", "1b", "2"))
    assert {"table8", "table9", "table11"} <= {*controlled.paper_tables}
    assert not {"table8", "table9", "table11"} & {*small().paper_tables}
    assert ("controls" in controlled.figures, "controls" in small().figures) == (True, False)
    known = controlled.claims()["spec"]["study"]
    assert known["controls"] == {"control": {"of": "mlp", "name": "sam"}}
    assert controlled.paper_table("table8")["spec"]["study"] == known


def test_the_headline_shows_forget_sets_that_all_settings_have() -> None:
    plan = small(settings__part={**MLP, "forget_sets": ["random"]})
    assert plan.table1()["spec"]["forget_sets"] == ["random"]
    assert plan.figure("figure1b")["spec"]["swept"] == ["within", "random"]


def test_what_a_setting_does_not_have_is_neither_made_nor_collected() -> None:
    plan = small(settings__part={**MLP, "forget_sets": ["random"], "seeds": [3, 4]})
    keys = {job.key for job in plan.jobs()}
    assert {key for key in keys if "/part" in key and "within" in key} == set()
    assert {f"unlearn/part/seed{seed}/random" for seed in (3, 4)} <= keys
    assert not [key for key in keys if re.search(r"/part/seed[01]", key)]
    assert {"data/addition/seed3", "data/addition/seed4"} <= keys
    scope = plan.collect("unlearning")["spec"]["settings"]
    assert scope == {
        "mlp": {"seeds": [0, 1], "forget_sets": ["within", "random"]},
        "part": {"seeds": [3, 4], "forget_sets": ["random"]},
    }
    parts = plan.collect("analysis")["spec"]["analyses"]["part"]
    assert parts == {"seeds": [3, 4], "parts": [["random", "alignment"]]}
    assert units(plan.unlearn("part", 3, "random"))["ascent"]["spec"]["checkpoints"] == plan.study.checkpoints


def test_another_recipe_of_a_setting_reaches_a_control_through_what_it_is_matched_with(controlled: Plan) -> None:
    before = recipe(units(controlled.select("control", 0))["full"])
    weaker = small(settings__control=CONTROL, settings__mlp__training__optimizer__weight_decay=0.5)
    assert recipe(units(weaker.select("control", 0))["full"]) != before
    train = controlled.train("control", 0, "full", "001")
    assert weaker.train("control", 0, "full", "001") == train, "its own training is as it was"


def test_a_rescaled_checkpoint_needs_the_model() -> None:
    plan, plain = small(settings__mlp__checkpoints=RESCALED), small()
    made = units(plan.select("mlp", 0))["full"]
    assert made["spec"]["model"] == plan.train("mlp", 0, "full", "001")["spec"]["model"]
    assert "model" not in units(plain.select("mlp", 0))["full"]["spec"]
