"""The page with every key of a study: nothing is left out, everything says what it is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from grokforget.config.analyses import ANALYSES
from grokforget.config.augmentations import AUGMENTATIONS
from grokforget.config.data import DATA_SETS
from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.gradient_filters import GRADIENT_FILTERS
from grokforget.config.manual import PAGE as FILE
from grokforget.config.manual import studies_text
from grokforget.config.methods import METHODS
from grokforget.config.metrics import METRICS
from grokforget.config.models import MODELS
from grokforget.config.penalties import PENALTIES
from grokforget.config.study import Study

PAGE = studies_text()
SCHEMA = Study.model_json_schema()
OBJECTS = {"Study": SCHEMA, **SCHEMA["$defs"]}


def section(heading: str) -> str:
    """What stands below a heading, to the next one."""
    (found,) = re.findall(rf"^#+ `{re.escape(heading)}`\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)
    return str(found)


def rows(text: str) -> dict[str, list[str]]:
    """Key → the other cells of its row, without code marks."""
    cells = (re.split(r"(?<!\\) \| ", line.strip("| ")) for line in text.splitlines() if line.startswith("| `"))
    return {key.strip("`"): [cell.strip("`") for cell in others] for key, *others in cells}


def test_the_page_is_up_to_date() -> None:
    assert FILE.read_text(encoding="utf-8") == PAGE, "run `make schema`"


def test_every_key_says_what_it_is() -> None:
    """An object's own docstring serves where a key has none."""
    silent = [
        f"{name}.{key}"
        for name, schema in OBJECTS.items()
        for key, value in schema["properties"].items()
        if key != "kind"
        if "description" not in {**OBJECTS.get(value.get("$ref", "").rpartition("/")[2], {}), **value}
    ]
    assert not silent, "write a docstring below these"


@pytest.mark.parametrize(
    "registry", [DATA_SETS, MODELS, PENALTIES, GRADIENT_FILTERS, AUGMENTATIONS, FORGET_SETS, METHODS, METRICS, ANALYSES]
)
def test_every_kind_has_a_section_with_its_keys(registry: dict[str, Any]) -> None:
    for kind, settings in registry.items():
        told = rows(section(kind))
        part = "analyses" if registry is ANALYSES else "data" if registry is DATA_SETS else ""
        shared = rows(section(part)) if part else {}
        assert {*told, *shared} == {*settings.model_fields} - {"kind"}, kind


def test_no_key_of_the_study_and_its_settings_is_left_out() -> None:
    assert set(rows(PAGE.partition("\n## ")[0])) == SCHEMA["properties"].keys()
    for heading in ("settings", "training", "optimizer", "selection", "control", "resources", "tuning", "candidates"):
        title = {"settings": "Setting", "training": "TrainingSettings", "optimizer": "OptimizerSettings",
                 "selection": "SelectionSettings", "tuning": "TuningSettings"}.get(heading, heading.title())  # fmt: skip
        assert rows(section(heading)).keys() == OBJECTS[title]["properties"].keys(), heading


@pytest.mark.parametrize(
    ("heading", "key", "allowed", "default"),
    [
        ("digits", "train", "whole number from 10 to 1500, a multiple of 10", "**required**"),
        ("modular", "train_fraction", "number above 0, below 1", "**required**"),
        (
            "modular",
            "operation",
            "+`, `-`, `*`, `/`, `a^2+b^2`, `a^2+ab+b^2`, `a^2+ab+b^2+a`, `a^3+ab`, `a^3+ab^2+b",
            "+",
        ),
        ("optimizer", "betas", "list of 2: number from 0, below 1", "[0.9, 0.999]"),
        ("optimizer", "decay_steps", "whole number from 1, or `null", "null"),
        ("training", "penalty", "keys of [`penalty`](#penalty), or `null", "null"),
        ("settings", "seeds", "list: whole number from 0, below 2^31, or `null", "null"),
        ("settings", "resources", "keys of [`resources`](#resources)", "those of its keys"),
        ("settings", "methods", "names, each with keys and values", "none"),
        ("fisher", "alpha", "number above 0", "1e-6"),
        ("nabla-tau", "alpha_factor", "number above 0", "1.667"),
        ("scrub", "rewind", "true`, `false", "true"),
        ("candidates", "values", "list: number", "**required**"),
        ("candidates", "parameter", "text", "learning_rate"),
        ("analyses", "forget_sets", "list: text, or `null", "null"),
    ],
)
def test_what_is_allowed_and_the_default_are_said_in_words(heading: str, key: str, allowed: str, default: str) -> None:
    assert rows(section(heading))[key][1:] == [allowed, default]


def test_a_default_that_kinds_do_not_share_stands_for_each() -> None:
    told = rows(section("analyses"))["at"][-1]
    assert told.startswith("gradient-alignment: `[before, along]`, cka: `[before]`")
    assert told.count(": ") == len(ANALYSES)


def test_what_one_kind_may_hold_of_another_is_listed() -> None:
    allowed = rows(section("noisy"))["intended"][1]
    assert re.findall(r"\(#([\w-]+)\)", allowed) == [kind for kind in FORGET_SETS if kind != "noisy"]


def test_no_two_sections_are_called_alike() -> None:
    """A link to the second would lead to the first."""
    headings = re.findall(r"^#+ (.*)$", PAGE, re.M)
    assert len(headings) == len({*headings})


def test_bars_within_a_cell_do_not_end_it() -> None:
    assert r"\|D_f\| / \|D\|" in PAGE
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in PAGE.splitlines() if line.startswith("|"))


def test_the_page_is_written_in_single_backticks() -> None:
    assert "``" not in PAGE
    assert json.dumps(SCHEMA).count("``"), "or there is nothing to turn into Markdown"
