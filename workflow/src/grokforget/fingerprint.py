"""What a stage's code is, as a short string: it changes when, and only when, code that the stage runs changes.

Snakemake sees the text of a rule's shell command but not the modules behind it. A fingerprint among the rule's
``params`` closes the gap: the hash of the syntax trees of the stage's module and of every project module that it
imports, directly or not. Comments, formatting and docstrings are not part of the tree that is hashed, nor is what
stands under ``if TYPE_CHECKING``. Modules that are named in a spec and imported at run time (models, methods, ...) must
be passed beside the stage's.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = "grokforget"
ROOT = Path(__file__).parent


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
    _fingerprint.cache_clear()
    _digest.cache_clear()


def digests(*modules: str) -> dict[str, str]:
    """The hash of each of the modules that ``fingerprint`` covers, by name."""
    todo = sorted({module.partition(":")[0] for module in modules})
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
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(sorted(set(_imports(tree, module, path))))


def _file(module: str) -> Path | None:
    package, _, rest = module.partition(".")
    if package != PACKAGE:
        return None
    base = ROOT.joinpath(*rest.split(".")) if rest else ROOT
    candidates = [base / "__init__.py", *([base.with_suffix(".py")] if rest else [])]
    return next((path for path in candidates if path.is_file()), None)


class _Stripped(ast.NodeTransformer):
    """Without docstrings (any bare string, so also those behind a field) and without imports for the type checker."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") and not node.orelse:
            return None
        return self.generic_visit(node)


def _imports(tree: ast.AST, module: str, path: Path) -> Iterable[str]:
    """The project modules imported anywhere in a module, each with the packages it lies in, whose ``__init__`` runs
    too."""
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
                if _file(candidate):
                    yield candidate
