"""The fingerprint of code changes when, and only when, code that a stage runs changes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import grokforget
from grokforget import fingerprint as module
from grokforget.data.registry import DATA_SETS
from grokforget.fingerprint import fingerprint
from grokforget.forget_sets.registry import FORGET_SETS
from grokforget.measures.registry import MEASURES
from grokforget.models.registry import MODELS
from grokforget.stages import STAGES
from grokforget.training.penalties.registry import PENALTIES
from grokforget.unlearning.registry import METHODS

PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "stage.py": (
        "from tiny.near import run\nfrom tiny import sub\nimport tiny.plain as other\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tiny.hints import Hint\n"
        'def stage():\n    """Do it."""\n    return run() + 1\n'
    ),
    "near.py": "from tiny.far import far\ndef run():\n    return far()\n",
    "far.py": "def far():\n    return 1\n",
    "plain.py": "VALUE = 1\n",
    "hints.py": "class Hint: ...\n",
    "unused.py": "from tiny.stage import stage\n",
    "sub/__init__.py": "from . import one\nfrom .two import two\n",
    "sub/one.py": "from ..shared import shared\n",
    "sub/two.py": "def two():\n    from .late import late\n    return late()\n",
    "sub/late.py": "def late():\n    return 2\n",
    "sub/unused.py": "X = 1\n",
    "shared.py": "def shared():\n    return 3\n",
}
USED = ["__init__", "stage", "near", "far", "plain", "sub/__init__", "sub/one", "sub/two", "sub/late", "shared"]
UNUSED = ["hints", "unused", "sub/unused"]

Edit = Callable[[str, str], None]


def point_to(monkeypatch: pytest.MonkeyPatch, package: str, root: Path) -> None:
    monkeypatch.setattr(module, "PACKAGE", package)
    monkeypatch.setattr(module, "ROOT", root)
    module.forget_what_was_read()


@pytest.fixture(autouse=True)
def clean_cache() -> Iterator[None]:
    yield
    module.forget_what_was_read()


@pytest.fixture
def rewrite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """A tiny package as the one that is fingerprinted; rewrites one of its files."""
    root = tmp_path / "tiny"
    for name, text in PACKAGE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    point_to(monkeypatch, "tiny", root)

    def write(name: str, text: str) -> None:
        (root / f"{name}.py").write_text(text, encoding="utf-8")
        module.forget_what_was_read()

    return write


def text_of(name: str) -> str:
    return PACKAGE[f"{name}.py"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def stage():", "# a comment\ndef stage():  # another"),
        ("return run() + 1", "return (\n        run()   +   1\n    )"),
        ('"""Do it."""', '"""Do something else,\n\n    in more words."""'),
        ('    """Do it."""\n', ""),
        ("from tiny.near", '"""A docstring of the module."""\nfrom tiny.near'),
        ("def stage():", "\n\n\ndef stage():"),
        ("import Hint", "import Hint, Hint as Other"),
    ],
    ids=["comment", "formatting", "docstring", "no docstring", "module docstring", "blank lines", "type checking"],
)
def test_what_does_not_run_does_not_change_it(rewrite: Edit, old: str, new: str) -> None:
    before = fingerprint("tiny.stage")
    assert old in text_of("stage")
    rewrite("stage", text_of("stage").replace(old, new))
    assert fingerprint("tiny.stage") == before


def test_a_docstring_behind_a_field_does_not_change_it(rewrite: Edit) -> None:
    before = fingerprint("tiny.plain")
    rewrite("plain", 'VALUE = 1\n"""What it is."""\n')
    assert fingerprint("tiny.plain") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("run() + 1", "run() + 2"),
        ("run() + 1", "run() - 1"),
        ("def stage():", "def stage(a=1):"),
        ("def stage():", "@other\ndef stage():"),
        ("return run()", 'x = "a string that is kept"\n    return run()'),
    ],
    ids=["constant", "operator", "argument", "decorator", "string value"],
)
def test_what_runs_changes_it(rewrite: Edit, old: str, new: str) -> None:
    before = fingerprint("tiny.stage")
    rewrite("stage", text_of("stage").replace(old, new))
    assert fingerprint("tiny.stage") != before


@pytest.mark.parametrize("name", USED)
def test_a_change_of_any_module_that_is_imported_changes_it(rewrite: Edit, name: str) -> None:
    before = fingerprint("tiny.stage")
    rewrite(name, text_of(name) + "NEW = 1\n")
    assert fingerprint("tiny.stage") != before


@pytest.mark.parametrize("name", UNUSED)
def test_a_change_of_a_module_that_is_not_imported_does_not_change_it(rewrite: Edit, name: str) -> None:
    before = fingerprint("tiny.stage")
    rewrite(name, text_of(name) + "NEW = 1\n")
    assert fingerprint("tiny.stage") == before


def test_a_change_under_typing_type_checking_does_not_change_it(rewrite: Edit) -> None:
    text = text_of("stage").replace("from typing import TYPE_CHECKING\nif TYPE", "import typing\nif typing.TYPE")
    rewrite("stage", text)
    before = fingerprint("tiny.stage")
    rewrite("hints", text_of("hints") + "NEW = 1\n")
    assert fingerprint("tiny.stage") == before


def test_a_new_module_that_nothing_imports_does_not_change_it(rewrite: Edit) -> None:
    before = fingerprint("tiny.stage")
    rewrite("brand_new", "X = 1\n")
    assert fingerprint("tiny.stage") == before


def test_a_renamed_module_is_other_code(rewrite: Edit) -> None:
    before = fingerprint("tiny.near")
    rewrite("nearer", text_of("near"))
    assert fingerprint("tiny.nearer") != before


def test_imports_in_a_circle_come_to_an_end(rewrite: Edit) -> None:
    rewrite("far", "from tiny.near import run\n")
    assert len(fingerprint("tiny.stage")) == 16


def test_it_is_one_string_for_a_set_of_modules(rewrite: Edit) -> None:
    assert fingerprint("tiny.plain", "tiny.far") == fingerprint("tiny.far:far", "tiny.plain:VALUE", "tiny.far")
    assert fingerprint("tiny.plain", "tiny.far") != fingerprint("tiny.plain")
    # Modules that are reached anyway add nothing.
    assert fingerprint("tiny.near", "tiny.far") == fingerprint("tiny.near")


@pytest.mark.parametrize("name", ["tiny.nowhere", "tiny.nowhere:f", "numpy", "other.stage"])
def test_a_module_that_is_not_of_the_package_is_an_error(rewrite: Edit, name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name.partition(":")[0]):
        fingerprint(name)


# The real package.
COMPONENTS = sorted(
    component.implementation
    for registry in (DATA_SETS, MODELS, FORGET_SETS, METHODS, MEASURES, PENALTIES)
    for component in registry.values()
)


def closure(name: str) -> set[str]:
    """Every module of the package that decides the fingerprint."""
    seen: set[str] = set()
    todo = [name.partition(":")[0]]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(module._digest(current)[1])
    return seen


def test_the_closure_of_a_stage_is_what_it_needs() -> None:
    train = closure(STAGES["train"])
    assert {"grokforget", "grokforget.stages", "grokforget.training.loop", "grokforget.training.optimizers"} <= train
    assert "grokforget.grokking.detect" not in train
    assert "grokforget.models.mlp" not in train


@pytest.mark.parametrize("name", [*STAGES.values(), *COMPONENTS])
def test_no_stage_and_no_component_runs_a_registry_or_the_config(name: str) -> None:
    reached = closure(name)
    assert not [part for part in reached if part.endswith(".registry")]
    assert not [part for part in reached if part.startswith("grokforget.config")]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, which is fingerprinted in its place."""
    root = tmp_path / "grokforget"
    source = Path(grokforget.__file__).parent
    shutil.copytree(source, root, ignore=shutil.ignore_patterns("__pycache__"))
    point_to(monkeypatch, "grokforget", root)
    return root


def change(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "\nCHANGED = 1\n", encoding="utf-8")
    module.forget_what_was_read()


def prints() -> dict[str, str]:
    return {name: fingerprint(name) for name in [*STAGES.values(), *COMPONENTS]}


def test_a_new_registry_entry_or_setting_invalidates_nothing(copy: Path) -> None:
    before = prints()
    changed = [*copy.rglob("registry.py"), *copy.glob("config/*.py")]
    assert len(changed) >= 5 + 4
    for path in changed:
        change(path)
    assert prints() == before


def test_a_methods_code_invalidates_that_method_alone(copy: Path) -> None:
    before = prints()
    change(copy / "unlearning" / "scrub.py")
    after = prints()
    assert [name for name in before if after[name] != before[name]] == [METHODS["scrub"].implementation]


def test_a_penaltys_code_invalidates_that_penalty_alone(copy: Path) -> None:
    before = prints()
    change(copy / "training" / "penalties" / "jacobian.py")
    after = prints()
    assert [name for name in before if after[name] != before[name]] == [PENALTIES["jacobian"].implementation]


def test_code_that_all_training_runs_invalidates_training_but_no_table(copy: Path) -> None:
    before = prints()
    change(copy / "training" / "loop.py")
    after = prints()
    changed = {stage for stage, name in STAGES.items() if after[name] != before[name]}
    assert "train" in changed
    assert not {stage for stage in changed if stage.startswith(("collect", "figure", "table", "prepare", "split"))}
