"""The page with every key of a study, ``docs/studies.md``, made from the studies' JSON schema."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from grokforget.config.study import Study

PAGE = Path(__file__).parents[4] / "docs" / "studies.md"
HEAD = """\
Every key of a study

<!-- Made from the schema by `make schema`. What is said here stands in the docstrings of workflow/src/grokforget/config. -->

A study is one YAML file. [A study of your own](own-study.md) says how to go about one; this page has every key that it may
have. Names that you choose (of settings, data sets, forget sets, methods, ...) are lower-case letters and digits with single
hyphens between them: folders and rows of tables are called by them ([some are taken](own-study.md#names-that-are-taken)). An
unknown key, a value of another type and settings that do not go together are refused before any work, with file, line, key
and what is allowed (`make check STUDY=FILE`). Editors with a YAML language server say the same while you type."""
"""The title and what stands below it."""
BAR = r"\|"
"""A bar within a cell."""
Schema = dict[str, Any]


def studies_text() -> str:
    """The page as it should stand in ``docs/studies.md``: a section each for the study and everything nested in it."""
    schema = Study.model_json_schema()
    sections = _Sections(schema["$defs"])
    return "\n".join(sections.of(HEAD, schema, level=1))


class _Sections:
    """The sections of nested objects, each once: where it is first come across."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self.anchors: dict[str, str] = {}
        """Definition → the heading that it has on the page."""
        self.unions: dict[frozenset[str], str] = {}
        """Definitions that a ``kind`` tells apart → the heading of the section that lists them."""

    def of(self, heading: str, schema: Schema, level: int, told: Sequence[str] = ()) -> Iterator[str]:
        """Heading, description, a table of the keys, and a section for every key that has keys of its own; keys that are
        ``told`` already have no row."""
        properties = {key: value for key, value in schema["properties"].items() if key != "kind" and key not in told}
        new = [(key, refs) for key, value in properties.items() if (refs := self._new(key, value))]
        yield f"{'#' * level} {heading}\n\n{_prose(schema['description'])}\n"
        yield from self._table(properties, schema.get("required", []))
        for key, refs in new:
            yield from self._nested(key, refs, properties[key], level + 1)

    def _new(self, key: str, schema: Schema) -> list[str]:
        """The definitions that the key is the first to lead to; they get their headings."""
        refs = [ref for ref in _references(schema) if ref not in self.anchors]
        kinds = _discriminated(schema)
        self.anchors |= {ref: kinds.get(ref, key) for ref in refs}
        if kinds and refs:
            self.unions[frozenset(kinds)] = key
        return refs

    def _nested(self, key: str, refs: list[str], schema: Schema, level: int) -> Iterator[str]:
        if not _discriminated(schema):
            (ref,) = refs
            yield from self.of(f"`{key}`", self.definitions[ref], level)
            return
        kinds = ", ".join(self._link(ref) for ref in refs)
        yield f"{'#' * level} `{key}`\n\n{_prose(schema['description'])} `kind` is one of {kinds}.\n"
        shared = self._shared(refs)
        if shared:
            yield "All of them have these keys:\n"
            yield from self._table(shared, [])
        for ref in refs:
            yield from self.of(f"`{self.anchors[ref]}`", self.definitions[ref], level + 1, list(shared))

    def _shared(self, refs: list[str]) -> dict[str, Schema]:
        """The optional keys that all kinds have with one meaning; a default that they do not share stands for each."""
        first, *others = [self.definitions[ref]["properties"] for ref in refs]
        found = {}
        for key in first if others else []:
            defaults = {
                self.anchors[ref]: self.definitions[ref]["properties"].get(key, {}).get("default") for ref in refs
            }
            plain = [{**one.get(key, {}), "default": None} for one in (first, *others)]
            if key != "kind" and "default" in first[key] and all(one == plain[0] for one in plain):
                same = all(value == first[key]["default"] for value in defaults.values())
                found[key] = {**first[key], **({} if same else {"defaults": defaults})}
        return found

    def _table(self, properties: dict[str, Schema], required: list[str]) -> Iterator[str]:
        if not properties:
            return
        yield "| key | | allowed | default |\n|---|---|---|---|"
        for key, schema in properties.items():
            # A key without words of its own is what its keys are.
            schemas = [schema, *(self.definitions[ref] for ref in _references(schema))]
            description = next((one["description"] for one in schemas if "description" in one), "")
            default = "**required**" if key in required else _default(schema)
            cells = (f"`{key}`", _prose(description), self._allowed(schema), default)
            yield f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"
        yield ""

    def _link(self, ref: str) -> str:
        return f"[`{self.anchors[ref]}`](#{self.anchors[ref]})"

    def _allowed(self, schema: Schema) -> str:
        """What a value may be, in words."""
        match schema:
            case {"$ref": str(ref)}:
                return f"keys of {self._link(_name(ref))}"
            case {"oneOf": list(kinds)}:
                names = [_name(kind["$ref"]) for kind in kinds]
                links = ", ".join(self._link(name) for name in names)
                heading = self.unions.get(frozenset(names))
                return f"keys of [`{heading}`](#{heading})" if heading else f"keys of {links}"
            case {"anyOf": list(options)}:
                texts = [self._allowed(option) for option in options]
                return "number" if texts == ["whole number", "number"] else ", or ".join(texts)
            case {"const": value}:
                return f"`{value}`"
            case {"enum": list(values)}:
                return ", ".join(f"`{value}`" for value in values)
            case {"type": "array", "items": items}:
                length = f" of {schema['minItems']}" if schema.get("minItems") == schema.get("maxItems", -1) else ""
                return f"list{length}: {self._allowed(items)}"
            case {"type": "object"}:
                inner = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
                return f"names, each with {self._allowed(inner)}" if isinstance(inner, dict) else "keys and values"
            case {"type": "boolean"}:
                return "`true`, `false`"
            case {"type": "null"}:
                return "`null`"
            case {"type": "string"}:
                return "name" if "pattern" in schema else "text"
            case {"type": "integer" | "number"}:
                return _number(schema)
            case _:
                return "any value"


def _references(schema: Any) -> list[str]:
    """The definitions that a schema names, in order."""
    if isinstance(schema, dict):
        own = [_name(schema["$ref"])] if "$ref" in schema else []
        return [*own, *(ref for key, value in schema.items() if key != "discriminator" for ref in _references(value))]
    return [ref for value in schema for ref in _references(value)] if isinstance(schema, list) else []


def _discriminated(schema: Any) -> dict[str, str]:
    """Definition → its ``kind``, where the schema tells several apart by it, at whatever depth."""
    if isinstance(schema, dict):
        if "discriminator" in schema:
            return {_name(ref): kind for kind, ref in schema["discriminator"]["mapping"].items()}
        schema = list(schema.values())
    return (
        {ref: kind for part in schema for ref, kind in _discriminated(part).items()} if isinstance(schema, list) else {}
    )


def _name(ref: str) -> str:
    return ref.rpartition("/")[2]


def _number(schema: Schema) -> str:
    """An integer or number with its bounds, e.g. ``number above 0, up to 100``."""
    words = {
        "from": "minimum",
        "above": "exclusiveMinimum",
        "up to": "maximum",
        "below": "exclusiveMaximum",
        "a multiple of": "multipleOf",
    }
    bounds = ", ".join(f"{word} {_plain(schema[bound])}" for word, bound in words.items() if bound in schema)
    if {"minimum", "maximum"} <= schema.keys():
        bounds = bounds.replace(", up to", " to")
    return f"{'whole number' if schema['type'] == 'integer' else 'number'} {bounds}".rstrip()


def _default(schema: Schema) -> str:
    """Whatever holds where the key is left out."""
    if "defaults" in schema:
        return ", ".join(f"{kind}: `{_plain(value)}`" for kind, value in schema["defaults"].items())
    value = schema["default"]
    if isinstance(value, dict | list) and not value:
        return "none"
    return "those of its keys" if isinstance(value, dict) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    """A value as it is written in a study, rounded to four digits."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return f"[{', '.join(map(_plain, value))}]"
        case float():
            return re.sub(r"e([+-])0", r"e\1", f"{value:.4g}")
        case _:
            return "2^31" if value == 2**31 else str(value)


def _prose(text: str) -> str:
    """A docstring as Markdown: on one line, code between single backticks."""
    return " ".join(text.replace("``", "`").split())
