"""The strict base of all configuration models, and registries of components."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Self, Union

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from grokforget.runtime.components import ComponentSpec


class Strict(BaseModel):
    """Settings that are what they say: no unknown key, no silent conversion, no change after validation."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for key in value:
                if key not in cls.model_fields:
                    raise problem("unknown key", str(key), sorted(cls.model_fields), at=[str(key)])
        return value


class Component(Strict):
    """Settings of a data set, model, forget set, method, metric or analysis: ``kind`` names it, the other fields are its
    keyword arguments."""

    implementation: ClassVar[str]
    """``package.module:name`` of the code, imported only by the job that runs it."""

    objectives: ClassVar[tuple[str, ...]] = ("classification",)
    """What the models may be trained for that it is used with: ``classification``, ``language``, ``regression``; in settings
    with another objective it is refused."""

    kind: str

    def is_for(self, objective: str) -> bool:
        """Whether it may be used in settings with an objective."""
        return objective in self.objectives

    def conflict(self) -> tuple[object, str] | None:
        """What was found and what is allowed, where settings that are fine one by one do not go together."""
        return None

    def spec(self) -> ComponentSpec:
        """What a job needs to build the component."""
        settings = self.model_dump(mode="json", exclude={"kind"} | self.not_settings())
        return ComponentSpec(implementation=self.implementation, settings=settings)

    def not_settings(self) -> set[str]:
        """Fields that are no keyword arguments of the implementation."""
        return set()

    def updated(self, changes: Mapping[str, Any]) -> Self:
        """A validated copy with some settings changed."""
        return type(self).model_validate({**self.model_dump(), **changes})


def component_union(registry: Mapping[str, type[Component]]) -> Any:
    """The pydantic type "one of these components", told apart by ``kind``."""
    return Annotated[Union[tuple(registry.values())], Field(discriminator="kind")]  # noqa: UP007


def registry(*components: type[Component]) -> dict[str, type[Component]]:
    """Components by their ``kind``."""
    return {component.model_fields["kind"].default: component for component in components}


def problem(what: str, found: object, allowed: list[str] | str, at: list[str] | None = None) -> PydanticCustomError:
    """A validation error that says what was found and what is allowed; ``at`` continues the key of the model it is
    raised in."""
    hint = ""
    if isinstance(allowed, list):
        near = get_close_matches(str(found), allowed, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        allowed = ", ".join(allowed) if allowed else "(none)"
    context = {"what": what, "found": repr(found), "allowed": allowed, "hint": hint, "at": at or []}
    return PydanticCustomError("study", "{what}: found {found}; allowed: {allowed}{hint}", context)


def no_repeats(values: list[Any]) -> list[Any]:
    """A validator of lists: the values as they are, or the problem that one is given twice."""
    for position, value in enumerate(values):
        if value in values[:position]:
            raise problem("given twice", value, "each value once", at=[str(position)])
    return values


def explain(error: ErrorDetails) -> str:
    """One problem in the words of the file: what was found and what is allowed."""
    found, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "study" | "nested":
            return error["msg"]
        case "missing":
            return "is missing; add it"
        case "union_tag_invalid":
            return problem("unknown kind", context["tag"], _choices(context["expected_tags"])).message()
        case "union_tag_not_found":
            return "is missing; add it"
        case "literal_error":
            return problem("not one of the choices", found, _choices(context["expected"])).message()
        case "model_type" | "model_attributes_type" | "dict_type":
            allowed = "a mapping of settings, `key: value`"
        case "string_pattern_mismatch":
            allowed = "lower-case letters and digits, with single hyphens between them"
        case "too_short":
            allowed = f"at least {context['min_length']} of them"
        case _:
            allowed = error["msg"].removeprefix("Input should be ")
    text = repr(found)
    return f"found {text if len(text) <= 60 else text[:57] + '...'}; allowed: {allowed}"


def _choices(text: object) -> list[str]:
    """pydantic lists alternatives as text."""
    return [part.strip(" '") for part in re.split(r",| or ", str(text))]
