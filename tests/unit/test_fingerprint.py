"""The fingerprint of code changes when, and only when, code that a job runs changes."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import grokforget
from grokforget.config.analyses import ANALYSES
from grokforget.config.augmentations import AUGMENTATIONS
from grokforget.config.data import DATA_SETS
from grokforget.config.figures import FIGURES
from grokforget.config.forget_sets import FORGET_SETS
from grokforget.config.gradient_filters import GRADIENT_FILTERS
from grokforget.config.methods import METHODS
from grokforget.config.metrics import METRICS
from grokforget.config.models import MODELS
from grokforget.config.paper_tables import PAPER_TABLES
from grokforget.config.penalties import PENALTIES
from grokforget.runtime import fingerprint as module
from grokforget.runtime.fingerprint import fingerprint
from small import job_specs

PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "stage.py": (
        "from tiny.near import run\nfrom tiny import sub\nimport tiny.plain as other\nfrom tiny.runtime.files import read\n"
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tiny.hints import Hint\n"
        'def stage():\n    """Do it."""\n    return run() + 1\n'
    ),
    "near.py": "from .far import far\nfrom .sub import one\ndef run():\n    return far()\n",
    "far.py": "def far():\n    from . import late\n    return late.late()\n",
    "plain.py": "VALUE = 1\n",
    "hints.py": "class Hint: ...\n",
    "unused.py": "from tiny.stage import stage\n",
    "late.py": "def late():\n    return 2\n",
    "runtime/__init__.py": "",
    "runtime/files.py": "def read(): ...\n",
    "sub/__init__.py": "from .two import two\n",
    "sub/one.py": "from ..shared import shared\n",
    "sub/two.py": "X = 1\n",
    "sub/unused.py": "X = 1\n",
    "shared.py": "def shared():\n    return 3\n",
}
USED = ["stage", "near", "far", "plain", "late", "sub/one", "shared"]
# A folder's ``__init__`` only names what lies in it; what a job uses of it, it imports itself.
UNUSED = ["__init__", "hints", "unused", "sub/__init__", "sub/unused", "sub/two", "runtime/files"]

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


MORE = """
import logging
log = logging.getLogger("tiny")
def more(x):
    if x:
        log.info("so it is")
    log.warning("is %s", x)
    if x > 1:
        raise ValueError(f"{x} is too much")
    assert x
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("so it is", "so it was"),
        ('log.warning("is %s", x)', 'log.info("is now %s, %s", x, 2)'),
        ('f"{x} is too much"', '"more than " + str(1)'),
    ],
    ids=["a log line", "another one, level and values", "the text of an error"],
)
def test_what_is_only_said_does_not_change_it(rewrite: Edit, old: str, new: str) -> None:
    rewrite("plain", MORE)
    before = fingerprint("tiny.stage")
    assert old in MORE
    rewrite("plain", MORE.replace(old, new))
    assert fingerprint("tiny.stage") == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("raise ValueError(", "raise KeyError("),
        ('        raise ValueError(f"{x} is too much")', "        pass"),
        ("if x > 1", "if x > 2"),
        ("    assert x\n", "    assert x > 0\n"),
        ('log.warning("is %s", x)', "x.log()"),
        ('log.warning("is %s", x)', 'x = log.warning("is %s", x)'),
    ],
    ids=["an error of another type", "no error", "when", "an assertion", "another call", "a value of a log line"],
)
def test_what_is_done_beside_what_is_said_changes_it(rewrite: Edit, old: str, new: str) -> None:
    rewrite("plain", MORE)
    before = fingerprint("tiny.stage")
    assert old in MORE
    rewrite("plain", MORE.replace(old, new))
    assert fingerprint("tiny.stage") != before


def test_each_module_has_a_digest_of_its_own_in_the_end_in_one_order(rewrite: Edit) -> None:
    found = module.digests("tiny.stage:stage", "tiny.plain")
    assert list(found) == sorted(f"tiny.{name.replace('/', '.')}" for name in USED)
    rewrite("far", text_of("far") + "NEW = 1\n")
    after = module.digests("tiny.stage")
    assert {name for name in found if after[name] != found[name]} == {"tiny.far"}


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
    for registry in (
        DATA_SETS,
        MODELS,
        FORGET_SETS,
        METHODS,
        METRICS,
        PENALTIES,
        GRADIENT_FILTERS,
        AUGMENTATIONS,
        ANALYSES,
    )
    for component in registry.values()
)
JOBS = sorted({kind.function for kind in job_specs()})
DRAWN = sorted(
    [*(row.implementation for row in FIGURES.values()), *(row.implementation for row in PAPER_TABLES.values())]
)


def closure(name: str) -> set[str]:
    """Every module of the package that decides the fingerprint."""
    return set(module.digests(name))


def test_the_closure_of_a_job_is_what_it_needs() -> None:
    train = closure("grokforget.jobs.train")
    assert {"grokforget.training.loop", "grokforget.training.optimizers", "grokforget.data.examples"} <= train
    assert "grokforget.grokking.transition" not in train
    assert "grokforget.models.mlp" not in train
    assert "grokforget" not in train


@pytest.mark.parametrize("name", [*JOBS, *COMPONENTS, *DRAWN])
def test_no_job_and_no_component_runs_a_registry_the_config_or_what_runs_jobs(name: str) -> None:
    """Were it so, a new row in a registry would invalidate what is computed."""
    reached = closure(name)
    assert not [part for part in reached if part.startswith(("grokforget.config", "grokforget.runtime"))]
    assert not [part for part in reached if part.startswith("grokforget.jobs")] or name in JOBS


def test_what_is_used_of_a_folder_is_imported_from_the_file_that_it_lies_in() -> None:
    """``__init__`` is no part of the fingerprint: what a module got through one would be missed."""
    root = Path(grokforget.__file__).parent
    for path in root.rglob("*.py"):
        if path.name == "__init__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grokforget"):
                folder = root.joinpath(*node.module.split(".")[1:])
                if folder.is_dir():
                    for alias in node.names:
                        there = [folder / f"{alias.name}.py", folder / alias.name / "__init__.py"]
                        assert any(file.is_file() for file in there), f"{path}:{node.lineno} {alias.name}"


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
    return {name: fingerprint(name) for name in [*JOBS, *COMPONENTS, *DRAWN]}


def changed_by(path: Path) -> set[str]:
    before = prints()
    change(path)
    after = prints()
    return {name for name in before if after[name] != before[name]}


def test_a_new_registry_entry_setting_or_folder_and_what_runs_jobs_invalidate_nothing(copy: Path) -> None:
    before = prints()
    changed = [
        *copy.glob("config/**/*.py"),
        *copy.rglob("__init__.py"),
        *copy.glob("runtime/*.py"),
        copy / "__main__.py",
    ]
    assert len(changed) >= 40
    for path in changed:
        change(path)
    assert prints() == before


def test_a_methods_code_invalidates_that_method_alone(copy: Path) -> None:
    assert changed_by(copy / "methods" / "scrub.py") == {METHODS["scrub"].implementation}


def test_a_penaltys_code_invalidates_that_penalty_alone(copy: Path) -> None:
    assert changed_by(copy / "training" / "penalties" / "jacobian.py") == {PENALTIES["jacobian"].implementation}


def test_a_figures_code_invalidates_that_figure_alone(copy: Path) -> None:
    assert changed_by(copy / "figures" / "figure2.py") == {FIGURES["figure2"].implementation}


def test_code_that_all_training_runs_invalidates_training_but_no_table(copy: Path) -> None:
    reached = {name for name in changed_by(copy / "training" / "loop.py") if name in JOBS}
    assert "grokforget.jobs.train:train_segment" in reached
    still = ("collect", "render", "paper_table", "prepare", "select", "measure", "claims", "summarise")
    assert not {name for name in reached if name.startswith(tuple(f"grokforget.jobs.{job}" for job in still))}
