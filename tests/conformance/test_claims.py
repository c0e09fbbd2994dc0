"""The verdicts on the claims: on tables whose effects are known, against calculations of their own, and on studies in which
there is nothing to find."""

from __future__ import annotations

import math
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from grokforget.analyses.base import Probe
from grokforget.config.analyses import ANALYSES
from grokforget.config.claims import Claim, Claims, claims
from grokforget.config.claims import Test as ClaimTest
from grokforget.config.forget_sets import LocalGrokking
from grokforget.config.loader import load_study
from grokforget.config.metrics import METRICS
from grokforget.config.specs.base import Meanings
from grokforget.config.study import Study
from grokforget.data.shape import DataShape
from grokforget.metrics.base import Cell
from grokforget.models.mlp import MLP
from grokforget.runtime.paths import BEFORE
from grokforget.statistics import claims as module
from grokforget.statistics.claims import ALL, compare, conclude, evaluate, quantity_pairs
from grokforget.tables.claims import page
from grokforget.training.classification import Classification
from grokforget.training.evaluate import Examples
from small import STUDY

KNOWN = Meanings.model_validate(
    {
        "forget_sets": {
            "w15": {"kind": "within-classes", "fraction": 0.15},
            "w50": {"kind": "within-classes", "fraction": 0.5},
            "r15": {"kind": "random", "fraction": 0.15},
            "whole": {"kind": "whole-classes", "fraction": None},
        },
        "controls": {"a-sam": {"of": "a", "name": "sam"}},
        "analyses": {"align": "gradient-alignment", "other": "cka"},
        "references": ["original", "retrain"],
        "original": "original",
    }
)
LEVEL = 0.05


def cells(*differences: list[float], column: str = "forget_accuracy", forget_set: str = "w15") -> pd.DataFrame:
    """A row a cell of method ``ga`` at ``early`` and ``grokked``, which differ by these numbers: a list a setting (``a``,
    ``b``, ...), a number a seed. The levels differ from seed to seed by far more."""
    rows = []
    for setting, of_setting in zip("abcdefgh", differences, strict=False):
        for seed, difference in enumerate(of_setting):
            level = 10 * seed - 3 * ord(setting)
            where = {"setting": setting, "seed": seed, "forget_set": forget_set, "method": "ga"}
            rows.append({**where, "checkpoint": "early", column: level})
            rows.append({**where, "checkpoint": "grokked", column: level + difference})
    return pd.DataFrame(rows)


def a_test(name: str = "t", **changes: Any) -> ClaimTest:
    given = {"table": "unlearning", "value": "forget_accuracy", "contrast": ["grokked", "early"], "direction": "lower"}
    return ClaimTest.model_validate({"name": name, **given, **changes})


def claimed(*of_claims: list[ClaimTest]) -> Claims:
    return Claims(
        level=LEVEL,
        claims=[Claim(id=n, claim=f"claim {n}", published="-", tests=tests) for n, tests in enumerate(of_claims, 1)],
    )


def results(table: pd.DataFrame, *tests: ClaimTest, name: str = "unlearning") -> pd.DataFrame:
    return evaluate(claimed(list(tests)), {name: table}, KNOWN)


def over_all(table: pd.DataFrame, *tests: ClaimTest, name: str = "unlearning") -> pd.Series:
    """The one test's result over all settings."""
    found = results(table, *tests, name=name)
    return found[found.setting == ALL].iloc[0]


def flipped(groups: list[list[float]]) -> float:
    """p of the mean over groups of the groups' means, by going through all signs."""
    sizes = [len(group) for group in groups]
    flat = [value for group in groups for value in group]
    weights = [1 / (size * len(groups)) for size in sizes for _ in range(size)]
    observed = abs(sum(w * d for w, d in zip(weights, flat, strict=True)))
    reached = [
        abs(sum(s * w * d for s, w, d in zip(signs, weights, flat, strict=True))) >= observed - 1e-12
        for signs in product((1, -1), repeat=len(flat))
    ]
    return sum(reached) / len(reached)


# Verdicts.

CLEAR = [[-0.31, -0.28, -0.35, -0.30], [-0.22, -0.27, -0.25, -0.21]]
UNCLEAR = [[-0.31, 0.28, -0.35, 0.30], [0.22, -0.27, 0.25, -0.21]]


def turned(differences: list[list[float]]) -> list[list[float]]:
    return [[-value for value in group] for group in differences]


@pytest.mark.parametrize(
    ("differences", "direction", "verdict"),
    [
        (CLEAR, "lower", "supported"),
        (turned(CLEAR), "lower", "contradicted"),
        (CLEAR, "higher", "contradicted"),
        (turned(CLEAR), "higher", "supported"),
        (UNCLEAR, "lower", "undecided"),
        (UNCLEAR, "higher", "undecided"),
        # Three pairs that all agree: p can be no smaller than 2/2^3.
        ([[-0.31, -0.28, -0.35]], "lower", "undecided"),
    ],
)
def test_a_known_effect_gets_its_verdict(differences: list[list[float]], direction: str, verdict: str) -> None:
    tests = a_test(direction=direction)
    found = results(cells(*differences), tests)
    assert found[found.setting == ALL].verdict.tolist() == [verdict]
    assert conclude(claimed([tests]), found).verdict.tolist() == [verdict]


# What is flagged.


def test_runs_that_never_grok_decide_nothing_and_it_is_said() -> None:
    """Nine seeds whose differences would support a claim beyond doubt, if they were what they are called."""
    tests = [
        a_test("mean"),
        a_test("spread", statistic="sd-ratio"),
        a_test("equal", direction="equal", margin=1.0),
    ]
    table = cells([-0.3 - 0.01 * seed for seed in range(9)])
    assert results(table, tests[0]).verdict.tolist() == ["supported"] * 2, "were the runs what they are called"
    flagged = table.assign(flag=table.checkpoint.map({"early": "", "grokked": "not found"}))
    found = results(flagged, *tests)
    assert found[found.setting == ALL].verdict.tolist() == ["undecided"] * 3
    assert found[found.setting == ALL].pairs.tolist() == [0, 0, 0]
    assert found[found.setting == ALL].left_out.tolist() == [9, 1, 9]
    assert found.effect.isna().all()
    concluded = conclude(claimed(tests), found)
    assert concluded.verdict.tolist() == ["undecided"]
    assert "0 (setting, seed) pairs left of 9, for the others are flagged; 6 are needed" in concluded.why[0]
    assert "Verdict: **undecided**: 0 (setting, seed) pairs left" in page(claimed(tests), concluded, found)


def test_every_claim_of_the_project_is_undecided_where_no_run_grokked() -> None:
    """All tables that decide claims, of twelve seeds, with effects that would decide most of them."""
    rows = [
        {"setting": setting, "seed": seed, "forget_set": forget_set, "checkpoint": checkpoint, "method": "ga"}
        for setting, checkpoints in (("a", ("early", "memorised", "grokked", "rescaled")), ("a-sam", ("matched",)))
        for seed, forget_set, checkpoint in product(range(12), ("w15", "w50", "r15"), checkpoints)
    ]
    labels = pd.DataFrame(rows)
    flags = labels.checkpoint.map({"early": "", "memorised": ""}).fillna("not found")
    generator = np.random.default_rng(3)
    needed = {test.value for claim in claims().claims for test in claim.tests if test.table != "analysis"}
    columns = {*needed, "updates_to_chance", "updates_to_retrained", "updates"}
    effect = 3.0 * (labels.checkpoint == "grokked")
    values = {name: effect + generator.uniform(1, 2, len(labels)) for name in sorted(columns)}
    cells_ = labels.assign(flag=flags, **values)
    kinds = {"align": "gradient-alignment", "sim": "cka", "complex": "local-complexity", "module": "module-model"}
    asked = {
        (name, measure, part)
        for claim in claims().claims
        for test in claim.tests
        for name, kind in kinds.items()
        if test.scope.analysis == kind
        for part in test.scope.parts or [""]
        for measure in filter(None, (test.scope.measure, test.against))
    }
    of_models = [
        labels.drop(columns="method").assign(
            flag=flags,
            analysis=name,
            measure=measure,
            part=part,
            stage=stage,
            value=effect + generator.uniform(1, 2, len(labels)),
        )
        for name, measure, part in sorted(asked)
        for stage in ("before", "ga")
    ]
    tables = {
        "unlearning": cells_,
        "tuned": pd.concat([cells_.assign(protocol=name) for name in ("own", "shared")]),
        "analysis": pd.concat(of_models),
    }
    known = KNOWN.model_copy(update={"analyses": kinds})

    def verdicts(given: dict[str, pd.DataFrame]) -> dict[int, str]:
        return conclude(claims(), evaluate(claims(), given, known)).set_index("id").verdict.to_dict()

    # Claim 11 says something of every checkpoint, and is tested on those that are what their name says.
    told = {name: one for name, one in verdicts(tables).items() if name != 11}
    assert told == {**dict.fromkeys(range(1, 10), "undecided"), 10: "not tested here", 12: "not tested here"}
    unflagged = verdicts({name: table.assign(flag="") for name, table in tables.items()})
    assert {"supported", "contradicted"} <= {*unflagged.values()}, "the tables would decide some of them"


def test_a_flagged_cell_is_left_out_and_counted() -> None:
    """Seed 3 of b has no grokked; of a's seed 0 one of two cells has diverged."""
    two = pd.concat([cells(*CLEAR), cells(*CLEAR, forget_set="w50")]).assign(flag="")
    gone = (two.setting == "b") & (two.seed == 3) & (two.checkpoint == "grokked")
    half = (two.setting == "a") & (two.seed == 0) & (two.checkpoint == "early") & (two.forget_set == "w50")
    # Whatever a flagged row says, it is not listened to.
    two.loc[gone | half, ["flag", "forget_accuracy"]] = ["diverged", 1e9]
    found = over_all(two, a_test())
    assert (found.pairs, found.left_out, found.cells_left_out) == (7, 1, 3)
    expected = np.mean([np.mean(CLEAR[0]), np.mean(CLEAR[1][:3])])
    assert found.effect == pytest.approx(expected)
    assert found.verdict == "supported"
    assert found.why == ""


def test_what_is_measured_against_a_reference_that_is_none_is_left_out() -> None:
    """A share of updates to a target that is not known is no share, least of all 1."""
    table = cells(*CLEAR).assign(updates=10.0, updates_to_retrained=math.nan, flag="", reference_flag="")
    reached = over_all(table, a_test(value="share_of_updates_to_retrained"))
    assert (reached.effect, reached.pairs, reached.left_out) == (0, 8, 0), "never reached"
    table.loc[table.seed == 0, "reference_flag"] = "not found"
    found = over_all(table, a_test(value="share_of_updates_to_retrained"))
    assert (found.pairs, found.left_out) == (6, 2)
    assert over_all(table, a_test()).pairs == 8, "forget accuracy is measured against nothing"


def test_what_the_study_does_not_have_is_not_tested() -> None:
    table = cells(*CLEAR)
    missing = [
        a_test("column", value="nothing"),
        a_test("derived", value="share_of_updates_to_chance"),
        a_test("checkpoint", contrast=["grokked", "memorised"]),
        a_test("control", contrast=["sam", "grokked"]),
        a_test("scope", scope={"forget_sets": ["random"]}),
        a_test("table", table="tuned"),
        a_test("analysis", table="analysis", value="value", scope={"analysis": "cka", "measure": "cka"}),
        a_test("spread", statistic="sd-ratio", contrast=["grokked", "memorised"]),
        a_test("equal", direction="equal", margin=1.0, contrast=["grokked", "memorised"]),
    ]
    found = results(table, *missing)
    assert found.verdict.tolist() == ["not tested here"] * len(missing)
    assert found.pairs.tolist() == [0] * len(missing)
    assert found[["effect", "low", "high", "p", "p_holm"]].isna().all(axis=None)
    one_each = claimed(*[[one] for one in missing], [], [a_test()])
    verdicts = conclude(one_each, evaluate(one_each, {"unlearning": table}, KNOWN)).verdict.tolist()
    assert verdicts == ["not tested here"] * (len(missing) + 1) + ["supported"]


def test_an_analysis_that_is_there_without_the_measure_is_not_tested() -> None:
    table = analysed([("before", "gradient_cosine", "", 0.9, 0.2)])
    test = a_test(table="analysis", value="value", scope={"analysis": "gradient-alignment", "measure": "none"})
    assert over_all(table, test, name="analysis").verdict == "not tested here"


def both(one: list[list[float]], other: list[list[float]]) -> pd.DataFrame:
    """Two columns that test for themselves."""
    return cells(*one).merge(cells(*other, column="retain_accuracy"))


RETAIN = {"value": "retain_accuracy", "direction": "lower"}


@pytest.mark.parametrize(
    ("forget", "retain", "verdict"),
    [
        (CLEAR, CLEAR, "supported"),
        (CLEAR, UNCLEAR, "undecided"),
        (CLEAR, turned(CLEAR), "contradicted"),
        (UNCLEAR, turned(CLEAR), "contradicted"),
        (UNCLEAR, UNCLEAR, "undecided"),
    ],
)
def test_a_claim_needs_all_of_its_tests_and_one_is_enough_against_it(
    forget: list[list[float]], retain: list[list[float]], verdict: str
) -> None:
    given = claimed([a_test(), a_test("r", **RETAIN)])
    found = evaluate(given, {"unlearning": both(forget, retain)}, KNOWN)
    assert conclude(given, found).verdict.tolist() == [verdict]


def test_a_claim_of_which_a_part_cannot_be_tested_is_undecided() -> None:
    given = claimed([a_test(), a_test("r", **RETAIN)])
    found = evaluate(given, {"unlearning": cells(*CLEAR)}, KNOWN)
    assert found[found.setting == ALL].verdict.tolist() == ["supported", "not tested here"]
    assert conclude(given, found).verdict.tolist() == ["undecided"]


def test_what_decides_nothing_decides_nothing() -> None:
    given = claimed([a_test(), a_test("beside", **RETAIN, decides=False)], [a_test("alone", decides=False)])
    found = evaluate(given, {"unlearning": both(CLEAR, turned(CLEAR))}, KNOWN)
    assert found[(found.setting == ALL) & (found.test == "beside")].verdict.tolist() == ["contradicted"]
    assert conclude(given, found).verdict.tolist() == ["supported", "not tested here"]


def test_the_verdict_rests_on_all_settings_together_and_each_has_its_own_row() -> None:
    found = results(cells(*CLEAR), a_test()).set_index("setting")
    assert found.index.tolist() == [ALL, "a", "b"]
    assert found.effect["a"] == pytest.approx(np.mean(CLEAR[0]))
    assert found.effect["b"] == pytest.approx(np.mean(CLEAR[1]))
    # Four pairs cannot reject at 0.05.
    assert found.verdict.to_dict() == {ALL: "supported", "a": "undecided", "b": "undecided"}


# Effect, interval, p and effect size.


def test_in_one_setting_it_is_the_paired_t_interval() -> None:
    first, second = np.array([0.2, 0.5, 0.1, 0.4, 0.45]), np.array([0.6, 0.7, 0.6, 0.55, 0.95])
    found = over_all(cells((first - second).tolist()), a_test())
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    assert found.effect == pytest.approx((first - second).mean())
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.pairs == 5
    # Hedges' g by its gamma functions, with 4 degrees of freedom.
    d = (first - second).mean() / (first - second).std(ddof=1)
    assert found.effect_size == pytest.approx(d * math.gamma(2) / (math.sqrt(2) * math.gamma(1.5)))


def test_over_settings_it_is_the_stratified_interval() -> None:
    """Setting a: mean -.2, variance .02, 2 seeds; b: mean -.5, variance .13, 3 seeds."""
    found = over_all(cells([-0.1, -0.3], [-0.2, -0.4, -0.9]), a_test())
    assert found.effect == pytest.approx((-0.2 - 0.5) / 2)
    a, b = 0.02 / 2 / 4, 0.13 / 3 / 4
    freedom = (a + b) ** 2 / (a**2 / 1 + b**2 / 2)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(a + b)
    assert (found.low, found.high) == pytest.approx((-0.35 - half, -0.35 + half))
    assert found.pairs == 5


def test_with_settings_of_one_variance_and_size_it_is_the_interval_of_their_pooled_spread() -> None:
    """K settings of n seeds with the same spread s: K·(n - 1) degrees of freedom, half-width t·s/√(K·n)."""
    shape = np.array([-0.1, 0.0, 0.1])
    found = over_all(cells(*[(shape + centre).tolist() for centre in (0.4, -0.2, 0.9)]), a_test())
    half = stats.t.ppf(0.975, 6) * 0.1 / math.sqrt(9)
    assert (found.low, found.high) == pytest.approx((1.1 / 3 - half, 1.1 / 3 + half))


def test_without_an_estimate_of_spread_there_is_no_interval() -> None:
    one = over_all(cells([-0.1], [-0.2, -0.4]), a_test())
    assert one.effect == pytest.approx(-0.2)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert one.p == flipped([[-0.1], [-0.2, -0.4]])
    same = over_all(cells([-0.25, -0.25, -0.25]), a_test())
    assert (same.low, same.high) == pytest.approx((-0.25, -0.25))


@pytest.mark.parametrize(
    "differences",
    [
        [[-0.1, -0.3, 0.05]],
        [[-0.1, -0.3], [-0.2, -0.4, -0.9]],
        [[0.1, -0.3, 0.2], [-0.2, 0.4, -0.9, 0.3]],
        [[0.5], [-0.1, -0.12, -0.11], [0.02, -0.3]],
        CLEAR,
        UNCLEAR,
    ],
)
def test_p_is_the_share_of_signs_that_reach_as_far(differences: list[list[float]]) -> None:
    found = results(cells(*differences), a_test()).set_index("setting").p
    assert found[ALL] == pytest.approx(flipped(differences), abs=1e-12)
    for setting, group in zip("abc", differences, strict=False):
        assert found[setting] == pytest.approx(flipped([group]), abs=1e-12)


def test_the_seeds_needed_are_told_of_single_settings() -> None:
    found = results(cells([-0.3, -0.1, 0.1, -0.2], CLEAR[0]), a_test()).set_index("setting").seeds_for_80_power
    assert math.isnan(found[ALL])
    assert found["a"] > found["b"] == 6, "an effect so large needs no more than lets the test reject"


# What counts.


def test_cells_of_a_model_are_averaged_before_anything_else() -> None:
    """Ten methods on the same models are no ten pairs."""
    table = pd.concat([cells([-0.2, -0.4, -0.3]).assign(method=name) for name in ("ga", "scrub")])
    moved = (table.method == "scrub") & (table.checkpoint == "grokked")
    table.loc[moved, "forget_accuracy"] += [0.1, 0.3, 0.5]
    found = over_all(table, a_test())
    assert found.pairs == 3
    by_seed = [(-0.2 - 0.1) / 2, (-0.4 - 0.1) / 2, (-0.3 + 0.2) / 2]
    assert found.effect == pytest.approx(np.mean(by_seed))
    assert found.p == flipped([by_seed])


def test_a_setting_with_more_cells_or_seeds_counts_no_more_than_another() -> None:
    table = pd.concat([cells([-0.3, -0.1], [0.4]), cells([-0.3, -0.1]).assign(method="scrub")])
    assert over_all(table, a_test()).effect == pytest.approx((-0.2 + 0.4) / 2)


def test_a_cell_without_one_side_is_left_out() -> None:
    table = cells([-0.2, -0.4, -0.3])
    table.loc[(table.seed == 1) & (table.checkpoint == "early"), "forget_accuracy"] = np.nan
    alone = table[(table.seed != 2) | (table.checkpoint != "grokked")]
    found = over_all(alone, a_test())
    assert (found.pairs, found.effect) == (1, pytest.approx(-0.2))


def test_references_are_no_unlearning() -> None:
    """Original and retrained models differ between checkpoints too, and nothing of that is a method's doing."""
    own = cells([-0.2, -0.4])
    others = [cells([5.0, 7.0]).assign(method=name) for name in ("original", "retrain")]
    assert over_all(pd.concat([own, *others]), a_test()).effect == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("scope", "effect"),
    [
        ({}, -0.2),
        ({"largest_fraction": 0.3}, -0.1),
        ({"largest_fraction": 0.15}, -0.1),
        ({"forget_sets": ["random"]}, -0.7),
        ({"forget_sets": ["random", "within-classes"]}, (-0.1 - 0.3 - 0.7) / 3),
    ],
)
def test_the_forget_sets_in_scope_count(scope: dict[str, Any], effect: float) -> None:
    sets = {"w15": -0.1, "w50": -0.3, "r15": -0.7, "whole": 9.0}
    table = pd.concat([cells([value], forget_set=name) for name, value in sets.items()])
    assert over_all(table, a_test(scope=scope)).effect == pytest.approx(effect)


def test_the_protocol_in_scope_counts() -> None:
    table = pd.concat([cells([-0.2, -0.4]).assign(protocol="own"), cells([0.5, 0.7]).assign(protocol="shared")])
    # A column of that name is there: the candidate.
    table = table.assign(value=3e-4)
    for protocol, effect in (("own", -0.3), ("shared", 0.6)):
        test = a_test(table="tuned", scope={"protocol": protocol})
        assert over_all(table, test, name="tuned").effect == pytest.approx(effect)


def analysed(rows: list[tuple[str, str, str, float, float]], analysis: str = "align", seeds: int = 2) -> pd.DataFrame:
    """From (stage, measure, part, early, grokked) the rows of an analysis in setting ``a``."""
    return pd.DataFrame(
        [
            {
                **{"setting": "a", "seed": seed, "forget_set": "w15", "analysis": analysis, "checkpoint": checkpoint},
                **{"stage": stage, "measure": measure, "part": part, "value": value + 10 * seed},
            }
            for stage, measure, part, *values in rows
            for checkpoint, value in zip(("early", "grokked"), values, strict=True)
            for seed in range(seeds)
        ]
    )


COSINE = "gradient_cosine"
ALIGNED = analysed(
    [
        ("before", COSINE, "", 0.9, 0.4),
        ("before", COSINE, "features.0", 0.5, 0.9),
        ("before", "pair_cosine_mean", "", 0.1, 0.9),
        ("ga", COSINE, "", 0.8, 0.7),
        ("scrub", COSINE, "", 0.8, 0.5),
        ("retrain", COSINE, "", 0.0, 8.0),
    ]
)


@pytest.mark.parametrize(
    ("scope", "effect"),
    [
        ({"parts": [""], "stages": "before"}, -0.5),
        ({"parts": ["features.0"], "stages": "before"}, 0.4),
        ({"parts": ["", "features.0"], "stages": "before"}, -0.05),
        ({"stages": "before"}, -0.05),
        # Over the methods that unlearn; the reference is none.
        ({"parts": [""], "stages": "after"}, -0.2),
    ],
)
def test_stage_and_parts_of_an_analysis_in_scope_count(scope: dict[str, Any], effect: float) -> None:
    table = pd.concat([ALIGNED, analysed([("before", COSINE, "", 0.0, 3.0)], analysis="other")])
    given = {"analysis": "gradient-alignment", "measure": COSINE, **scope}
    found = over_all(table, a_test(table="analysis", value="value", scope=given), name="analysis")
    assert found.effect == pytest.approx(effect)


def test_after_is_compared_with_before_in_the_same_model() -> None:
    scope = {"analysis": "gradient-alignment", "measure": COSINE, "parts": [""]}
    for checkpoint, effect in (("early", 0.8 - 0.9), ("grokked", (0.7 + 0.5) / 2 - 0.4)):
        contrast = [f"{checkpoint} after", f"{checkpoint} before"]
        test = a_test(table="analysis", value="value", scope=scope, contrast=contrast)
        assert over_all(ALIGNED, test, name="analysis").effect == pytest.approx(effect)


def test_against_compares_two_measures_of_the_same_model() -> None:
    rows = [
        ("before", "measured", "x", 0.5, 0.3),
        ("before", "predicted", "x", 0.6, 0.1),
        ("before", "measured", "y", 9, 9),
    ]
    scope = {"analysis": "gradient-alignment", "measure": "measured", "parts": ["x"], "stages": "before"}
    given = {"contrast": None, "against": "predicted", "direction": "equal", "margin": 0.06}
    found = over_all(analysed(rows), a_test(table="analysis", value="value", scope=scope, **given), name="analysis")
    # Both checkpoints count: (.5 - .6) and (.3 - .1).
    assert found.effect == pytest.approx(0.05)
    assert (found.pairs, found.verdict) == (2, "supported")


def test_checkpoints_are_contrasted_in_what_is_left_of_a_measure_without_its_control() -> None:
    rows = [("before", "cosine", "x", 0.9, 0.1), ("before", "cosine_control", "x", 0.95, 0.3)]
    scope = {"analysis": "gradient-alignment", "measure": "cosine", "parts": ["x"], "stages": "before"}
    test = a_test(table="analysis", value="value", scope=scope, against="cosine_control")
    table = analysed(rows)
    found = over_all(table, test, name="analysis")
    assert found.effect == pytest.approx((0.1 - 0.3) - (0.9 - 0.95))
    assert found.pairs == 2
    gone = table.assign(flag=table.checkpoint.map({"early": "", "grokked": "not found"}))
    found = over_all(gone, test, name="analysis")
    assert (found.pairs, found.left_out, found.cells_left_out) == (0, 2, 2)
    without = over_all(table[table.measure == "cosine"], test, name="analysis")
    assert without.verdict == "not tested here"


def test_a_control_stands_as_a_checkpoint_of_its_setting() -> None:
    base = cells([-0.2, -0.4], [-0.1, -0.1])
    control = base[(base.setting == "a") & (base.checkpoint == "grokked")].assign(setting="a-sam", checkpoint="matched")
    control["forget_accuracy"] += [0.05, 0.15]
    found = results(pd.concat([base, control]), a_test(contrast=["sam", "grokked"], direction="higher"))
    assert found.setting.tolist() == [ALL, "a"], "no setting of its own, and none without the control"
    assert found.effect.tolist() == pytest.approx([0.1, 0.1])
    assert found.pairs.tolist() == [2, 2]
    against_early = over_all(pd.concat([base, control]), a_test(contrast=["sam", "early"]))
    assert against_early.effect == pytest.approx((-0.15 - 0.25) / 2)
    unlike = over_all(pd.concat([base, control.assign(seed=[0, 7])]), a_test(contrast=["sam", "grokked"]))
    assert unlike.pairs == 1, "paired by seed"


def test_a_run_that_never_reaches_the_target_counts_as_its_whole_budget() -> None:
    given = {"setting": "a", "forget_set": "w15", "method": "ga", "checkpoint": "grokked"}
    rows = [(10, 3.0, 0.3), (10, math.nan, 1.0), (10, 0.0, 0.0), (4, 4.0, 1.0), (0, math.nan, 1.0), (5, 8.0, 1.0)]
    table = pd.DataFrame(
        [{**given, "seed": n, "updates": u, "updates_to_chance": reached} for n, (u, reached, _) in enumerate(rows)]
    )
    early = table.assign(checkpoint="early", updates=10, updates_to_chance=0.0)
    test = a_test(value="share_of_updates_to_chance")
    pairs = quantity_pairs({"unlearning": pd.concat([table, early])}, test, KNOWN).set_index("seed")
    assert pairs["first"].tolist() == pytest.approx([share for *_, share in rows])
    assert pairs["second"].tolist() == [0.0] * len(rows)
    without = quantity_pairs({"unlearning": pd.concat([table, early]).drop(columns="updates")}, test, KNOWN)
    assert without.empty


# Equality, and ratios of spreads.


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.01, 0.02, -0.01, 0.0], "supported"),
        ([0.30, 0.31, 0.29, 0.30], "contradicted"),
        ([-0.30, -0.31, -0.29, -0.30], "contradicted"),
        # The mean lies within, the interval does not; the mean lies outside, the interval does not.
        ([0.09, -0.05, 0.1, 0.02], "undecided"),
        ([0.30, 0.0, 0.2, -0.05], "undecided"),
        ([0.0], "undecided"),
    ],
)
def test_equal_holds_where_the_whole_interval_is_within_the_margin(differences: list[float], verdict: str) -> None:
    test = a_test(direction="equal", margin=0.05)
    found = over_all(cells(differences), test)
    if len(differences) > 1:
        mean, half = np.mean(differences), stats.t.ppf(0.975, 3) * np.std(differences, ddof=1) / 2
        inside, outside = abs(mean) + half <= 0.05, abs(mean) - half > 0.05
        assert verdict == ("supported" if inside else "contradicted" if outside else "undecided")
    assert found.verdict == verdict


def spread_out(*settings: tuple[float, float], seeds: int = 3) -> pd.DataFrame:
    """Of each setting the standard deviations of grokked and early over seeds, about levels of their own."""
    shape = np.arange(seeds) - (seeds - 1) / 2
    shape = shape / shape.std(ddof=1)
    rows = [
        {**{"setting": name, "seed": seed, "forget_set": "w15", "method": "ga", "checkpoint": checkpoint},
         "forget_accuracy": level + sd * unit}
        for name, (grokked, early) in zip("abcdefgh", settings, strict=False)
        for checkpoint, sd, level in (("grokked", grokked, 0.3), ("early", early, 0.9))
        for seed, unit in enumerate(shape)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("settings", "direction", "verdict"),
    [
        ([(0.1, 0.4)] * 6, "lower", "supported"),
        ([(0.4, 0.1)] * 6, "lower", "contradicted"),
        ([(0.4, 0.1)] * 6, "higher", "supported"),
        ([(0.1, 0.4)] * 5, "lower", "undecided"),
        ([(0.1, 0.4), (0.4, 0.1)] * 3, "lower", "undecided"),
    ],
)
def test_a_ratio_of_spreads_is_below_or_above_one(
    settings: list[tuple[float, float]], direction: str, verdict: str
) -> None:
    found = over_all(spread_out(*settings), a_test(statistic="sd-ratio", direction=direction))
    shares = [(g - e) / (g + e) for g, e in settings]
    typical = (1 + np.mean(shares)) / (1 - np.mean(shares))
    assert found.effect == pytest.approx(typical)
    assert found.p == pytest.approx(flipped([shares]))
    assert (found.pairs, found.verdict) == (len(settings), verdict)


def test_cells_of_one_setting_are_one_ratio() -> None:
    """Two methods: .1 to .4 and .4 to .4, so on average (-.6 + 0)/2 of the one and 0 of the other setting."""
    table = pd.concat([spread_out((0.1, 0.4), (0.2, 0.2)), spread_out((0.4, 0.4)).assign(method="scrub")])
    found = results(table, a_test(statistic="sd-ratio")).set_index("setting")
    assert found.effect["a"] == pytest.approx((1 - 0.3) / (1 + 0.3))
    assert found.effect[ALL] == pytest.approx((1 - 0.15) / (1 + 0.15))
    assert found.pairs[ALL] == 2


# The correction.

FAMILY = {
    # Of eight pairs, all but a small one on one side, or more of them.
    "one": [-0.5, -0.4, -0.6, -0.45, -0.55, -0.5, -0.52, -0.48],
    "two": [-0.5, -0.4, -0.6, -0.45, -0.55, -0.5, -0.52, 0.1],
    "three": [-0.5, -0.4, -0.6, -0.45, -0.55, -0.5, 0.25, 0.3],
}


def family() -> pd.DataFrame:
    tables = [cells(values, column=name) for name, values in FAMILY.items()]
    return tables[0].merge(tables[1]).merge(tables[2])


def stepped_down(p_values: list[float]) -> list[float]:
    """Holm's procedure one by one, from the smallest."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def test_the_correction_is_over_all_deciding_tests_of_all_claims() -> None:
    given = claimed([a_test("1", value="one"), a_test("3", value="three")], [a_test("2", value="two")])
    found = evaluate(given, {"unlearning": family()}, KNOWN)
    own = found[found.setting == ALL]
    expected = [flipped([FAMILY[name]]) for name in ("one", "three", "two")]
    assert own.p.tolist() == pytest.approx(expected)
    assert len(set(expected)) == 3
    assert own.p_holm.tolist() == pytest.approx(stepped_down(expected))
    assert own.verdict.tolist() == [
        "supported" if p <= LEVEL else "undecided" for p in stepped_down(expected)
    ]  # fmt: skip


def test_an_effect_that_is_clear_alone_may_not_be_among_many() -> None:
    """p = 2/2^6 = 0.031: below the level, and twice that is above it."""
    clear = [-0.5, -0.4, -0.6, -0.45, -0.55, -0.5]
    table = cells(clear).merge(cells([0.5, -0.4, 0.6, -0.45, 0.55, -0.5], column="retain_accuracy"))
    alone = over_all(table, a_test())
    assert (alone.p, alone.p_holm, alone.verdict) == (0.03125, 0.03125, "supported")
    among = over_all(table, a_test(), a_test("r", **RETAIN))
    assert (among.p, among.p_holm, among.verdict) == (0.03125, 0.0625, "undecided")


def test_what_decides_nothing_is_corrected_by_itself() -> None:
    deciding = [a_test("1", value="one"), a_test("2", value="two")]
    beside = [a_test("3", value="three", decides=False), a_test("4", value="one", decides=False)]
    alone = results(family(), *deciding)
    found = results(family(), *deciding, *beside)
    assert found[found.decides].p_holm.tolist() == alone.p_holm.tolist()
    expected = stepped_down([flipped([FAMILY["three"]]), flipped([FAMILY["one"]])])
    assert found[~found.decides & (found.setting == ALL)].p_holm.tolist() == pytest.approx(expected)


def test_single_settings_are_corrected_by_themselves() -> None:
    table = cells(FAMILY["one"], FAMILY["three"])
    found = results(table, a_test()).set_index("setting")
    assert found.p_holm[ALL] == found.p[ALL]
    expected = stepped_down([flipped([FAMILY["one"]]), flipped([FAMILY["three"]])])
    assert found.p_holm[["a", "b"]].tolist() == pytest.approx(expected)


def test_what_could_not_reject_costs_the_others_nothing() -> None:
    """Neither five pairs, whose p is 2/2^5 at least, nor an equality, which its interval decides."""
    five = cells([-0.1, -0.2, -0.3, -0.15, -0.25], column="few")
    table = family().merge(five, how="left")
    tests = [a_test("few", value="few"), a_test("equal", value="three", direction="equal", margin=1.0)]
    found = results(table, a_test("1", value="one"), *tests)
    own = found[found.setting == ALL].set_index("test")
    assert own.p["few"] == 2 / 2**5
    assert own.p_holm["1"] == own.p["1"]
    assert own.p_holm[["few", "equal"]].isna().all()
    assert own.verdict["few"] == "undecided"
    assert own.verdict["equal"] == "supported"
    six = over_all(cells([-0.1, -0.2, -0.3, -0.15, -0.25, -0.2]), a_test())
    assert six.p_holm == 2 / 2**6


def test_where_there_is_nothing_hardly_a_study_finds_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """50 studies of 4 settings and 3 seeds, with six deciding tests of three claims, of which two go together; heavy tails,
    and spreads that differ by setting. A claim that is supported or contradicted in any of them is one error of the study.
    Without the correction it would be about one study in four."""
    # The rows of the single settings, which the verdicts do not rest on, take most of the time.
    monkeypatch.setattr(module, "compare", lambda *given: islice(compare(*given), 1))
    generator = np.random.default_rng(0)
    columns = list("uvwxyz")
    tests = [
        a_test(name, value=name, direction=way) for name, way in zip(columns, ["lower", "higher"] * 3, strict=True)
    ]
    given = claimed(tests[:1], tests[1:3], tests[3:])
    index = pd.MultiIndex.from_product(
        [["a", "b", "c", "d"], range(3), ["w15"], ["ga"], ["early", "grokked"]],
        names=["setting", "seed", "forget_set", "method", "checkpoint"],
    )
    scale = np.repeat([0.01, 0.1, 1.0, 0.3], 6)
    studies, wrong, uncorrected = 50, 0, 0
    for _ in range(studies):
        noise = generator.standard_t(3, (len(index), len(columns))) * scale[:, None]
        noise[:, 2] = noise[:, 1] + 0.1 * noise[:, 2]
        found = evaluate(given, {"unlearning": pd.DataFrame(noise, index, columns).reset_index()}, KNOWN)
        wrong += bool(conclude(given, found).verdict.isin(["supported", "contradicted"]).any())
        uncorrected += bool((found.p <= LEVEL).any())
    most = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / studies)
    assert 0 < wrong / studies <= most < uncorrected / studies


# The claims themselves.

SUBJECTS = [
    "Lower forget accuracy", "Higher retain and test accuracy", "Fewer updates", "Smaller spread over seeds",
    "Lower cosine between the gradients", "Lower linear CKA", "Lower local complexity", "Flatness alone does not explain it",
    "drawn from all classes", "Locally grokked TOFU examples", "p·ρ",
    "Induced grokking",
]  # fmt: skip
DIRECTIONS = {
    1: ["lower"], 2: ["higher", "higher"], 3: ["lower"], 4: ["lower", "lower"], 5: ["lower"], 6: ["lower"],
    7: ["lower", "lower"], 8: ["higher", "lower"], 9: ["lower", "higher", "higher"],
    10: ["lower", "higher", "lower", "higher"],
}  # fmt: skip


def all_tests() -> list[tuple[int, ClaimTest]]:
    return [(claim.id, test) for claim in claims().claims for test in claim.tests]


def test_the_papers_eleven_claims_are_there_in_order_and_then_our_own() -> None:
    found = claims()
    assert [claim.id for claim in found.claims] == list(range(1, 13))
    assert [claim.id for claim in found.claims if claim.published.startswith("none")] == [12]
    for claim, subject in zip(found.claims, SUBJECTS, strict=True):
        assert subject in claim.claim
        assert claim.published
        assert any(test.decides for test in claim.tests)
        names = [test.name for test in claim.tests]
        assert len(set(names)) == len(names)
    assert found.level == LEVEL


def test_the_deciding_tests_say_what_the_paper_says() -> None:
    for claim in claims().claims[:10]:
        deciding = [test for test in claim.tests if test.decides]
        assert [test.direction for test in deciding] == DIRECTIONS[claim.id], claim.id
        if claim.id != 8:
            expected = ["early", "late"] if claim.id == 10 else ["grokked", "early"]
            assert all(test.contrast == expected for test in deciding)
        controls = {5: "gradient_cosine_control", 6: "cka_control"}
        assert all(test.against == controls.get(claim.id) for test in deciding)
    last = [test for test in claims().claims[10].tests if test.decides]
    assert last
    assert all((test.direction, test.against) == ("equal", "module_predicted") for test in last)
    assert {tuple(test.scope.forget_sets) for claim, test in all_tests() if claim == 9} == {("random",)}
    groups = [test for claim, test in all_tests() if claim == 10]
    assert {(tuple(test.scope.forget_sets), test.between) for test in groups} == {(("local-grokking",), "groups")}
    assert [test.scope.matched for test in groups if test.decides] == [None, None, "length", "length"]
    assert {tuple(test.scope.forget_sets) for claim, test in all_tests() if claim not in (9, 10)} == {
        ("within-classes",)
    }


def test_every_verdict_has_memorised_beside_it() -> None:
    """The same test, but for the checkpoint in place of early, and it decides nothing."""
    for claim in claims().claims[:9]:
        others = [(test, claim.with_memorised(test)) for test in claim.deciding if "early" in test.contrast]
        assert others, claim.id
        for test, other in others:
            assert other is not None, (claim.id, test.name)
            assert not other.decides
            assert other.contrast == [{"early": "memorised"}.get(name, name) for name in test.contrast]
            same = {"name", "contrast", "decides"}
            assert other.model_dump(exclude=same) == test.model_dump(exclude=same)
            # What was published stands beside a test that subtracts a control.
            if test.against:
                for one in (test, other):
                    plain = one.model_dump(exclude={"name", "decides", "against"})
                    beside = [
                        x.model_dump(exclude={"name", "decides", "against"}) for x in claim.tests if not x.against
                    ]
                    assert plain in beside, one.name


def test_what_else_a_claim_has_is_not_taken_for_the_test_with_memorised() -> None:
    given = {"contrast": ["grokked", "memorised"], "decides": False}
    unlike = [a_test("u", **given, value="retain_accuracy"), a_test("v", **given, scope={"forget_sets": ["random"]})]
    (claim,) = claimed([a_test(), *unlike]).claims
    assert claim.with_memorised(claim.tests[0]) is None
    sam = a_test("sam", contrast=["sam", "grokked"])
    assert claim.with_memorised(sam) is sam, "it does not compare with early"


def three(fall: list[list[float]], fitted: list[list[float]]) -> pd.DataFrame:
    """``grokked`` differs by ``fall`` from ``early`` and by ``fitted`` from ``memorised``."""
    table = cells(*fall)
    grokked = table[table.checkpoint == "grokked"].reset_index(drop=True)
    less = [value for group in fitted for value in group]
    memorised = grokked.assign(checkpoint="memorised", forget_accuracy=grokked.forget_accuracy - less)
    return pd.concat([table, memorised])


@pytest.mark.parametrize(
    ("fitted", "with_memorised"), [(CLEAR, "supported"), (UNCLEAR, "undecided"), (turned(CLEAR), "contradicted")]
)
def test_the_verdict_with_memorised_is_told_beside_the_verdict(fitted: list[list[float]], with_memorised: str) -> None:
    beside = a_test("m", contrast=["grokked", "memorised"], decides=False)
    given = claimed([a_test(), beside], [a_test("s", contrast=["sam", "grokked"])], [a_test()])
    found = evaluate(given, {"unlearning": three(CLEAR, fitted)}, KNOWN)
    concluded = conclude(given, found)
    assert concluded.verdict.tolist() == ["supported", "not tested here", "supported"]
    # Of the second nothing compares with early, and the third lacks the test.
    assert concluded.with_memorised.tolist() == [with_memorised, "", "not tested here"]
    written = page(given, concluded, found)
    assert f"Verdict: **supported**. With memorised in place of early: **{with_memorised}**." in written
    assert "*with memorised:* m" in written
    assert "*beside:*" not in written


def test_the_tests_with_memorised_are_corrected_as_the_deciding_ones_are() -> None:
    """Whatever else stands beside."""
    beside = [a_test("m", contrast=["grokked", "memorised"], decides=False), a_test("b", **RETAIN, decides=False)]
    more = [a_test(f"b{n}", **RETAIN, contrast=["early", "grokked"], decides=False) for n in range(9)]
    table = three(CLEAR, CLEAR).assign(retain_accuracy=lambda rows: rows.forget_accuracy)
    found = results(table, a_test(), *beside, *more).query("setting == 'all'").set_index("test")
    assert found.p_holm["t"] == found.p["t"]
    assert found.p_holm["m"] == found.p["m"] == found.p["t"]
    assert found.p_holm["b"] == pytest.approx(min(10 * found.p["b"], 1))


def tiny() -> Probe:
    generator = torch.Generator().manual_seed(0)
    model = MLP(DataShape((6,), 3), hidden=[8], activation="relu", bias=True, initialisation="default")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    sets = {
        name: Examples(torch.randn(n, 6, generator=generator), torch.arange(n) % 3)
        for name, n in (("forget", 6), ("retain", 9), ("validation", 6), ("test", 6))
    }
    state = {name: value.clone() for name, value in model.state_dict().items()}
    # Nothing that a claim asks of the models reads the recipe.
    return Probe(model.eval(), sets, Classification(loss="cross-entropy"), 0, None, state, state)


def test_every_measure_of_a_model_that_a_claim_uses_is_one_that_its_analysis_has() -> None:
    probe, has = tiny(), {}
    used = [(test.scope, test.against) for _, test in all_tests() if test.table == "analysis"]
    for kind in {scope.analysis for scope, _ in used}:
        has[kind] = {(row.measure, row.part) for row in ANALYSES[kind]().spec().build(probe)}
    for scope, against in used:
        for measure in filter(None, (scope.measure, against)):
            for part in scope.parts:
                assert (measure, part) in has[scope.analysis], (scope.analysis, measure, part)


def test_every_stage_that_a_claim_asks_of_an_analysis_is_one_at_which_it_is_done() -> None:
    for _, test in all_tests():
        if test.table == "analysis":
            stages = [test.scope.stages] if test.scope.stages else ["before", "after"]
            assert {*stages} <= {*ANALYSES[test.scope.analysis]().at}, test.name
    assert BEFORE == "before"


def test_every_measure_of_a_cell_that_a_claim_uses_is_one_that_some_measure_has() -> None:
    rows = [
        {"split": split, "label": n % 2, "loss": 0.1 + n, "correct": n % 3 > 0}
        | {"paraphrased_question_loss": 0.2 + n, "paraphrased_question_strength": 0.5}
        for split in ("forget", "retain", "test")
        for n in range(12)
    ]
    outputs, trajectory = pd.DataFrame(rows), {"update": [0, 1], "forget_loss": [0.1, 0.2]}
    trajectory |= {f"{split}_accuracy": [1.0, 0.1] for split in ("forget", "retain", "test")}
    cell = Cell(outputs, outputs, outputs, pd.DataFrame(trajectory), 0.1, 0)
    # What ``jobs/measure.py`` adds.
    row = {"setting": "a", "seed": 0, "forget_set": "w15", "method": "ga", "updates": 1}
    for kind in ("accuracy", "retrain-gap", "updates-to-target", "extraction-strength", "paraphrases"):
        row |= METRICS[kind]().spec().build(cell)
    table = pd.DataFrame([{**row, "checkpoint": name} for name in ("early", "grokked")])
    for _, test in all_tests():
        if test.table == "unlearning":
            scope = test.scope.model_copy(update={"forget_sets": ["within-classes"], "matched": None})
            changes = {"contrast": ["grokked", "early"], "scope": scope, "between": "checkpoints"}
            anywhere = test.model_copy(update=changes)
            assert len(quantity_pairs({"unlearning": table}, anywhere, KNOWN)) == 1, test.name


def test_every_checkpoint_and_control_that_a_claim_names_is_one_that_a_study_has() -> None:
    laptop = load_study(Path(__file__).parents[2] / "config.yaml")
    names = {name for setting in laptop.settings for name in laptop.checkpoints_of(setting)}
    levers = load_study(Path(__file__).parents[2] / "workflow" / "studies" / "levers.yaml")
    controls = [*laptop.settings.values(), *levers.settings.values()]
    names |= {setting.control.name for setting in controls if setting.control} | {"induced-*"}
    for _, test in all_tests():
        if test.between == "groups":
            for group in test.contrast or []:
                LocalGrokking(group=group, pairs=1, matched=test.scope.matched)
            continue
        for name in test.contrast or []:
            assert name.removesuffix(" after").removesuffix(" before") in names, test.name


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"contrast": None}, "at least one of them"),
        ({"direction": "equal"}, "one with direction equal, none otherwise"),
        ({"margin": 0.1}, "one with direction equal, none otherwise"),
        ({"contrast": ["grokked"]}, "at least 2"),
        ({"direction": "same"}, "'lower', 'higher' or 'equal'"),
    ],
)
def test_a_test_that_decides_nothing_clear_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        a_test(**changes)


def test_the_small_study_can_be_decided_by_the_claims() -> None:
    """Every claim goes through, whatever the study lacks."""
    study = Study.model_validate(STUDY)
    assert study.likelihood_ratio_attack
    found = evaluate(claims(), {"unlearning": cells(*CLEAR, forget_set="w50")}, KNOWN)
    verdicts = conclude(claims(), found).set_index("id").verdict
    assert len(verdicts) == 12
    assert verdicts[1] == "supported"
    assert {*verdicts[[3, 5, 6, 7, 8, 9, 10, 11, 12]]} == {"not tested here"}
