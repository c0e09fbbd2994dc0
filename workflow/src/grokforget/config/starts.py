"""Where the runs of one setting go on from those of another: what must be the same in both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokforget.config.base import problem

if TYPE_CHECKING:
    from grokforget.config.setting import Setting
    from grokforget.config.study import Study


def check_start(study: Study, name: str) -> None:
    """A setting goes on from the end of a segment of another one, from which it differs in its recipe alone."""
    setting, at = study.settings[name], ["settings", name]
    start = setting.starts_from
    if not start:
        return
    if setting.transfer:
        what = "layers that are transferred, with a start from another run"
        raise problem(what, setting.transfer.layers, "one of the two", at=[*at, "transfer"])
    other = _source(study, name, "starts_from", start.setting)
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
    _check_not_scored(study, name)


def check_transfer(study: Study, name: str) -> None:
    """Layers are taken from a run on the same train set, at the end of a segment."""
    setting, at = study.settings[name], ["settings", name]
    transfer = setting.transfer
    if not transfer:
        return
    other = _source(study, name, "transfer", transfer.setting)
    if setting.data != other.data:
        raise problem(
            f"not that of {transfer.setting!r}, whose layers it has", setting.data, other.data, at=[*at, "data"]
        )
    steps, segment = other.training.steps, other.training.segment_steps
    first = other.starts_from.step if other.starts_from else 0
    if transfer.step % segment or not first < transfer.step <= steps:
        allowed = f"a multiple of {segment} above {first}, up to {steps}"
        raise problem(
            f"a step at which no segment of {transfer.setting!r} ends",
            transfer.step,
            allowed,
            at=[*at, "transfer", "step"],
        )
    check_has_as_much(study, name, transfer.setting)
    _check_not_scored(study, name)


def _source(study: Study, name: str, key: str, other: str) -> Setting:
    """The other setting, which must not itself need this one."""
    allowed = [one for one in study.settings if not _needs(study, one, name)]
    if other not in allowed:
        what = "no such setting, or one that goes on from this one"
        raise problem(what, other, allowed, at=["settings", name, key, "setting"])
    return study.settings[other]


def _check_not_scored(study: Study, name: str) -> None:
    if scored := study.scored(name):
        # Those of the other setting are drawn by the difficulty that its own run found.
        what = "forget sets drawn by difficulty, with another setting's runs"
        raise problem(what, scored, "others", at=["settings", name, "forget_sets"])


def _needs(study: Study, name: str, first: str) -> bool:
    """Whether a setting is another one, or has something of its runs, however many stand between."""
    todo, seen = [name], set()
    while todo:
        one = todo.pop()
        seen.add(one)
        if setting := study.settings.get(one):
            sources = {source.setting for source in (setting.starts_from, setting.transfer) if source}
            todo += sources - seen
    return first in seen


def check_has_as_much(study: Study, name: str, base: str) -> None:
    """Another setting has all seeds and forget sets of this one."""
    missing = sorted(set(study.seeds_of(name)) - set(study.seeds_of(base)))
    absent = sorted(set(study.forget_sets_of(name)) - set(study.forget_sets_of(base)))
    for what, gap in (("seeds", missing), ("forget_sets", absent)):
        if gap:
            raise problem(f"{what} that {base!r} does not have", gap, "those that it has", at=["settings", name, what])
