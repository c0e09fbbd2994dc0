"""The public names of a folder, each imported when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def public_names(
    package: str, table: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` (PEP 562) of a package, for its table of name → ``module:attribute``.

    Why not simply import them there: Python runs a folder's ``__init__`` before any module in the folder, so every job
    would load all methods to run one, and torch to read a table. And a job's code fingerprint covers what the job imports:
    were that all methods, a new one would make every other's results invalid.

    No name may be that of a module in the folder, such as ``retrain_gap``: once that is imported, Python binds it in the
    package under its own name, and the public one would be the function or the module by the order of imports.
    """

    def load(name: str) -> Any:
        if name not in table:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = table[name].partition(":")
        return getattr(import_module(f"{package}.{module}"), attribute)

    return load, lambda: sorted(table), sorted(table)
