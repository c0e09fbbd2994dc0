"""Settings from which nothing is unlearned: what is not asked of them, and what only they may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from grokforget.config.base import problem
from grokforget.config.grids import TAKEN

if TYPE_CHECKING:
    from grokforget.config.study import Study


def check_only_trained(study: Study, name: str) -> None:
    """What is for unlearning is not asked of a setting from which nothing is unlearned; and only such runs have one job together,
    which is known by the name of their grid."""
    setting, at = study.settings[name], ["settings", name]
    for label in setting.labels:
        if TAKEN.fullmatch(label):
            raise problem("a label that another column has", label, "another name", at=[*at, "labels", label])
    if not study.unlearns(name):
        for key in ("control", "forget_sets", "checkpoints", "methods"):
            if getattr(setting, key):
                what = f"{key} in a setting from which nothing is unlearned"
                raise problem(what, getattr(setting, key), "none", at=[*at, key])
    if not setting.together:
        return
    if study.unlearns(name):
        raise problem(
            "runs of one job from which is unlearned", True, "false, or `unlearn: false`", at=[*at, "together"]
        )
    sources = [one.setting for other in study.settings.values() for one in (other.starts_from, other.transfer) if one]
    if setting.starts_from or setting.transfer or name in sources:
        raise problem(
            "runs of one job that go on from others, or others from them", True, "false", at=[*at, "together"]
        )
    if setting.training.processes > 1:
        raise problem("runs of one job in several processes", True, "false", at=[*at, "together"])
    training = setting.training
    apart = {
        "a penalty": training.penalty,
        "SAM": training.optimizer.sam_rho,
        "batch norms": setting.model.has_batch_norm,
        "texts": training.loss == "next-token",
    }
    for what, there in apart.items() if setting.together == "stacked" else ():
        if there:
            raise problem(f"stacked runs with {what}", "stacked", "true: one after another", at=[*at, "together"])


def check_unlearning(study: Study) -> None:
    """A study has all that unlearning needs, or nothing that is for it."""
    needed = ("forget_sets", "metrics")
    for key in needed if study.methods else ():
        if not getattr(study, key):
            raise PydanticCustomError("study", "is missing; add it, as there are methods", {"at": [key]})
    if study.unlearned:
        return
    if study.methods:
        allowed = "none, or a setting without `unlearn: false`"
        raise problem("methods, with nothing to unlearn from", sorted(study.methods), allowed, at=["methods"])
    for key in (*needed, "likelihood_ratio_attack", "tuning"):
        if key in study.model_fields_set and getattr(study, key):
            raise _missing(key)
    for key in ("method", "forget_sets"):
        if getattr(study.along_training, key):
            raise _missing(f"along_training.{key}")
    for name, analysis in study.analyses.items():
        if analysis.subject == "request":
            raise _missing(f"analyses.{name}")
        if "along" not in analysis.at:
            allowed = "along, as there are no checkpoints without methods"
            raise problem(
                "an analysis of checkpoints and results alone", analysis.at, allowed, at=["analyses", name, "at"]
            )


def _missing(key: str) -> PydanticCustomError:
    said = f"is missing; add it, or take out `{key}`, which is for unlearning"
    return PydanticCustomError("study", "{said}", {"said": said, "at": ["methods"]})
