"""The paper's claims and one of our own, each with the measure, contrast, scope and decision rule that were fixed beforehand:
``workflow/claims.yaml``, which says what was known by then."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from grokforget.config.base import Strict, problem
from grokforget.config.loader import load_yaml

FILE = Path(__file__).parents[3] / "claims.yaml"
EARLY, MEMORISED = "early", "memorised"


class Scope(Strict):
    """Which rows of the table count. What is not given counts whatever it is."""

    forget_sets: list[Literal["within-classes", "random", "local-grokking"]] = Field(
        default=["within-classes"], min_length=1
    )
    """Kinds of forget sets."""
    largest_fraction: float = Field(default=1.0, gt=0, le=1)
    """Forget sets of these kinds with a fraction of up to this."""
    matched: Literal["length", "loss", "template"] | None = None
    """Of groups of examples: in what they are alike; null: in nothing."""
    stages: Literal["before", "after"] | None = None
    """Of analyses: the checkpoints themselves, or what the unlearning methods made of them."""
    analysis: str | None = None
    """Kind of the analysis."""
    measure: str | None = None
    """Its measure."""
    parts: list[str] | None = None
    """Its parts; their mean is taken."""
    protocol: Literal["shared", "own"] | None = None
    """Of the tuning: one choice for all checkpoints, or each its own."""
    level: Literal["retrained", "ten-percent", "chance"] | None = None
    """Of matched forgetting: at which forget accuracy."""


class Test(Strict):
    """One comparison: of every (setting, seed) the mean difference over its cells, tested over these.

    ``direction`` is what the claim says of the difference: ``lower``, ``higher``, or ``equal`` within ``margin``.
    """

    name: str
    table: Literal["unlearning", "analysis", "tuned", "matched", "fronts"]
    value: str
    """Column of the table, or one of the derived ones (``statistics/quantities.py``)."""
    scope: Scope = Scope()
    contrast: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    """Two checkpoints, names of controls, or groups: the first minus the second. A name with ``*`` stands for all controls that
    it fits, each with cells of its own."""
    between: Literal["checkpoints", "groups"] = "checkpoints"
    """``groups``: of examples, each forgotten from the same checkpoint (forget sets of kind ``local-grokking``)."""
    against: str | None = None
    """The measure of the same model that is subtracted: its control, say. Without a contrast, the claim is of this
    difference, in all checkpoints."""
    statistic: Literal["mean", "sd-ratio"] = "mean"
    direction: Literal["lower", "higher", "equal"]
    margin: float | None = Field(default=None, gt=0)
    unit: Literal["points", "×", ""] = ""
    """``points``: shares are shown times a hundred, as percentage points; ``×``: a ratio."""
    decides: bool = True
    """Whether the verdict rests on it; otherwise it is reported beside."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.contrast is None and self.against is None:
            raise problem("neither contrast nor against", self.contrast, "at least one of them", at=["contrast"])
        if (self.between == "groups") != (self.scope.forget_sets == ["local-grokking"] and self.table != "analysis"):
            allowed = "groups with forget sets of kind local-grokking alone, and of no analysis; else checkpoints"
            raise problem("a contrast without what it is between", self.between, allowed, at=["between"])
        if (self.direction == "equal") != (self.margin is not None):
            raise problem("a margin", self.margin, "one with direction equal, none otherwise", at=["margin"])
        return self

    @property
    def compared(self) -> dict[str, Any]:
        """What two tests must share to be of the same thing."""
        return self.model_dump(exclude={"name", "contrast", "decides"})


class Claim(Strict):
    """One claim, of the paper or our own."""

    id: int = Field(ge=1)
    claim: str
    published: str
    """The figure that the paper gives for it, or that it has none."""
    controls: str | None = None
    """Asked only of a study that has a control whose name this fits (``induced-*``); null: of every study."""
    tests: list[Test]
    """All that decide must agree for ``supported``, and one is enough for ``contradicted``."""
    why_not: str = ""
    """Of a study that says nothing of it: why."""

    def asked_of(self, controls: Iterable[str]) -> bool:
        """Whether a study with controls of these names is asked."""
        return self.controls is None or any(fnmatchcase(name, self.controls) for name in controls)

    @property
    def deciding(self) -> list[Test]:
        """The tests that the verdict rests on."""
        return [test for test in self.tests if test.decides]

    def with_memorised(self, test: Test) -> Test | None:
        """The same test with ``memorised`` in place of ``early``, which tells what grokking gains from what having fitted at
        all does: the test itself where it does not compare with ``early``, none where the claim does not have the other."""
        if test.contrast is None or EARLY not in test.contrast or test.between == "groups":
            return test
        wanted = [MEMORISED if name == EARLY else name for name in test.contrast]
        return next((one for one in self.tests if one.contrast == wanted and one.compared == test.compared), None)


class Claims(Strict):
    """All claims, and the level at which they are decided."""

    level: float = Field(gt=0, lt=0.5)
    """Of the two-sided tests, after Holm's correction for all deciding tests of all claims together."""
    claims: list[Claim] = Field(min_length=1)


@cache
def claims() -> Claims:
    """The claims of ``workflow/claims.yaml``. Raises ConfigError, which names file and key."""
    return load_yaml(FILE, Claims)
