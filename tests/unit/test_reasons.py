"""Why results are out of date, in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from grokforget import recipes
from grokforget.fingerprint import digests, fingerprint
from grokforget.plan import PlannedJob
from grokforget.recipes import Task, recipe, task
from grokforget.records import task_modules
from grokforget.staleness import Stale, reasons, summary

SCRUB = {
    "implementation": "grokforget.unlearning.scrub:Scrub",
    "settings": {"epochs": 3, "rates": {"up": 1, "down": 2}},
}
ASCENT = {"implementation": "grokforget.unlearning.gradient_ascent:GradientAscent", "settings": {"rate": 0.1}}
FISHER = {"implementation": "grokforget.unlearning.fisher_forgetting:FisherForgetting", "settings": {}}
SETTINGS = {**SCRUB["settings"], "epochs": 4}


def batch(shared: Any = None, above: Any = None, **methods: Any) -> Task:
    """A task of methods by name, each a component or a pair with what it alone reads."""
    pairs = {name: what if isinstance(what, tuple) else (what, {}) for name, what in methods.items()}
    units = {name: ({"method": method}, reads) for name, (method, reads) in pairs.items()}
    return task("unlearn", {"seed": 0, **(shared or {})}, {"examples": "e", **(above or {})}, units)


def stale(before: Task | None, now: Task, key: str = "job", **record: Any) -> Stale:
    noted = {"recipe": recipe(before), "task": before, "modules": task_modules(before), **record} if before else None
    return Stale(PlannedJob(key, now, (key,)), noted)


BOTH = batch(scrub=SCRUB, ascent=ASCENT)
CASES: dict[str, tuple[Task, list[str]]] = {
    "a key": (batch(scrub={**SCRUB, "settings": SETTINGS}, ascent=ASCENT), ["config method.settings.epochs: 3 → 4"]),
    "a deep key": (
        batch(scrub={**SCRUB, "settings": {"epochs": 3, "rates": {"up": 1, "down": 5}}}, ascent=ASCENT),
        ["config method.settings.rates.down: 2 → 5"],
    ),
    "a shared key, once": (
        batch({"seed": 1, "more": {}}, scrub=SCRUB, ascent=ASCENT),
        ["config more: not given → {}", "config seed: 0 → 1"],
    ),
    "a key less": (
        batch(scrub=SCRUB, ascent={**ASCENT, "settings": {}}),
        ["config method.settings: not given → {}", "config method.settings.rate: 0.1 → not given"],
    ),
    "a unit more": (batch(scrub=SCRUB, ascent=ASCENT, fisher=FISHER), ["new: fisher"]),
    "a unit less": (batch(scrub=SCRUB), ["no longer asked for: ascent"]),
    "others": (batch(scrub=SCRUB, fisher=FISHER), ["new: fisher", "no longer asked for: ascent"]),
    "upstream": (
        batch(above={"examples": "f", "split": "s"}, scrub=SCRUB, ascent=ASCENT),
        ["what it reads is out of date or new: examples, split"],
    ),
    "upstream of one": (
        batch(scrub=(SCRUB, {"retrained": "r"}), ascent=ASCENT),
        ["what it reads is out of date or new: retrained"],
    ),
    "upstream comes last": (
        batch({"seed": 1}, {"examples": "f"}, scrub=SCRUB),
        ["no longer asked for: ascent", "config seed: 0 → 1", "what it reads is out of date or new: examples"],
    ),
    "nothing that can be named": (BOTH, ["the record was made by another version of this workflow"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_changed_is_named(case: str) -> None:
    now, expected = CASES[case]
    assert reasons(stale(BOTH, now)) == expected


def test_a_task_without_units_says_the_same() -> None:
    before, now = (task("train", {"stop": stop}, {"state": state}) for stop, state in ((1, "a"), (2, "b")))
    assert reasons(stale(before, now)) == ["config stop: 1 → 2", "what it reads is out of date or new: state"]


def test_a_library_is_named_with_its_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    now = batch(scrub=SCRUB, ascent=ASCENT)
    versions = {**BOTH["versions"], "numpy": "99.0", "jax": "1.0"}
    del versions["torch"]
    now["versions"] = versions
    assert reasons(stale(BOTH, now)) == [
        "locked version of jax: none → 1.0",
        f"locked version of numpy: {BOTH['versions']['numpy']} → 99.0",
        f"locked version of torch: {BOTH['versions']['torch']} → none",
    ]


@pytest.fixture
def edited(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, str]]:
    """Gives the modules of these names other code than they had when ``BOTH`` was made; returns those of then."""

    def edit(*names: str) -> dict[str, str]:
        def other(*modules: str) -> str:
            return fingerprint(*modules) + "".join(sorted(digests(*modules).keys() & set(names)))

        monkeypatch.setattr(recipes, "fingerprint", other)
        return {**task_modules(BOTH), **dict.fromkeys(names, "as it was")}

    return edit


def test_code_is_named_by_its_module(edited: Any) -> None:
    modules = edited("grokforget.unlearning.scrub", "grokforget.stages.bench")
    assert reasons(stale(BOTH, batch(scrub=SCRUB, ascent=ASCENT), modules=modules)) == [
        "code of grokforget.stages.bench",
        "code of grokforget.unlearning.scrub",
    ]


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        ({"scrub": SCRUB}, "no longer asked for: ascent"),
        ({"scrub": SCRUB, "ascent": ASCENT, "fisher": FISHER}, "new: fisher"),
    ],
)
def test_the_code_of_a_unit_that_came_or_went_was_not_changed(edited: Any, methods: Any, said: str) -> None:
    modules = edited("grokforget.unlearning.scrub")
    assert reasons(stale(BOTH, batch(**methods), modules=modules)) == [said, "code of grokforget.unlearning.scrub"]


def test_reasons_come_in_the_same_order_every_time() -> None:
    """The order of sets differs from one process to the next."""
    names = [f"{letter}{letter}" for letter in "fbhdgaec"]
    now, before = (batch(scrub=SCRUB, **dict.fromkeys(half, ASCENT)) for half in (names[:4], names[4:]))
    came, went = sorted(names[:4]), sorted(names[4:])
    assert reasons(stale(before, now)) == [
        *(f"new: {name}" for name in came),
        *(f"no longer asked for: {name}" for name in went),
    ]


def test_jobs_of_the_same_stage_and_reasons_are_one_line() -> None:
    one, two = batch(scrub=SCRUB), batch(above={"examples": "f"}, scrub=SCRUB, fisher=FISHER)
    train = task("train", {"stop": 1})
    found = [stale(BOTH, two, "a"), stale(None, train, "b"), stale(BOTH, one, "c"), stale(BOTH, two, "d")]
    assert summary(found) == [
        "unlearn (2): new: fisher; no longer asked for: ascent; what it reads is out of date or new: examples",
        "train (1): no record says what made them",
        "unlearn (1): no longer asked for: ascent",
    ]
    assert summary([]) == []
