"""The order of the package's folders: nothing imports upwards or in circles, and nothing lies loose beside them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "workflow" / "src" / "grokforget"
FLOORS = (
    {"jobs", "detect"},
    {"analyses"},
    {"methods"},
    {"training"},
    {"models", "forget_sets"},
    {"data", "metrics", "tables", "figures"},
    {"config", "runtime", "grokking", "statistics"},
)
"""From the top; a folder may import from those of lower floors, from ``runtime``, and from no other."""
FLOOR = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}
NO_SCIENCE = {"config", "jobs", "runtime"}
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if len(path.relative_to(ROOT).parts) > 1
)


@cache
def imports(module: str) -> frozenset[str]:
    """What a module (its path below the package) really imports of the package, at its top or within a function: dotted
    names, of modules and of what is taken out of them."""
    tree = _Real().visit(ast.parse((ROOT / module).read_bytes()))
    names = (name for node in ast.walk(tree) for name in _names(node, package=_dotted(Path(module).parent)))
    return frozenset(name for name in names if name.startswith("grokforget"))


class _Real(ast.NodeTransformer):
    """Without what is imported for the type checker alone."""

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            return node.orelse
        return self.generic_visit(node)


def _names(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = resolve_name("." * node.level + (node.module or ""), package)
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _dotted(folder: Path) -> str:
    return ".".join(("grokforget", *folder.parts))


def folders_imported(module: str) -> set[str]:
    """The other folders that it imports from; a loose module of the package's root counts as one."""
    found = {name.split(".")[1] for name in imports(module) if "." in name}
    return found - {Path(module).parts[0], "__version__"}


def test_every_folder_has_a_floor_and_every_floor_its_folders() -> None:
    assert {Path(module).parts[0] for module in MODULES} == set(FLOOR)


def test_nothing_lies_loose_beside_the_folders() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "__main__.py"}


def test_imports_point_down() -> None:
    wrong = []
    for module in MODULES:
        own = Path(module).parts[0]
        below = {folder for folder, floor in FLOOR.items() if floor > FLOOR.get(own, -1)}
        allowed = set() if own == "runtime" else below | {"runtime"}
        wrong += [f"{module} imports {folder}" for folder in sorted(folders_imported(module) - allowed)]
    assert not wrong, "\n".join(wrong)


def test_the_science_knows_the_configuration_as_types_alone() -> None:
    science = [module for module in MODULES if Path(module).parts[0] not in NO_SCIENCE]
    assert [module for module in science if "config" in folders_imported(module)] == []


def test_no_two_modules_import_each_other() -> None:
    """Nor does any longer chain come back: imports within functions, which would hide it, count too."""
    arrows = {module: {_file(name) for name in imports(module)} - {module} for module in MODULES}
    left: set[str] = set()
    while left != arrows.keys():
        left = set(arrows)
        imported = set().union(*arrows.values())
        # What is in a circle imports some of what is left, and is imported by some.
        arrows = {module: to & left for module, to in arrows.items() if to & left and module in imported}
    assert not arrows, f"in circles, or between two of them: {', '.join(sorted(arrows))}"


def _file(name: str) -> str | None:
    """The file of a dotted name, or of the module that it is taken out of; None for a folder."""
    parts = name.split(".")[1:]
    for candidate in (parts, parts[:-1]):
        if candidate and ROOT.joinpath(*candidate).with_suffix(".py").is_file():
            return "/".join(candidate) + ".py"
    return None


def test_modules_are_imported_by_name_within_the_package() -> None:
    """A folder's public names are for users: a fingerprint follows modules, and would miss the code behind such a name."""
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in sorted(imports(module))
        if name != "grokforget.__version__" and not _file(name) and not ROOT.joinpath(*name.split(".")[1:]).is_dir()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", [name for name in MODULES if name.endswith("__init__.py")])
def test_a_folder_only_names_what_lies_in_it(module: str) -> None:
    """A sentence and perhaps the table of public names: a fingerprint leaves these files out."""
    docstring, *rest = ast.parse((ROOT / module).read_bytes()).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(docstring.value, ast.Constant)
    assert re.fullmatch(r"[A-Z].*\.", str(docstring.value.value)), "one line, a whole sentence"
    if rest:
        helper, assign = rest
        assert ast.unparse(helper) == "from grokforget.runtime.lazy import public_names"
        assert isinstance(assign, ast.Assign)
        assert ast.unparse(assign.targets[0]) == "(__getattr__, __dir__, __all__)"
        assert isinstance(assign.value, ast.Call)
        assert ast.unparse(assign.value.func) == "public_names"
        package, table = assign.value.args
        assert ast.unparse(package) == "__name__"
        assert all(re.fullmatch(r"\w+:\w+", place) for place in ast.literal_eval(table).values())


def test_what_decides_and_keeps_results_is_small_enough_to_be_read() -> None:
    names = ("spec_file", "store", "run", "record", "results", "fingerprint")
    lines = [len((ROOT / "runtime" / f"{name}.py").read_text().splitlines()) for name in names]
    assert sum(lines) <= 900
    rules = ROOT.parents[1] / "rules" / "common.smk"
    assert len(rules.read_text().splitlines()) <= 100
