"""Where the runs of one setting go on from those of another: what must be the same in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.config.base import problem

if TYPE_CHECKING:
    from grokforget.config.study import Study


def check_start(study: Study, name: str) -> None:
    """A setting goes on from the end of a segment of another one, from which it differs in its recipe alone."""
    setting, at = study.settings[name], ["settings", name]
    start, allowed = setting.starts_from, [other for other in study.settings if not _goes_back_to(study, other, name)]
    if not start:
        return
    if start.setting not in allowed:
        what = "a start from what is no such setting, or goes on from this one"
        raise problem(what, start.setting, allowed, at=[*at, "starts_from", "setting"])
    other = study.settings[start.setting]
    same = [
        ("data", setting.data, other.data),
        ("model", setting.model.model_dump(mode="json"), other.model.model_dump(mode="json")),
        ("initialisation_scale", setting.initialisation_scale, other.initialisation_scale),
    ]
    for what, ours, theirs in same:
        if ours != theirs:
            raise problem(f"not that of {start.setting!r}, which it starts from", ours, str(theirs), at=[*at, what])
    first, last = other.starts_from.step if other.starts_from else 0, other.training.steps
    if not first < start.step <= last or start.step >= setting.training.steps:
        span = f"above {first}, up to {min(last, setting.training.steps - 1)}"
        raise problem("a start where one of the two runs is not", start.step, span, at=[*at, "starts_from", "step"])
    for run, training in ((start.setting, other.training), (name, setting.training)):
        if start.step % training.segment_steps:
            where = [*at, "starts_from", "step"]
            multiple = f"a multiple of {training.segment_steps}"
            raise problem(f"a start within a segment of {run!r}", start.step, multiple, at=where)
    check_has_as_much(study, name, start.setting)
    if scored := study.scored(name):
        # Those of the other setting are drawn by the difficulty that its own run found.
        what = "forget sets drawn by difficulty, with a start from another run"
        raise problem(what, scored, "others", at=[*at, "forget_sets"])


def _goes_back_to(study: Study, name: str, first: str) -> bool:
    """Whether a setting is another one, or goes on from it, however many stand between."""
    seen: list[str] = []
    while name != first and name not in seen and (setting := study.settings.get(name)) and setting.starts_from:
        seen.append(name)
        name = setting.starts_from.setting
    return name == first


def check_has_as_much(study: Study, name: str, base: str) -> None:
    """Another setting has all seeds and forget sets of this one."""
    missing = sorted(set(study.seeds_of(name)) - set(study.seeds_of(base)))
    absent = sorted(set(study.forget_sets_of(name)) - set(study.forget_sets_of(base)))
    for what, gap in (("seeds", missing), ("forget_sets", absent)):
        if gap:
            raise problem(f"{what} that {base!r} does not have", gap, "those that it has", at=["settings", name, what])
