"""Grids of settings: from a setting with ``vary`` to the settings that it stands for.

This happens to what was read from a file, before anything of it is checked as a setting: whatever comes behind it sees
ordinary settings, and what is wrong with a value of a grid is said by the setting that has it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise, product
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from grokforget.config.base import Strict, explain, problem

VARIED = ("data", "initialisation_scale", "model", "starts_from", "training", "transfer")
"""The keys of a setting that may be varied, or what stands below them; ``data.KEY`` is a key of the setting's data set."""
TAKEN = re.compile(
    r"setting|train_set|seed|grid|kind|transition|steps|plateau|final|disagreement|delay|sharpness|data|model|training|outcome"
    r"|runs|count|rate|low|high|t_.*|gap.*|slope.*|censored.*|weight_norm.*|.*_accuracy"
)
"""Names of columns of the tables that have labels beside them: a label of that name would be another one's."""
DIGITS = 3
"""Of the values between the ends of an axis: so that names can be read, and stay the same."""
MOST = 10_000
LABEL = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
LENGTH = 60


class Span(Strict):
    """Values between two ends, both included, rounded to three digits."""

    start: float
    """The first value."""
    stop: float
    """The last value."""
    count: int = Field(ge=2, le=1000)
    """How many values."""
    whole: bool = False
    """Whether they are whole numbers, as of widths and steps."""


class Axis(Strict):
    """What one key of a setting takes, one value a setting: ``values``, ``linear`` or ``log``."""

    values: list[Any] | dict[str, Any] | None = None
    """The values; numbers, words, true, false and null; others by names, ``{small: {kind: mlp, ...}, large: ...}`` or
    ``{"96": [96], "192": [192]}``."""
    linear: Span | None = None
    """Evenly spaced values."""
    log: Span | None = None
    """Values that are evenly spaced on a logarithmic axis."""
    label: Annotated[str, Field(pattern=LABEL, max_length=40)] | None = None
    """The name of the column in the tables, and in the names of the settings; null is the last part of the key, and as much of
    what stands before it as tells it from others."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Axis:
        given = [name for name in ("values", "linear", "log") if getattr(self, name) is not None]
        if len(given) != 1:
            raise problem("not one way to give the values", given, "one of values, linear, log", at=given[:1])
        if self.values is not None and not self.values:
            raise problem("no values", self.values, "one or more", at=["values"])
        if self.log and min(self.log.start, self.log.stop) <= 0:
            where = "start" if self.log.start <= 0 else "stop"
            raise problem("an end of a logarithmic axis", getattr(self.log, where), "above 0", at=["log", where])
        if isinstance(self.values, list):
            for place, value in enumerate(self.values):
                if not isinstance(value, str | int | float | bool | None):
                    what = "a value without a name"
                    allowed = "numbers, words, true, false, null; others by names, values: {NAME: ...}"
                    raise problem(what, value, allowed, at=["values", str(place)])
        names = [name_of(label) for label, _ in self.points()]
        for place, name in enumerate(names):
            if name in names[:place]:
                way = given[0]
                at = [way, str(place)] if way == "values" and isinstance(self.values, list) else [way]
                raise problem("the same value twice", name, "each value once", at=at)
        return self

    def points(self) -> list[tuple[Any, Any]]:
        """Label and value of each."""
        if isinstance(self.values, dict):
            return [(label_of(name), value) for name, value in self.values.items()]
        if self.values is not None:
            return [(value, value) for value in self.values]
        span = self.linear or self.log
        assert span
        ends = [math.log(end) if self.log else end for end in (span.start, span.stop)]
        step = (ends[1] - ends[0]) / (span.count - 1)
        between = [ends[0] + step * place for place in range(1, span.count - 1)]
        found = [span.start, *(rounded(math.exp(one) if self.log else one) for one in between), span.stop]
        return [(value, value) for value in ([round(one) for one in found] if span.whole else found)]


def label_of(name: str) -> str | int | float:
    """A name, as the number that it is: so that widths by name have an axis."""
    if not re.fullmatch(r"-?\d+(\.\d+)?", name):
        return name
    return float(name) if "." in name else int(name)


def rounded(value: float) -> float:
    """To three digits."""
    return float(f"{value:.{DIGITS}g}")


def name_of(value: object) -> str:
    """A value as it stands in the name of a setting, of small letters, digits and single hyphens: .3 is ``0p3``."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    if isinstance(value, int | float):
        text = repr(abs(float(value))).removesuffix(".0").replace("e+", "e").replace("e-0", "e-").replace(".", "p")
        return f"minus-{text}" if value < 0 else text
    return re.sub(r"[^a-z0-9]+", "-", str(value).lower()).strip("-") or "-".join(str(ord(one)) for one in str(value))


Origins = dict[tuple[str, str], str]


def expanded(study: Any) -> tuple[Any, Origins]:
    """A study as it was read, in which every setting with ``vary`` has become those that it stands for, each with data of its
    own where something of these is varied; and by ``("settings", NAME)`` and ``("data", NAME)`` what each of these comes from.

    Names are of what is varied and of the values alone, not of their places or numbers: a grid that grows has the same
    settings as before, and more. Raises a problem at its key.
    """
    settings, data = (study.get(key) if isinstance(study, Mapping) else None for key in ("settings", "data"))
    if not isinstance(settings, Mapping) or not isinstance(data, Mapping):
        return study, {}
    grown: dict[str, Any] = {}
    sets = dict(data)
    origins: Origins = {}
    for name, setting in settings.items():
        if not isinstance(setting, Mapping) or setting.get("vary") is None:
            if name in grown:
                raise taken(name, ["settings", name])
            grown[name] = setting
            continue
        at = ["settings", str(name), "vary"]
        base = {key: value for key, value in setting.items() if key != "vary"}
        for keys, values, labels in points_of(setting["vary"], at):
            point = made(base, dict(zip(keys, values, strict=True)), sets, data, labels, at)
            whole = "-".join([str(name), *(f"{name_of(label)}-{name_of(value)}" for label, value in labels.items())])
            if len(whole) > LENGTH:
                raise problem(f"names longer than {LENGTH} characters", whole, "`label: ...` at the keys", at=at)
            if whole in grown or whole in settings:
                raise taken(whole, at)
            grown[whole] = {**point, "grid": str(name), "labels": {**labels, **setting.get("labels", {})}}
            origins["settings", whole] = str(name)
            if isinstance(of := point.get("data"), str) and of not in data:
                origins["data", of] = str(dict(zip(keys, values, strict=True)).get("data", base.get("data")))
    return {**study, "settings": grown, "data": sets}, origins


def taken(name: str, at: list[str]) -> PydanticCustomError:
    return problem("the name of two settings, one of a grid", name, "another name", at=at)


def points_of(vary: object, at: list[str]) -> Iterator[tuple[list[str], tuple[Any, ...], dict[str, Any]]]:
    """Keys, values and labels of every setting of a grid: the product of what a mapping varies, and of a list those of each of
    its mappings, in which the same keys are varied."""
    parts = vary if isinstance(vary, list) else [vary]
    if not parts:
        raise problem("nothing to vary", vary, "a mapping of keys, or a list of such", at=at)
    count, first = 0, set(parts[0]) if isinstance(parts[0], Mapping) else set()
    for place, part in enumerate(parts):
        here = [*at, str(place)] if isinstance(vary, list) else at
        if not isinstance(part, Mapping) or not part:
            allowed = "`training.optimizer.weight_decay: [...]`, a mapping from keys to values, or a list of such"
            raise problem("not a mapping of what is varied", part, allowed, at=here)
        if set(part) != first:
            raise problem("other keys than in the first one", sorted(part), ", ".join(sorted(first)), at=here)
        keys = sorted(part)
        axes = {key: axis_of(key, part[key], [*here, key]) for key in keys}
        for one, other in pairwise(sorted(axes, key=lambda key: key.split("."))):
            if other.startswith(f"{one}.") and one != "data":
                raise problem(
                    f"what stands below {one!r}, which is varied as a whole", other, "one of the two", at=here
                )
        labels = labels_of(axes, here)
        count += math.prod(len(axis.points()) for axis in axes.values())
        if count > MOST:
            raise problem("too large a grid", f"{count} settings", f"at most {MOST}", at=here)
        for chosen in product(*(axes[key].points() for key in keys)):
            yield (
                keys,
                tuple(value for _, value in chosen),
                dict(zip(labels, (shown for shown, _ in chosen), strict=True)),
            )


def axis_of(key: str, given: object, at: list[str]) -> Axis:
    """What a key takes: an ``Axis``, or its values, or one value."""
    if not isinstance(key, str) or key.split(".")[0] not in VARIED:
        raise problem("not a key that can be varied", key, [f"{one} and below" for one in VARIED], at=at)
    told = given if isinstance(given, Mapping) else {"values": given if isinstance(given, list) else [given]}
    try:
        return Axis.model_validate(told)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        inner = [*map(str, detail["loc"]), *detail.get("ctx", {}).get("at", [])]
        inner = inner if isinstance(given, Mapping) else inner[1:]
        found = {"explained": explain(detail), "at": [*at, *inner]}
        raise PydanticCustomError("nested", "{explained}", found) from error


def labels_of(axes: Mapping[str, Axis], at: list[str]) -> list[str]:
    """The columns of the keys: each as long as it must be to be one of its own."""
    found = []
    for key, axis in axes.items():
        parts = [re.sub(r"[^a-z0-9]+", "_", part.lower()).strip("_") for part in key.split(".")]
        candidates = ["_".join(parts[start:]) for start in reversed(range(len(parts)))]
        ends = Counter(end for other in axes for end in {".".join(other.split(".")[-n:]) for n in range(1, 9)})
        free = [
            candidate
            for n, candidate in enumerate(candidates, 1)
            if ends[".".join(key.split(".")[-n:])] == 1 and not TAKEN.fullmatch(candidate)
        ]
        label = axis.label or (free[0] if free else f"{candidates[-1]}_varied")
        if TAKEN.fullmatch(label) or label in found:
            raise problem("a label that another column has", label, "another name", at=[*at, key, "label"])
        found.append(label)
    return found


def made(
    base: Mapping[str, Any],
    values: Mapping[str, Any],
    sets: dict[str, Any],
    data: Mapping[str, Any],
    labels: Mapping[str, Any],
    at: list[str],
) -> dict[str, Any]:
    """The setting with some values; its data set is one of its own in ``sets`` where something of that is varied."""
    setting: dict[str, Any] = dict(base)
    by_key = dict(zip(values, labels.items(), strict=True))
    if "data" in values:
        setting["data"] = values["data"]
    of_data = {key.partition(".")[2]: value for key, value in values.items() if key.startswith("data.")}
    for key, value in values.items():
        if key.split(".")[0] != "data":
            setting = changed(setting, key.split("."), value, [*at, key])
    if of_data:
        name = setting.get("data")
        if not isinstance(name, str) or name not in data:
            raise problem("no such data set", name, sorted(data), at=[*at[:-1], "data"])
        own, ending = data[name], ""
        for key, value in of_data.items():
            own = changed(own, key.split("."), value, [*at, f"data.{key}"])
            label, shown = by_key[f"data.{key}"]
            ending += f"-{name_of(label)}-{name_of(shown)}"
        setting["data"] = f"{name}{ending}"
        if len(setting["data"]) > LENGTH:
            raise problem(f"names longer than {LENGTH} characters", setting["data"], "`label: ...` at the keys", at=at)
        if sets.setdefault(setting["data"], own) != own:
            raise problem("the name of another data set", setting["data"], "`label: ...` at the keys", at=at)
    return setting


def changed(node: Any, keys: list[str], value: Any, at: list[str]) -> dict[str, Any]:
    """A copy of a mapping with another value at a path."""
    if node is not None and not isinstance(node, Mapping):
        raise problem("a key below what has none", ".".join(keys), f"nothing below {node!r}", at=at)
    node = node or {}
    first, *rest = keys
    return {**node, first: changed(node.get(first), rest, value, at) if rest else value}
