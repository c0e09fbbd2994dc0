"""Study files: which one is read, anchors and merge keys in it, and what ``--config`` changes of it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.cli import parse_config
from snakemake.common.configfile import _load_configfile

from grokforget.config.loader import ConfigError, load_study, study_file
from grokforget.config.schema import schema_text

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "workflow" / "studies" / "smoke.yaml"
TEXT = SMOKE.read_text(encoding="utf-8")
MLP = "settings.modular-mlp"
STEPS = "settings__modular-mlp__training__steps"


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """The smoke study with changes of its text."""
    text = TEXT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as raised:
        load_study(path, overrides)
    return str(raised.value)


# Which file is read.


def test_the_study_is_the_given_file_or_that_of_the_working_folder_or_that_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout, folder = tmp_path / "checkout", tmp_path / "folder"
    for place in (checkout, folder):
        place.mkdir()
    monkeypatch.chdir(folder)
    assert study_file([], checkout) == checkout / "config.yaml", "which is missing, and is named so"
    (checkout / "config.yaml").touch()
    assert study_file([], checkout) == checkout / "config.yaml"
    (folder / "config.yaml").touch()
    assert study_file([], checkout) == Path("config.yaml")
    assert study_file([folder / "mine" / "study.yaml"], checkout) == Path("mine/study.yaml")
    assert study_file([checkout / "config.yaml"], checkout) == checkout / "config.yaml"
    with pytest.raises(ConfigError, match=r"A study is one file; --configfile names 2: a\.yaml, b\.yaml"):
        study_file(["a.yaml", "b.yaml"], checkout)
    monkeypatch.chdir(checkout)
    assert study_file([], checkout) == Path("config.yaml")


# Anchors and merge keys.

RECIPE = """\
x-recipe: &recipe
  loss: cross-entropy
  optimizer: {name: adamw, learning_rate: 5e-3, weight_decay: 1.0, betas: [0.9, 0.98]}
  steps: 2000
  segment_steps: 500
  evaluate_every: 20
study: smoke
"""
TRAINING = TEXT[TEXT.index("    training:\n") : TEXT.index("    selection: {transition: accuracy}")]


def merging(folder: Path, own: str, recipe: str = RECIPE) -> Path:
    """The smoke study, whose training is merged from a recipe in front of it."""
    return written(folder, ("study: smoke\n", recipe), (TRAINING, f"    training:\n{own}"))


def test_a_merged_mapping_is_the_one_that_is_named_with_the_keys_that_are_given_beside_it(tmp_path: Path) -> None:
    plain = load_study(written(tmp_path, ("      steps: 1000\n", "      steps: 1000\n      snapshots_per_decade: 4\n")))
    for own in ("      <<: *recipe\n      steps: 1000\n      snapshots_per_decade: 4\n",
                "      snapshots_per_decade: 4\n      steps: 1000\n      <<: *recipe\n"):  # fmt: skip
        assert load_study(merging(tmp_path, own)) == plain, "wherever the merge key stands"


def test_merges_of_merges_and_of_several_hold_the_nearest_value(tmp_path: Path) -> None:
    """Also where what is merged stands deeper in the file than where it is merged, and is read later."""
    inner = (
        RECIPE.replace("&recipe\n", "\n").replace("  loss:", "  inner: &recipe\n    loss:").replace("\n  ", "\n    ")
    )
    inner = inner.replace("\n    inner:", "\n  inner:").replace("\n      loss:", "\n    loss:")
    more = "x-more:\n  - further:\n      last: &last\n        <<: *recipe\n        steps: 1500\n        evaluate_every: 10\n"
    path = merging(tmp_path, "      <<: [{evaluate_every: 5}, *last]\n", inner.replace("study:", f"{more}study:"))
    training = load_study(path).settings["modular-mlp"].training
    assert (training.steps, training.evaluate_every, training.segment_steps) == (1500, 5, 500)


def test_an_alias_is_the_value_that_it_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ("seeds: [0, 1]", "seeds: &seeds [0, 1]"),
        ("    selection: {transition: accuracy}", "    selection: {transition: accuracy}\n    seeds: *seeds"),
    )
    assert load_study(path).seeds_of("modular-mlp") == [0, 1]


@pytest.mark.parametrize(
    ("own", "recipe", "line", "says"),
    [
        ("      <<: *recipe\n      steps: 1000\n      steps: 500\n", RECIPE, "      steps: 500", "'steps' is given twice"),
        ("      <<: *recipe\n      <<: *recipe\n", RECIPE, "      <<: *recipe\n    sel", "'<<' is given twice"),
        ("      <<: *recipe\n      steps: 1001\n", RECIPE, "      steps: 1001", f"{MLP}.training.steps: not a whole number"),
        ("      <<: *recipe\n", RECIPE.replace("2000", "2001"), "  steps: 2001", f"{MLP}.training.steps: not a whole number"),
        ("      <<: *recipe\n", RECIPE.replace("name: adamw", "name: adamv"), "  optimizer:", "optimizer.name: not one of"),
        ("      <<: *recipe\n      stepz: 3\n", RECIPE, "      stepz: 3", f"{MLP}.training.stepz: unknown key"),
        ("      <<: 3\n", RECIPE, "      <<: 3", "expected a mapping or list of mappings for merging"),
        ("      <<: *recipy\n", RECIPE, "      <<: *recipy", "undefined alias 'recipy'"),
        ("      <<: *recipe\n", f"{RECIPE}x-ring: &ring [*ring]\n", "x-ring:", "an anchor inside of what it names"),
        ("      <<: *recipe\n", f"{RECIPE}x-ring: &ring {{<<: *ring}}\n", "x-ring:", "an anchor inside of what it names"),
        ("      <<: *recipe\n", RECIPE.replace("x-recipe", "recipe"), "recipe: &recipe", "recipe: unknown key: found 'recipe'"),
    ],
)  # fmt: skip
def test_a_problem_is_told_at_the_line_where_it_stands(
    own: str, recipe: str, line: str, says: str, tmp_path: Path
) -> None:
    path = merging(tmp_path, own, recipe)
    text = path.read_text(encoding="utf-8")
    number = text[: text.index(line)].count("\n") + 1
    message = refusal(path)
    assert message.startswith(f"{path}:{number}: "), message
    assert says in message


def test_snakemake_reads_anchors_and_merge_keys_too(tmp_path: Path) -> None:
    """It reads a file of --configfile itself, before the workflow does."""
    read = _load_configfile(io.StringIO(merging(tmp_path, "      <<: *recipe\n      steps: 1000\n").read_text()))
    training = read["settings"]["modular-mlp"]["training"]
    assert (training["steps"], training["segment_steps"]) == (1000, 500)


def test_the_schema_lets_keys_be_that_hold_anchors() -> None:
    schema = json.loads(schema_text())
    assert schema["additionalProperties"] is False
    assert list(schema["patternProperties"]) == ["^x-"]


# What --config changes.


def test_a_path_reaches_what_it_names_and_leaves_all_else(tmp_path: Path) -> None:
    plain = load_study(SMOKE)
    for overrides, key, value in (
        ({STEPS: 500}, "steps", 500),
        ({STEPS.replace("__", "."): 500}, "steps", 500),
        ({"settings__modular-mlp__training__optimizer__betas__1": 0.9}, "optimizer.betas", [0.9, 0.9]),
        ({"settings__modular-mlp__training__optimizer__learning_rate": "1e-2"}, "optimizer.learning_rate", 0.01),
    ):
        changed = load_study(SMOKE, overrides)
        expected = yaml.safe_load(plain.model_dump_json())
        node = expected["settings"]["modular-mlp"]["training"]
        *way, last = key.split(".")
        for part in way:
            node = node[part]
        node[last] = value
        assert yaml.safe_load(changed.model_dump_json()) == expected


def test_what_an_alias_shares_is_changed_in_one_place_only(tmp_path: Path) -> None:
    path = merging(tmp_path, "      <<: *recipe\n")
    twin = path.read_text().replace(
        "\nforget_sets:", "\n  twin:\n    data: addition\n    model: {kind: mlp, hidden: [8]}\n"
        "    training: *recipe\n    selection: {transition: accuracy}\n\nforget_sets:", 1,
    )  # fmt: skip
    path.write_text(twin)
    study = load_study(path, {"settings__twin__training__optimizer__betas__0": 0.5})
    betas = {name: setting.training.optimizer.betas for name, setting in study.settings.items()}
    assert betas == {"modular-mlp": [0.9, 0.98], "twin": [0.5, 0.98]}


def test_what_the_file_leaves_to_its_default_can_be_given_in_part() -> None:
    study = load_study(
        SMOKE,
        {
            "settings__modular-mlp__resources__memory_mb": 700,
            "settings__modular-mlp__methods__scrub__epochs": 1,
            "settings__modular-mlp__training__penalty": "{kind: jacobian, strength: 1e-3}",
            "methods__more": {"kind": "relative-ascent", "share": "1e-3"},
            "along_training__forget_sets": ["within-50"],
        },
    )
    setting = study.settings["modular-mlp"]
    assert (setting.resources.memory_mb, setting.resources.minutes) == (700, 60)
    assert setting.methods == {"scrub": {"epochs": 1}}
    assert setting.training.penalty
    assert setting.training.penalty.strength == 1e-3
    assert study.methods["more"].share == 1e-3  # type: ignore[attr-defined]
    assert (study.along_training.forget_sets, study.along_training.snapshots) == (["within-50"], 8)


def test_a_whole_key_is_replaced_before_a_part_of_it() -> None:
    study = load_study(SMOKE, {"along_training__snapshots": 3, "along_training": {"method": "scrub"}})
    assert (study.along_training.method, study.along_training.snapshots) == ("scrub", 3)


NESTED = [
    (STEPS, 100, f"{MLP}.training.steps: not a whole number of segments: found 100; allowed: a multiple of 500"),
    (STEPS, "many", f"{MLP}.training.steps: found 'many'; allowed: a valid integer"),
    (f"{STEPS[:-5]}stepz", 3, f"{MLP}.training.stepz: unknown key: found 'stepz'"),
    (f"{STEPS}__x", 3, f"{MLP}.training.steps.x: a key below what has none: found 'x'; allowed: the whole of"),
    ("settings__modular-mpl__training__steps", 500, "settings.modular-mpl: no such name: found 'modular-mpl'"),
    ("setings__modular-mlp__training__steps", 500, "setings: unknown key: found 'setings'"),
    ("settings__modular-mlp__trainnig__steps", 500, f"{MLP}.trainnig: unknown key: found 'trainnig'"),
    ("methods__scrob__epochs", 3, "methods.scrob: no such name: found 'scrob'"),
    ("methods__more", {"kind": "scrob"}, "methods.more.kind: unknown kind: found 'scrob'"),
    ("methods__more", {"kind": "scrub", "epoch": 3}, "methods.more.epoch: unknown key: found 'epoch'"),
    ("methods__scrub__epochs", 0, "methods.scrub.epochs: found 0; allowed: greater than or equal to 1"),
    ("seeds__2", 3, "seeds.2: no such place in a list: found '2'; allowed: 0, 1"),
    ("seeds__first", 3, "seeds.first: no such place in a list: found 'first'; allowed: 0, 1"),
    ("seeds__1", 0, "seeds.1: given twice: found 0"),
    ("seeds__", 3, "seeds.: no such place in a list: found ''"),
    ("x-recipe__steps", 3, "x-recipe: unknown key: found 'x-recipe'"),
]
NEAREST = {"stepz": "steps", "modular-mpl": "modular-mlp", "setings": "settings", "trainnig": "training",
           "scrob": "scrub", "epoch": "epochs"}  # fmt: skip


@pytest.mark.parametrize(("key", "value", "says"), NESTED)
def test_a_bad_path_or_value_is_blamed_on_the_command_line(key: str, value: Any, says: str) -> None:
    (line,) = refusal(SMOKE, {key: value}).splitlines()
    assert line.startswith(f"--config: {says}"), line
    wrong = re.search(r"found '([\w-]+)'; allowed: .*?(?:; did you mean '([\w-]+)'\?)?$", line)
    if wrong and wrong[1] in NEAREST and "below" not in line:
        assert wrong[2] == NEAREST[wrong[1]], line


def test_a_problem_beside_what_is_given_is_told_at_its_line_of_the_file() -> None:
    line = 1 + next(n for n, text in enumerate(TEXT.splitlines()) if text.strip() == "steps: 1000")
    message = refusal(SMOKE, {"settings__modular-mlp__training__segment_steps": 300, "threads": 1})
    assert message.startswith(f"{SMOKE}:{line}: {MLP}.training.steps: "), message


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        (f"{STEPS}=500", STEPS, 500),
        ("seeds=[3, 4]", "seeds", [3, 4]),
        ("settings__modular-mlp__training__optimizer__learning_rate=1e-2", "learning_rate", 0.01),
        ("settings__modular-mlp__seeds=[7, 9]", "seeds_of", [7, 9]),
        ("likelihood_ratio_attack=false", "likelihood_ratio_attack", False),
        ("settings__modular-mlp__model={kind: mlp, hidden: [8], bias: false}", "hidden", [8]),
    ],
)
def test_what_snakemake_makes_of_an_argument_is_read_as_the_file_would(argument: str, key: str, value: Any) -> None:
    """It turns some words into numbers, others it leaves."""
    study = load_study(SMOKE, parse_config([argument]))
    setting = study.settings["modular-mlp"]
    found = {
        STEPS: setting.training.steps,
        "seeds": study.seeds,
        "learning_rate": setting.training.optimizer.learning_rate,
        "seeds_of": study.seeds_of("modular-mlp"),
        "likelihood_ratio_attack": study.likelihood_ratio_attack,
        "hidden": getattr(setting.model, "hidden", None),
    }[key]
    assert found == value
    assert type(found) is type(value)


def test_snakemake_takes_no_dots_in_the_names_of_config() -> None:
    """Which is why two underscores stand for each; once it takes them, they reach as far."""
    with pytest.raises(ValueError, match="must start with a valid identifier"):
        parse_config([f"{STEPS.replace('__', '.')}=500"])
