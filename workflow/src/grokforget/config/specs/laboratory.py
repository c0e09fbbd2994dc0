"""What a study has of a laboratory: grids by what they vary, switches on the way, levers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokforget.config.setting import Setting
    from grokforget.config.study import Study

FRACTION, LEVER, INDUCED = "train_fraction", "lever", "induced-"
"""The label of the share of the data that is trained on; the label of levers; how names of controls begin that have
levers."""


def laboratory(study: Study) -> dict[str | None, bool]:
    """Which of the figures' needs that are of a laboratory it meets."""
    axes = [axes_of(study, settings) for settings in study.grids.values()]
    settings = study.settings.values()
    induced = any(setting.control and setting.control.name.startswith(INDUCED) for setting in settings)
    return {
        "laboratory": len(study.unlearned) < len(study.settings) or any(setting.labels for setting in settings),
        "numbers": any(numeric and label != FRACTION for one in axes for label, numeric in one.items()),
        "fractions": any(FRACTION in one for one in axes),
        "planes": any(len(one) > 1 for one in axes),
        "schedules": any(switches_of(setting) for setting in settings),
        "induced": induced,
        "levers": induced or any(LEVER in setting.labels for setting in settings),
    }


def axes_of(study: Study, settings: list[str]) -> dict[str, bool]:
    """The labels that differ between settings, and whether all of their values are numbers."""
    values: dict[str, list[object]] = {}
    for name in settings:
        for label, value in study.settings[name].labels.items():
            values.setdefault(label, []).append(value)
    return {
        label: all(isinstance(one, int | float) and not isinstance(one, bool) for one in found)
        for label, found in values.items()
        if len(set(found)) > 1
    }


def switches_of(setting: Setting) -> list[int]:
    """The steps at which its recipe changes."""
    start = [setting.starts_from.step] if setting.starts_from else []
    return [*start, *(switch.step for switch in setting.training.optimizer.switches)]


def schedules(study: Study) -> dict[str, dict[str, list[int]]]:
    """Settings of the same data and model of which one at least is switched, by the first of them, with the steps of
    their switches: those beside it that belong to the same grid, or to none, and what it goes on from."""
    families: dict[str, dict[str, list[int]]] = {}
    first: dict[str, str] = {}
    for name, setting in study.settings.items():
        family = f"{setting.data} {setting.model!r} {setting.initialisation_scale}"
        families.setdefault(first.setdefault(family, name), {})[name] = switches_of(setting)
    found = {}
    for head, members in families.items():
        switched = [study.settings[name] for name, steps in members.items() if steps]
        grids = {setting.grid for setting in switched} | {None}
        sources = {setting.starts_from.setting for setting in switched if setting.starts_from}
        if switched:
            found[head] = {
                name: steps for name, steps in members.items() if study.settings[name].grid in grids or name in sources
            }
    return found
