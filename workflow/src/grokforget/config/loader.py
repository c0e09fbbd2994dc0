"""Read a study: YAML → validated ``Study``, or one message that says what to mend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from grokforget.config.base import problem
from grokforget.config.study import Study


class ConfigError(Exception):
    """A study that cannot be run; the message names file, line, key, what was found and what is allowed."""


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice and reads ``1e-3`` as the number that it is."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)  # type: ignore[no-untyped-call]
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice; allowed: each name once", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check the study in ``path``; ``overrides`` replaces top-level keys (Snakemake's ``--config``).

    Raises ConfigError, with one line a problem, before anything is run or written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}. Give a study with --configfile FILE.") from error
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(value, dict):
        kind = "nothing" if value is None else f"a {type(value).__name__}"
        raise ConfigError(f"{path}: found {kind}; allowed: a mapping with the keys {', '.join(Study.model_fields)}")
    try:
        return Study.model_validate({**value, **(overrides or {})})
    except ValidationError as error:
        lines = [_line(path, tree, detail) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _line(path: Path, tree: yaml.Node | None, error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    loc = _keys(tree, [*error["loc"], *context.get("at", [])])
    number = _line_number(tree, loc)
    where = f"{path}:{number}" if number else str(path)
    return f"{where}: {'.'.join(map(str, loc)) or 'the study'}: {_explain(error)}"


def _explain(error: ErrorDetails) -> str:
    found, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "study":
            return error["msg"]
        case "missing":
            return "is missing; add it"
        case "union_tag_invalid":
            allowed = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
            return problem("unknown kind", context["tag"], allowed).message()
        case "union_tag_not_found":
            return "has no `kind`; add one"
        case "literal_error":
            allowed = [part.strip(" '") for part in re.split(r",| or ", str(context["expected"]))]
            return problem("not one of the choices", found, allowed).message()
        case _:
            return f"found {_short(found)}; allowed: {error['msg'].removeprefix('Input should be ')}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys(tree: yaml.Node | None, loc: Sequence[int | str]) -> list[int | str]:
    """The location as keys of the file: without the union tags that pydantic puts between them."""
    keys: list[int | str] = []
    node = tree
    for position, part in enumerate(loc):
        child = _child(node, part)
        if child is None and position < len(loc) - 1 and _child(node, "kind") is not None:
            continue
        keys.append(part)
        node = child
    return keys


def _child(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]  # type: ignore[no-any-return]
    return None


def _line_number(node: yaml.Node | None, loc: Sequence[int | str]) -> int | None:
    """Line of the deepest key of ``loc`` that the file has."""
    number = None
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if pair is None:
                return number
            number, node = pair[0].start_mark.line + 1, pair[1]
        else:
            node = _child(node, part)
            if node is None:
                return number
            number = node.start_mark.line + 1
    return number
