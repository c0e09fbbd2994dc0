"""The names of torchvision's models, read off its files: importing it would take seconds, and torch."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def torchvision_names() -> list[str] | None:
    """The classification models by name, or None where torchvision is not installed here, as perhaps where jobs run it is."""
    spec = find_spec("torchvision")
    places = [Path(place) / "models" for place in (spec.submodule_search_locations or [])] if spec else []
    found = {name for place in places for file in sorted(place.glob("*.py")) for name in _registered(file)}
    return sorted(found) or None


def _registered(file: Path) -> list[str]:
    """The functions of a file that are registered as models, as ``@register_model()`` does it."""
    text = file.read_text(encoding="utf-8")
    if "@register_model(" not in text:
        return []
    return [
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(decorator).startswith("register_model(") for decorator in node.decorator_list)
    ]
