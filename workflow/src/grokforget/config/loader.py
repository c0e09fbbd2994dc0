"""Read a study: YAML → validated ``Study``, or one message that says what to mend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from grokforget.config.base import Strict, explain
from grokforget.config.study import Study

Configuration = TypeVar("Configuration", bound=Strict)


class ConfigError(Exception):
    """A study that cannot be run; the message names file, line, key, what was found and what is allowed."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Safe YAML that refuses a key given twice, and takes plain words for what they look like.

    Of YAML 1.1's surprises none is left: ``1e-3`` is a number, ``yes`` a word, ``010`` and ``1:30`` no numbers.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refused("a key that is no plain word", key_node)
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise _refused(f"the key {key!r} is given twice; allowed: each name once", key_node)
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _refused(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+(\.[0-9]*|\.?[0-9]*[eE][-+]?[0-9]+)|[-+]?\.[0-9]+", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check the study in ``path``; ``overrides`` replaces top-level keys (Snakemake's ``--config``).

    Raises ConfigError, with one line a problem, before anything is run or written.
    """
    return load_yaml(path, Study, overrides, remedy=" Give a study with --configfile FILE.")


def overrides_of(config: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """What ``--config`` gives, from Snakemake's ``config``, in which it lies over the content of the file ``path``."""
    plain = yaml.safe_load(path.read_text(encoding="utf-8")) if path else {}
    return {key: value for key, value in config.items() if key not in plain or plain[key] != value}


def load_yaml(
    path: Path, kind: type[Configuration], overrides: Mapping[str, Any] | None = None, remedy: str = ""
) -> Configuration:
    """Read and check a file of settings; ``overrides`` replaces top-level keys.

    Raises ConfigError, with one line a problem; ``remedy`` is added where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.{remedy}") from error
    try:
        value = yaml.load(text, Loader=_Loader)
        tree = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise ConfigError(f"{path}: found {found}; allowed: a mapping with the keys {', '.join(kind.model_fields)}")
    try:
        given = {key: _typed(item) for key, item in (overrides or {}).items()}
    except yaml.YAMLError as error:
        raise ConfigError(f"--config: not valid YAML: {str(error).splitlines()[0]}") from error
    try:
        return kind.model_validate({**value, **given})
    except ValidationError as error:
        lines = [_line(path, tree, detail, given) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _typed(value: Any) -> Any:
    """A value of the command line, where Snakemake leaves every word a text, as the same word would be read from a file."""
    if isinstance(value, str):
        return yaml.load(value, Loader=_Loader)
    if isinstance(value, Mapping):
        return {key: _typed(item) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else value


def _line(path: Path, tree: yaml.Node | None, error: ErrorDetails, overrides: Mapping[str, Any]) -> str:
    loc = _keys(tree, [*error["loc"], *error.get("ctx", {}).get("at", [])])
    if error["type"].startswith("union_tag"):
        loc.append("kind")
    if loc and loc[-1] == "[key]":
        loc.pop()
    if loc and loc[0] in overrides:
        where = "--config"
    else:
        number = _line_number(tree, loc)
        where = f"{path}:{number}" if number else str(path)
    return f"{where}: {'.'.join(map(str, loc)) or 'the study'}: {explain(error)}"


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
        return node.value[part]
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
