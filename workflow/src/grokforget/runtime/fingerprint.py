"""What a job's code is, as a short string: it changes when, and only when, code that the job runs changes.

The hash of the syntax trees of the job's module, of the modules of the components that its spec names, and of every
project module that these import, directly or not. Left out is what decides no number: comments, formatting, docstrings,
imports for the type checker, the wording of errors and what is logged; the ``__init__`` of folders, which only names
what lies in them; and ``runtime/``, for which one format version stands (``spec_file.FORMAT``).
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = "grokforget"
ROOT = Path(__file__).parents[1]
LOCK = Path(__file__).parents[4] / "requirements.lock"


def fingerprint(*modules: str) -> str:
    """Hash of the given modules (``grokforget.…``, a ``:name`` behind them is ignored) and all project modules they
    import.

    Raises ModuleNotFoundError for one that is no file of the package.
    """
    return _fingerprint(frozenset(module.partition(":")[0] for module in modules))


@cache
def _fingerprint(modules: frozenset[str]) -> str:
    text = "\n".join(f"{module} {digest}" for module, digest in digests(*modules).items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def forget_what_was_read() -> None:
    """Read the modules anew next time: files are read once a process."""
    for cached in (_fingerprint, _digests, _digest, _file):
        cached.cache_clear()


def digests(*modules: str) -> dict[str, str]:
    """The hash of each of the modules that ``fingerprint`` covers, by name, 16 hexadecimal digits."""
    return _digests(frozenset(module.partition(":")[0] for module in modules))


@cache
def _digests(modules: frozenset[str]) -> dict[str, str]:
    todo = sorted(modules)
    seen: dict[str, str] = {}
    while todo:
        module = todo.pop()
        if module not in seen:
            seen[module], imports = _digest(module)
            todo.extend(imports)
    return dict(sorted(seen.items()))


@cache
def _digest(module: str) -> tuple[str, tuple[str, ...]]:
    path = _file(module)
    if path is None:
        raise ModuleNotFoundError(f"{module} is no module of {PACKAGE}")
    tree = _Stripped().visit(ast.parse(path.read_bytes()))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16], tuple(sorted(set(_imports(tree, module, path))))


@cache
def _file(module: str) -> Path | None:
    package, _, rest = module.partition(".")
    if package != PACKAGE:
        return None
    base = ROOT.joinpath(*rest.split(".")) if rest else ROOT
    candidates = [base / "__init__.py", *([base.with_suffix(".py")] if rest else [])]
    return next((path for path in candidates if path.is_file()), None)


class _Stripped(ast.NodeTransformer):
    """Without docstrings (any bare string, so also those behind a field), imports for the type checker, log lines and
    the texts of errors."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        call = node.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            of = call.func.value
            if isinstance(of, ast.Name) and of.id == "log":
                return ast.Pass()  # a block of log lines alone must stay a block
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            return ast.Raise(exc=node.exc.func, cause=None)
        return node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") and not node.orelse:
            return None
        return self.generic_visit(node)


def _imports(tree: ast.AST, module: str, path: Path) -> Iterable[str]:
    """The project modules that decide numbers among those imported anywhere in a module."""
    parent = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):
                candidate = ".".join(parts[:end])
                if _decides(candidate):
                    yield candidate


def _decides(module: str) -> bool:
    """Whether a name is a module of the package whose code counts."""
    path = _file(module)
    return path is not None and path.name != "__init__.py" and not module.startswith(f"{PACKAGE}.runtime.")


@cache
def locked_versions(lock: Path = LOCK) -> dict[str, str]:
    """Every pinned library of the lock file, and of those of extras beside it, by its name in lower case."""
    files = sorted(lock.parent.glob("requirements*.lock"))
    lines = (line.strip() for file in files for line in file.read_text(encoding="utf-8").splitlines())
    pins = (re.fullmatch(r"([A-Za-z0-9._-]+)==(\S+)", line) for line in lines)
    return {pin[1].lower(): pin[2] for pin in pins if pin}


def versions_of(*libraries: str) -> dict[str, str]:
    """The pins of some libraries; KeyError for one that is not locked."""
    return {library: locked_versions()[library] for library in libraries}
