"""What of a study does not go together, said before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from grokforget.config.base import Component, explain, problem
from grokforget.config.methods import REFERENCES
from grokforget.config.only_trained import check_only_trained, check_unlearning
from grokforget.config.setting import CheckpointName, SomeNames
from grokforget.config.starts import check_has_as_much, check_start, check_transfer

if TYPE_CHECKING:
    from grokforget.config.study import Study

RESERVED: dict[str, dict[str, str]] = {
    "settings": {
        "all": "stands for all settings together in claims",
        "choice": "is what tuning writes beside the folders of the settings: tuning/choice.csv",
        "candidates": "is what tuning writes beside the folders of the settings: tuning/candidates.csv",
    },
    "forget_sets": {
        "full": "is the train set that nothing is left out of",
        "without-*": "is the train set that NAME is left out of, without-NAME",
    },
    "methods": {"before": "is the stage of the checkpoints themselves in analysis.parquet"},
    "analyses": {"unlearning": "is what methods report of themselves in analysis.parquet"},
    "controls": {
        **dict.fromkeys(get_args(CheckpointName), "is a checkpoint, and controls stand among these in tables"),
        "pre-*": "stands beside the paper's early checkpoint in paper/published.md",
        "grok-*": "stands beside the paper's grokked checkpoint in paper/published.md",
    },
}
"""Names, or their beginnings, that stand for something else where a name of this part of a study would stand; and what it is."""


def check(study: Study) -> None:
    """Raise a problem at its key where parts of a study do not go together; all of this costs no heavy import."""
    _check_names(study)
    for name, setting in study.settings.items():
        if setting.data not in study.data:
            raise problem("no such data set", setting.data, sorted(study.data), at=["settings", name, "data"])
        check_start(study, name)
        check_transfer(study, name)
        check_only_trained(study, name)
        _check_control(study, name)
        _check_derived_checkpoints(study, name)
        _check_methods(study, name)
        _check_objective(study, name)
    _check_components(study)
    _check_analyses(study)
    _check_forget_sets(study)
    check_unlearning(study)
    if study.unlearned:
        _check_references(study)
        _check_metrics(study)
    _check_kept(study)
    _check_tuning(study)
    for name in study.unlearned if study.likelihood_ratio_attack else []:
        if len(seeds := study.seeds_of(name)) < 2:
            at = ["settings", name, "seeds"] if study.settings[name].seeds else ["seeds"]
            raise problem("an attack without shadow models", seeds, "two seeds or more", at=at)
        if share := study.data[study.settings[name].data].label_noise:
            # A shadow model says how sure it is of the label that its own seed gave an example, not of the attacked one's.
            at = ["data", study.settings[name].data, "label_noise"]
            raise problem("label noise under `likelihood_ratio_attack`", share, "0, or another attack", at=at)


def _check_names(study: Study) -> None:
    """No name stands for something else in the same column of a table, or the same folder."""
    # The checkpoints are what the method that does nothing leaves: it may be called as they are.
    methods = [name for name, method in study.methods.items() if method.kind != "original"]
    for part in ("settings", "forget_sets", "methods", "analyses"):
        for name in methods if part == "methods" else getattr(study, part):
            _check_name(part, name, [part, name])
    for name, setting in study.settings.items():
        if setting.control:
            _check_name("controls", setting.control.name, ["settings", name, "control", "name"])


def _check_name(part: str, name: str, at: list[str]) -> None:
    for reserved, reason in RESERVED[part].items():
        if name == reserved or (reserved.endswith("*") and name.startswith(reserved[:-1])):
            raise problem(f"a reserved name: {reserved} {reason}", name, "another name", at=at)


def _check_control(study: Study, name: str) -> None:
    """A control has one checkpoint, and is compared with a setting that is none and is of the same data."""
    setting, at = study.settings[name], ["settings", name]
    checkpoints = study.checkpoints_of(name)
    if setting.control:
        if len(checkpoints) != 1:
            raise problem(
                "a control with several checkpoints",
                checkpoints,
                "one of them, which stands for it",
                at=[*at, "checkpoints"],
            )
        allowed = study.main_settings
        if setting.control.of not in allowed:
            raise problem(
                "a control of what is no such setting", setting.control.of, allowed, at=[*at, "control", "of"]
            )
        if setting.data != (data := study.settings[setting.control.of].data):
            raise problem("a control on other data than its setting", setting.data, data, at=[*at, "data"])
        _check_control_name(study, name)


def _check_derived_checkpoints(study: Study, name: str) -> None:
    """``matched`` and ``rescaled`` are made from what other checkpoints are."""
    setting, at = study.settings[name], ["settings", name]
    checkpoints = study.checkpoints_of(name)
    if "matched" in checkpoints:
        if not setting.control:
            raise problem(
                "the checkpoint matched in a setting that is no control",
                None,
                "{of: SETTING, name: NAME}",
                at=[*at, "control"],
            )
        base = setting.control.of
        if "grokked" not in study.checkpoints_of(base):
            raise problem(
                f"the checkpoint matched, without grokked in {base!r}",
                checkpoints,
                "grokked there",
                at=[*at, "checkpoints"],
            )
        check_has_as_much(study, name, base)
    if "rescaled" in checkpoints:
        if not setting.model.homogeneous:
            raise problem(
                "the checkpoint rescaled with a model that no factor leaves as it is",
                setting.model.kind,
                "a model that is homogeneous in its weights (mlp, cnn), or other checkpoints",
                at=[*at, "checkpoints"],
            )
        if not {"memorised", "grokked"} <= set(checkpoints):
            raise problem(
                "the checkpoint rescaled alone",
                checkpoints,
                "memorised and grokked beside it",
                at=[*at, "checkpoints"],
            )


def _check_control_name(study: Study, name: str) -> None:
    """In tables and claims a control stands as a further checkpoint of the setting that it is compared with."""
    control = study.settings[name].control
    assert control
    of_same = {other: one.control for other, one in study.settings.items() if one.control and other != name}
    if control.name in [one.name for one in of_same.values() if one.of == control.of]:
        raise problem(
            f"the name of another control of {control.of!r}",
            control.name,
            "a name that no other control of that setting has",
            at=["settings", name, "control", "name"],
        )


def _check_forget_sets(study: Study) -> None:
    chosen: list[tuple[list[str], SomeNames | None]] = [
        *((["settings", name, "forget_sets"], setting.forget_sets) for name, setting in study.settings.items()),
        *((["analyses", name, "forget_sets"], analysis.forget_sets) for name, analysis in study.analyses.items()),
        (["along_training", "forget_sets"], study.along_training.forget_sets),
        (["tuning", "forget_sets"], study.tuning.forget_sets),
    ]
    for at, names in chosen:
        for position, name in enumerate(names or []):
            if name not in study.forget_sets:
                raise problem("no such forget set", name, sorted(study.forget_sets), at=[*at, str(position)])
    there = sorted({one for name in study.main_settings for one in study.forget_sets_of(name)})
    for key, names in (("along_training", study.along_training.forget_sets), ("tuning", study.tuning.forget_sets)):
        if names is not None and not set(names) & set(there):
            raise problem("forget sets that no setting has", names, there, at=[key, "forget_sets"])


def _check_references(study: Study) -> None:
    allowed = [name for name, method in study.methods.items() if method.kind not in REFERENCES]
    if not allowed:
        raise problem("no unlearning method", sorted(study.methods), "one beside the references", at=["methods"])
    along = study.along_method
    if along not in study.methods:
        raise problem("no such method", along, sorted(study.methods), at=["along_training", "method"])
    if along not in allowed:
        raise problem("not an unlearning method", along, allowed, at=["along_training", "method"])
    for kind in REFERENCES:
        names = [name for name, method in study.methods.items() if method.kind == kind]
        if len(names) != 1:
            raise problem(f"not one reference of kind {kind!r}", names, f"one method of kind {kind}", at=["methods"])


def _check_metrics(study: Study) -> None:
    kinds = _check_kinds("metrics", study.metrics)
    if "accuracy" not in kinds:
        raise problem(
            "no metric of accuracy", kinds, "one of kind accuracy, which tables and figures show", at=["metrics"]
        )


def _check_analyses(study: Study) -> None:
    _check_kinds("analyses", study.analyses)
    grids = {setting.grid for setting in study.settings.values() if setting.grid}
    for name, analysis in study.analyses.items():
        if analysis.subject == "run" and analysis.at != ["along"]:
            raise problem("an analysis of runs themselves", analysis.at, ["along"], at=["analyses", name, "at"])
        if analysis.subject == "run" and analysis.forget_sets:
            found = analysis.forget_sets
            raise problem(
                "forget sets of an analysis of runs themselves", found, "none", at=["analyses", name, "forget_sets"]
            )
        for position, setting in enumerate(analysis.settings or []):
            if setting not in {*study.settings, *grids}:
                at = ["analyses", name, "settings", str(position)]
                raise problem("no such setting or grid", setting, sorted({*study.settings, *grids}), at=at)


def _check_kinds(key: str, components: Mapping[str, Component]) -> list[str]:
    """The kinds of the components, each of which is there once."""
    kinds = [component.kind for component in components.values()]
    for position, (name, kind) in enumerate(zip(components, kinds, strict=True)):
        if kind in kinds[:position]:
            raise problem(f"a kind given twice in {key}", kind, "each kind once", at=[key, name])
    return kinds


def _check_kept(study: Study) -> None:
    for position, name in enumerate(study.keep_models if isinstance(study.keep_models, list) else []):
        if name not in study.methods:
            raise problem("no such method", name, sorted(study.methods), at=["keep_models", str(position)])


def _check_tuning(study: Study) -> None:
    tunes = bool(study.tuning.candidates) or "seed" in study.tuning.model_fields_set
    if tunes and any(study.tuning.seed in study.seeds_of(name) for name in study.settings):
        raise problem("a reported seed", study.tuning.seed, "a seed that is not in `seeds`", at=["tuning", "seed"])
    for position, name in enumerate(study.tuning.settings or []):
        if name not in study.main_settings:
            at = ["tuning", "settings", str(position)]
            raise problem("no such setting that is no control", name, study.main_settings, at=at)
    for name, candidates in study.tuning.candidates.items():
        at = ["tuning", "candidates", name]
        if name not in study.methods:
            raise problem("no such method", name, sorted(study.methods), at=at)
        settings = sorted(set(type(study.methods[name]).model_fields) - {"kind"})
        if candidates.parameter not in settings:
            raise problem("no such setting", candidates.parameter, settings, at=[*at, "parameter"])
        for position, value in enumerate(candidates.values):
            try:
                study.methods[name].updated({candidates.parameter: value})
            except ValidationError as error:
                raise _nested(error, [*at, "values", str(position)], own_key=False) from error


def _check_methods(study: Study, setting: str) -> None:
    for method, changes in study.settings[setting].methods.items():
        at = ["settings", setting, "methods", method]
        if method not in study.methods:
            raise problem("no such method", method, sorted(study.methods), at=at)
        if "kind" in changes:
            raise problem(
                "a change of kind", changes["kind"], "settings of the method; name another method", at=[*at, "kind"]
            )
        try:
            study.methods[method].updated(changes)
        except ValidationError as error:
            raise _nested(error, at) from error


def _check_objective(study: Study, name: str) -> None:
    """Whatever is used in a setting is for what its model is trained for."""
    setting = study.settings[name]
    objective, at = setting.training.objective_name, ["settings", name]
    if objective == "regression" and study.unlearns(name):
        raise problem("unlearning from a model of regression", True, "`unlearn: false`", at=[*at, "unlearn"])
    methods, metrics = ({} if not study.unlearns(name) else part for part in (study.methods, study.metrics))
    analyses = {key: analysis for key, analysis in study.analyses.items() if study.asks(name, key)}
    used: list[tuple[str, Component | None, list[str]]] = [
        ("data", study.data[setting.data], [*at, "data"]),
        ("a model", setting.model, [*at, "model"]),
        ("an augmentation", setting.training.augmentation, [*at, "training", "augmentation"]),
        ("a penalty", setting.training.penalty, [*at, "training", "penalty"]),
        *(("a forget set", study.forget_sets[key], ["forget_sets", key]) for key in study.forget_sets_of(name)),
        *(("a method", method, ["methods", key]) for key, method in methods.items()),
        *(("a metric", metric, ["metrics", key]) for key, metric in metrics.items()),
        *(("an analysis", analysis, ["analyses", key]) for key, analysis in analyses.items()),
    ]
    for what, component, where in used:
        if component and not component.is_for(objective):
            what += f" for {' and '.join(component.objectives)} in {name!r}, whose loss {setting.training.loss} is for"
            raise problem(f"{what} {objective}", component.kind, f"what is for {objective}", at=where)
    for key in methods:
        reason = study.method(name, key).conflict_with(setting.model)
        if reason:
            raise problem(f"a method that does not fit the model of {name!r}", *reason, at=["methods", key])
    for key, analysis in analyses.items():
        reason = analysis.conflict_with(setting.model)
        if reason:
            raise problem(
                f"an analysis that does not fit the model of {name!r}", reason[0], reason[1], at=["analyses", key]
            )


def _check_components(study: Study) -> None:
    """What a component can say of its settings without heavy imports, it says here rather than in the middle of a
    run."""
    for name, data in study.data.items():
        reason = data.conflict()
        if reason:
            raise problem("settings that do not go together", reason[0], reason[1], at=["data", name])
    for name, metric in study.metrics.items():
        reason = metric.conflict()
        if reason:
            raise problem("settings that do not go together", reason[0], reason[1], at=["metrics", name])
    for name, setting in study.settings.items():
        reason = setting.model.conflict() or setting.model.conflict_with(study.data[setting.data])
        if reason:
            raise problem("a model that does not fit", reason[0], reason[1], at=["settings", name, "model"])
        if setting.model.pretrained and setting.initialisation_scale != 1:
            at = ["settings", name, "initialisation_scale"]
            raise problem("a factor on weights that are not drawn", setting.initialisation_scale, "1", at=at)
        if setting.training.optimizer.name == "muon" and not setting.model.hidden_matrices:
            at = ["settings", name, "training", "optimizer", "name"]
            raise problem(
                f"muon for a {setting.model.kind}, which has no hidden matrices", "muon", "another optimizer", at=at
            )
        augmentation = setting.training.augmentation
        reason = augmentation.conflict_with(study.data[setting.data]) if augmentation else None
        if reason:
            at = ["settings", name, "training", "augmentation"]
            raise problem("an augmentation that does not fit", reason[0], reason[1], at=at)
        for forget_set, rule in study.forget_sets.items():
            reason = rule.conflict_with(study.data[setting.data])
            if reason:
                raise problem("a forget set that does not fit", reason[0], reason[1], at=["forget_sets", forget_set])


def _nested(error: ValidationError, at: list[str], own_key: bool = True) -> PydanticCustomError:
    """The first problem of a nested model as one of this model, at its full key."""
    detail = error.errors(include_url=False)[0]
    inner = [*map(str, detail["loc"]), *detail.get("ctx", {}).get("at", [])] if own_key else []
    return PydanticCustomError("nested", "{explained}", {"explained": explain(detail), "at": [*at, *inner]})
