"""Read a study: YAML → validated ``Study``, or one message that says what to mend."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_origin

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from grokforget.config.base import Strict, explain, problem
from grokforget.config.grids import Origins, expanded
from grokforget.config.study import Study

Configuration = TypeVar("Configuration", bound=Strict)


class ConfigError(Exception):
    """A study that cannot be run; the message names file, line, key, what was found and what is allowed."""


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Safe YAML that takes plain words for what they look like.

    Of YAML 1.1's surprises none is left: ``1e-3`` is a number, ``yes`` a word, ``010`` and ``1:30`` no numbers. Its merge
    keys (``<<: *anchor``) are.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?[0-9]+(\.[0-9]*|\.?[0-9]*[eE][-+]?[0-9]+)|[-+]?\.[0-9]+", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _read(text: str) -> tuple[Any, yaml.Node | None]:
    """The content of a YAML text, and its tree, in which merged keys stand in front of the keys that override them.

    Raises yaml.YAMLError, also where a key is given twice.
    """
    loader = _Loader(text)
    try:
        tree = loader.get_single_node()
        if tree is None:
            return None, None
        _check_keys(tree, {})
        return loader.construct_document(tree), tree
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node, checked: dict[yaml.Node, bool]) -> None:
    """Raise where a mapping has a key twice or one that is no word, or something contains itself. Before merging, since a
    key may override a merged one."""
    if node in checked:
        if not checked[node]:
            raise _refused("an anchor inside of what it names", node)
        return
    checked[node] = False
    names = set()
    for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
        if not isinstance(key, yaml.ScalarNode):
            raise _refused("a key that is no plain word", key)
        if key.value in names:
            raise _refused(f"the key {key.value!r} is given twice; allowed: each name once", key)
        names.add(key.value)
        _check_keys(value, checked)
    for item in node.value if isinstance(node, yaml.SequenceNode) else []:
        _check_keys(item, checked)
    checked[node] = True


def _refused(what: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


def study_file(given: Sequence[str | Path], checkout: str | Path) -> Path:
    """Where the study is: the file of ``--configfile``, or ``config.yaml`` of the working folder (``--directory``), or that of
    the checkout. Relative to the working folder where it is below it. Raises ConfigError where several are given."""
    if len(given) > 1:
        raise ConfigError(f"A study is one file; --configfile names {len(given)}: {', '.join(map(str, given))}")
    default = next((folder for folder in (Path.cwd(), checkout) if (Path(folder) / "config.yaml").is_file()), checkout)
    path = Path(given[0]) if given else Path(default) / "config.yaml"
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def load_study(path: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read and check the study in ``path``; ``overrides`` is what Snakemake's ``--config`` gives.

    A name replaces a whole top-level key, or, where it is a path (``settings__mlp__training__steps``, list places included),
    what stands there. Raises ConfigError, with one line a problem, before anything is run or written.
    """
    return load_yaml(path, Study, overrides, remedy=" Give a study with --configfile FILE.")


def load_yaml(
    path: Path, kind: type[Configuration], overrides: Mapping[str, Any] | None = None, remedy: str = ""
) -> Configuration:
    """Read and check a file of settings, with ``overrides`` as for ``load_study``. Top-level keys that begin with ``x-``
    only hold what anchors name.

    Raises ConfigError, with one line a problem; ``remedy`` is added where the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.{remedy}") from error
    try:
        value, tree = _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(value, dict):
        found = "nothing" if value is None else f"a {type(value).__name__}"
        raise ConfigError(f"{path}: found {found}; allowed: a mapping with the keys {', '.join(kind.model_fields)}")
    value = {key: item for key, item in value.items() if not str(key).startswith("x-")}
    names = {key for key, item in kind.model_fields.items() if get_origin(item.annotation) is dict}
    # Whole keys first: what is given beside them of their parts holds.
    given = sorted(
        ((re.split(r"__|\.", key), item) for key, item in (overrides or {}).items()), key=lambda one: len(one[0])
    )
    for keys, item in given:
        try:
            value = _with(value, keys, _typed(item), names)
        except PydanticCustomError as error:
            at = [*(error.context or {})["at"]]
            raise ConfigError(f"--config: {'.'.join(at)}: {error.message()}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"--config: {'.'.join(keys)}: not valid YAML: {str(error).splitlines()[0]}") from error
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        overridden = [keys for keys, _ in given]
        try:
            value, origins = expanded(value)
        except PydanticCustomError:
            origins = {}  # which is the problem that was found
        lines = [_line(path, tree, value, overridden, detail, origins) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _with(node: Any, keys: Sequence[str], item: Any, names: Collection[str] = (), above: Sequence[str] = ()) -> Any:
    """A copy of ``node`` with ``item`` below ``keys``; nothing is changed in place, since aliases share what they name.

    Below the top-level keys ``names`` only what is there can be changed in part. Raises a problem at the key.
    """
    if not keys:
        return item
    key, at = keys[0], [*above, keys[0]]
    if isinstance(node, list):
        if not key.isdecimal() or int(key) >= len(node):
            raise problem("no such place in a list", key, [str(place) for place in range(len(node))], at=at)
        place = int(key)
        return [*node[:place], _with(node[place], keys[1:], item, above=at), *node[place + 1 :]]
    if not isinstance(node, dict | None):
        raise problem("a key below what has none", key, f"the whole of {'.'.join(above)}, now {node!r}", at=at)
    there = node or {}
    if len(above) == 1 and above[0] in names and len(keys) > 1 and key not in there:
        raise problem("no such name", key, sorted(there), at=at)
    return {**there, key: _with(there.get(key), keys[1:], item, names, at)}


def _typed(value: Any) -> Any:
    """A value of the command line, where Snakemake leaves every word a text, as the same word would be read from a file."""
    if isinstance(value, str):
        return _read(value)[0]
    if isinstance(value, Mapping):
        return {key: _typed(item) for key, item in value.items()}
    return [_typed(item) for item in value] if isinstance(value, list) else value


def _line(
    path: Path,
    tree: yaml.Node | None,
    value: Any,
    overridden: Iterable[Sequence[str]],
    error: ErrorDetails,
    origins: Origins,
) -> str:
    """A problem of ``value``, which was read from ``tree`` and had some keys ``overridden``: where, at which key, and what. A
    setting of a grid stands where the grid does (``origins``)."""
    loc = _keys(value, [*error["loc"], *error.get("ctx", {}).get("at", [])])
    if error["type"].startswith("union_tag"):
        loc.append("kind")
    if loc and loc[-1] == "[key]":
        loc.pop()
    origin = origins.get((str(loc[0]), str(loc[1]))) if len(loc) > 1 else None
    number, whole = _line_number(tree, [loc[0], origin, *loc[2:]] if origin else loc)
    keys = [str(key) for key in loc]
    where = f"{path}:{number}" if number else str(path)
    for given in overridden:
        if keys[: len(given)] == [*given] or (keys == [*given[: len(keys)]] and not whole):
            where = "--config"
    return f"{where}: {'.'.join(keys) or 'the study'}: {explain(error)}"


def _keys(value: Any, loc: Sequence[int | str]) -> list[int | str]:
    """The location as keys of the study: without the union tags that pydantic puts between them."""
    keys: list[int | str] = []
    for position, part in enumerate(loc):
        tag = isinstance(value, dict) and part not in value and "kind" in value
        if tag and position < len(loc) - 1:
            continue
        keys.append(part)
        if isinstance(value, dict):
            value = value.get(part)
        else:
            there = isinstance(value, list) and str(part).isdecimal() and int(part) < len(value)
            value = value[int(part)] if there else None
    return keys


def _pair(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node | None, yaml.Node | None]:
    """Where a key or place of a list stands, and what stands there; of keys that are merged the one that holds."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in reversed(node.value) if key.value == str(part)), (None, None))
    if isinstance(node, yaml.SequenceNode) and str(part).isdecimal() and int(part) < len(node.value):
        return node.value[int(part)], node.value[int(part)]
    return None, None


def _line_number(node: yaml.Node | None, loc: Sequence[int | str]) -> tuple[int | None, bool]:
    """Line of the deepest key of ``loc`` that the file has, and whether it has all of it."""
    number = None
    for part in loc:
        key, node = _pair(node, part)
        if key is None:
            return number, False
        number = key.start_mark.line + 1
    return number, True
