"""A recipe is of all that decides a result, and of nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from grokforget import recipes as module
from grokforget.fingerprint import fingerprint
from grokforget.recipes import LIBRARIES, canonical, modules, recipe, task, unit, units, versions
from grokforget.stages import STAGES

SCRUB = {"implementation": "grokforget.unlearning.scrub:Scrub", "settings": {}}
ASCENT = {"implementation": "grokforget.unlearning.gradient_ascent:GradientAscent", "settings": {}}


def test_a_recipe_is_of_the_value_alone() -> None:
    value = {"b": [1, 2.5, None], "a": {"d": True, "c": "ü"}}
    turned = {"a": {"c": "ü", "d": True}, "b": [1, 2.5, None]}
    assert re.fullmatch("[0-9a-f]{20}", recipe(value))
    assert recipe(value) == recipe(turned) == recipe(json.loads(canonical(value)))
    others = [{**value, "b": [2.5, 1, None]}, {**value, "e": None}, {"a": value["a"]}, [value], canonical(value)]
    assert len({recipe(other) for other in [value, *others]}) == 6


def parts() -> dict[str, Any]:
    return {"spec": {"seed": 0, "method": SCRUB}, "upstream": {"examples": "e", "split": "s"}}


@pytest.mark.parametrize("change", ["stage", "spec", "upstream", "version", "code"])
def test_all_that_decides_a_result_changes_its_recipe(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = recipe(task("unlearn", **parts()))
    assert recipe(task("unlearn", **parts())) == before
    stage, given = "unlearn", parts()
    if change == "stage":
        stage = "sweep"
    elif change == "version":
        monkeypatch.setattr(module, "versions_of", lambda *names: dict.fromkeys(names, "99"))
    elif change == "code":
        monkeypatch.setattr(module, "fingerprint", lambda *names: "other")
    else:
        given[change] = {**given[change], "more": 1}
    assert recipe(task(stage, **given)) != before


def test_the_code_of_a_task_is_that_of_its_stage_and_of_the_components_in_its_spec() -> None:
    deep = {"here": SCRUB, "there": {"deeper": ASCENT, "again": SCRUB}, "plain": {"implementation": 3}, "n": 1}
    assert modules("unlearn", deep) == [
        STAGES["unlearn"], ASCENT["implementation"], SCRUB["implementation"]
    ]  # fmt: skip
    assert task("unlearn", deep)["code"] == fingerprint(*modules("unlearn", deep))
    batch = task("unlearn", {"here": SCRUB}, {}, {"a": ({}, {}), "b": ({"there": ASCENT}, {})})
    assert batch["units"]["a"]["code"] == fingerprint(STAGES["unlearn"], SCRUB["implementation"])
    assert batch["units"]["b"]["code"] == fingerprint(*modules("unlearn", deep))
    assert "code" not in batch


def test_a_unit_is_a_task_with_what_it_shares_and_what_it_has_itself() -> None:
    batch = task("unlearn", {"seed": 0, "k": 1}, {"examples": "e"}, {"a": ({"k": 2}, {"forget": "f"}), "b": ({}, {})})
    assert unit(batch, "a") == task("unlearn", {"seed": 0, "k": 2}, {"examples": "e", "forget": "f"})
    assert units(batch) == {"a": unit(batch, "a"), "b": task("unlearn", {"seed": 0, "k": 1}, {"examples": "e"})}


def test_a_units_recipe_has_nothing_of_the_other_units() -> None:
    def first(**others: Any) -> str:
        return recipe(unit(task("unlearn", {"seed": 0}, {"examples": "e"}, {"a": ({"k": 1}, {}), **others}), "a"))

    alone = first()
    assert first(b=({"k": 2}, {})) == first(b=({"method": SCRUB}, {"more": "m"}), c=({}, {})) == alone


# Those that run models.
MODELS = ("train", "difficulty", "unlearn", "sweep", "tune", "analyse", "shadow")


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_knows_the_locked_libraries_that_decide_its_numbers(stage: str) -> None:
    noted = versions(stage)
    assert all(re.match(r"\d+\.\d+", version) for version in noted.values())
    if stage.startswith("figure"):
        assert noted.keys() == {"matplotlib", "seaborn", "pandas"} | ({"scipy"} if stage == "figure-designs" else set())
    elif stage.startswith("collect"):
        assert noted.keys() == {"numpy", "pandas", "scipy"}
    else:
        assert noted.keys() == set(LIBRARIES[stage])
    assert ("torch" in noted) == (stage in MODELS)
