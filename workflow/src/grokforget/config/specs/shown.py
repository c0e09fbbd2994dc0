"""What figures and paper tables show of a study, and what the names in it stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grokforget.config.methods import REFERENCES
from grokforget.config.specs.base import ControlMeaning, ForgetSetMeaning, Meanings

if TYPE_CHECKING:
    from grokforget.config.study import Study


def shown(study: Study) -> dict[str, Any]:
    """Values of the fields of ``FigureSpec`` by name.

    Controls, and what is only trained and looked at, are left out of the settings. Of the forget sets those of the paper's
    design (within a few classes), or all that every one of these settings has where there are none of that design.
    """
    settings = study.main_settings
    common = [name for name in study.forget_sets if all(name in study.forget_sets_of(one) for one in settings)]
    within = [name for name in common if study.forget_sets[name].kind == "within-classes"]
    return {
        "settings": settings,
        "forget_sets": within or common,
        "along_forget_sets": [
            name for name in study.forget_sets if any(name in study.forget_sets_along(setting) for setting in settings)
        ],
        "checkpoints": study.checkpoints,
        "methods": list(study.methods),
        "along_method": study.along_method,
        "retrain": study.name_of("retrain"),
    }


def meanings(study: Study) -> Meanings:
    """What the names of the study stand for, as statistics, figures and paper tables must know it."""
    return Meanings(
        forget_sets={
            name: ForgetSetMeaning(
                kind=rule.kind,
                **{key: getattr(rule, key, None) for key in ForgetSetMeaning.model_fields if key != "kind"},
            )
            for name, rule in study.forget_sets.items()
        },
        controls={
            name: ControlMeaning(of=setting.control.of, name=setting.control.name)
            for name, setting in study.settings.items()
            if setting.control
        },
        analyses={name: analysis.kind for name, analysis in study.analyses.items()},
        references=[name for name, method in study.methods.items() if method.kind in REFERENCES],
        original=study.name_of("original"),
    )
