"""What is for classification, language or regression alone is refused in settings of the others before any work."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from grokforget.config.analyses import ANALYSES
from grokforget.config.base import Component
from grokforget.config.data import DATA_SETS
from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.methods import METHODS
from grokforget.config.metrics import METRICS
from grokforget.config.models import MODELS
from grokforget.config.specs import runs, tables, unlearning
from grokforget.config.study import Study
from small import small

LANGUAGE: dict[str, Any] = {
    "data": {"addition": None, "authors": {"kind": "fictitious-authors", "authors": 4, "questions": 6}},
    "settings": {
        "mlp": None,
        "phi": {
            "data": "authors",
            "model": {"kind": "phi", "width": 32, "heads": 2, "mlp_width": 64},
            "training": {
                "loss": "next-token",
                "optimizer": {"name": "adamw", "learning_rate": 1e-3, "warmup_steps": 10, "clip": 1.0},
                "batch_size": 8,
                "steps": 100,
                "segment_steps": 100,
            },
            "selection": {"transition": "plateau"},
        },
    },
    "methods": {"scrub": None},
    "analyses": {"alignment": None},
}


def language(**changes: Any) -> Study:
    """The small study with a language model in place of the MLP; ``changes`` as those of ``small``."""
    apart = {f"{part}__{name}": value for part, entries in LANGUAGE.items() for name, value in entries.items()}
    return small(**deepcopy(apart | changes))


def refused(*parts: str, **changes: Any) -> None:
    with pytest.raises(ValidationError) as error:
        language(**changes)
    message = str(error.value)
    for part in parts:
        assert part in message, message


def test_a_study_of_language_is_one() -> None:
    study = language()
    training = study.settings["phi"].training
    assert training.objective_name == "language"
    assert training.objective().implementation == "grokforget.training.language:Language"
    assert small().settings["mlp"].training.objective_name == "classification"


@pytest.mark.parametrize("kind", [kind for kind, method in METHODS.items() if "language" not in method.objectives])
def test_methods_of_classification_alone_are_refused(kind: str) -> None:
    refused(
        f"a method for classification in 'phi', whose loss next-token is for language: found '{kind}'; allowed: what is",
        methods__other={"kind": kind},
    )


@pytest.mark.parametrize("kind", [kind for kind, row in ANALYSES.items() if "language" not in row.objectives])
def test_analyses_of_classification_alone_are_refused(kind: str) -> None:
    refused(
        f"an analysis for {' and '.join(ANALYSES[kind].objectives)} in 'phi', whose loss next-token is for language: found "
        f"'{kind}'",
        analyses__other={"kind": kind},
    )


@pytest.mark.parametrize(
    ("parts", "changes"),
    [
        (["data for classification", "'modular'"], {
            "data__addition": {"kind": "modular", "modulus": 13, "train_fraction": 0.6}, "settings__phi__data": "addition"}),
        (["a model for classification", "'mlp'"], {"settings__phi__model": {"kind": "mlp"}}),
        (["data for language in 'phi', whose loss mse is for classification", "'fictitious-authors'"], {
            "settings__phi__training__loss": "mse"}),
        (["a penalty for classification", "'jacobian'"], {
            "settings__phi__training__penalty": {"kind": "jacobian", "strength": 1.0}}),
        (["an augmentation for classification", "'crop-flip'"], {
            "settings__phi__training__augmentation": {"kind": "crop-flip"}}),
        (["a forget set for classification", "'duplicated'"], {
            "forget_sets__twins": {"kind": "duplicated", "fraction": 0.1}}),
        (["a forget set for classification", "'noisy'"], {
            "forget_sets__twins": {"kind": "noisy", "intended": {"kind": "duplicated", "fraction": 0.1}}}),
        (["label_noise"], {"data__authors__label_noise": 0.1}),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(parts: list[str], changes: dict[str, Any]) -> None:
    if "settings__phi__model" in changes:
        # In place of the model, not beside its keys.
        study = LANGUAGE["settings"]["phi"]
        changes = {"settings__phi": {**study, "model": changes["settings__phi__model"]}}
    refused(*parts, **changes)


def test_a_forget_set_that_no_setting_of_language_has_may_be_of_classification() -> None:
    twins = {"kind": "duplicated", "fraction": 0.1}
    language(forget_sets__twins=twins, settings__phi__forget_sets=["random"])


def test_a_noisy_request_of_what_may_be_meant_may_be_made() -> None:
    language(forget_sets__wrong={"kind": "noisy", "intended": {"kind": "random", "fraction": 0.2}})


@pytest.mark.parametrize("registry", [DATA_SETS, MODELS, FORGET_SETS, METHODS, METRICS, ANALYSES])
def test_every_kind_is_for_something_that_there_is(registry: dict[str, type[Component]]) -> None:
    for kind, row in registry.items():
        assert row.objectives, kind
        assert set(row.objectives) <= {"classification", "language", "regression"}, kind


def test_what_language_has_no_chance_in_is_told_to_the_jobs() -> None:
    assert tables.matched_item(language()).spec.languages == ["phi"]
    assert tables.matched_item(small()).spec.languages == []
    (first, *_) = unlearning.unlearn(language(), "phi", "0", "random").values()
    assert first.spec.objective.implementation.endswith(":Language")


# Regression.
NUMBERS: dict[str, Any] = {
    "data__numbers": {"kind": "polynomial", "dimensions": 4, "train": 8},
    "settings__numbers": {
        "data": "numbers",
        "model": {"kind": "mlp"},
        "training": {
            "loss": "squared-error",
            "optimizer": {"name": "adamw", "learning_rate": 1e-3},
            "steps": 100,
            "segment_steps": 100,
        },
        "selection": {"transition": "accuracy"},
        "unlearn": False,
    },
}


def regression(**changes: Any) -> Study:
    """The small study with a setting of regression beside the MLP."""
    return small(**deepcopy(NUMBERS), **changes)


def test_a_study_may_look_at_regression() -> None:
    study = regression(settings__numbers__training__tolerance=0.2)
    objective = study.settings["numbers"].training.objective()
    assert objective.implementation == "grokforget.training.regression:Regression"
    assert objective.settings == {"tolerance": 0.2}
    chance = study.data["numbers"].chance(0.2)
    assert tables.outcomes_item(study).spec.chance == {"numbers": chance}
    assert [runs.select(study, name, "0")["full"].spec.chance for name in ("numbers", "mlp")] == [chance, None]
    assert tables.outcomes_item(language()).spec.chance == {"phi": 0.0}


@pytest.mark.parametrize(
    ("parts", "changes"),
    [
        (["unlearning from a model of regression: found True; allowed: `unlearn: false`"], {
            "settings__numbers__unlearn": True}),
        (["data for regression in 'numbers', whose loss mse is for classification", "'polynomial'"], {
            "settings__numbers__training__loss": "mse"}),
        (["data for classification in 'numbers', whose loss squared-error is for regression", "'modular'"], {
            "settings__numbers__data": "addition"}),
        (["a model for classification in 'numbers'", "'transformer'"], {"settings__numbers__model__kind": "transformer"}),
        (["a penalty for classification in 'numbers'", "'jacobian'"], {
            "settings__numbers__training__penalty": {"kind": "jacobian", "strength": 1.0}}),
        (["an analysis for classification in 'numbers'", "'local-complexity'"], {
            "analyses__complexity": {"kind": "local-complexity"}}),
        (["a tolerance with cross-entropy: found 0.2; allowed: none"], {"settings__mlp__training__tolerance": 0.2}),
        (["settings that do not go together: found 'label_noise 0.5'"], {"data__numbers__label_noise": 0.5}),
    ],
)  # fmt: skip
def test_what_does_not_fit_regression_is_refused(parts: list[str], changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        regression(**changes)
    for part in parts:
        assert part in str(error.value), str(error.value)
