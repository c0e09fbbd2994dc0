"""The claim that induced grokking unlearns as waited-for grokking does: on tables whose effects are known, and its equivalence
tests against two one-sided t-tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from grokforget.config.claims import Claims, claims
from grokforget.config.loader import load_study
from grokforget.config.specs.base import Meanings
from grokforget.statistics.claims import ALL, conclude, evaluate
from grokforget.tables.claims import page, with_statements

TWELVE = claims().claims[11]
ALONE = claims().model_copy(update={"claims": [TWELVE]})
POOLED = "forget accuracy, induced - grokked"
PLAIN = {
    "forget_sets": {"w50": {"kind": "within-classes", "fraction": 0.5}},
    "references": ["original", "retrain"],
    "original": "original",
}
LEVERS = {"a-muon": "induced-muon", "a-jacobian": "induced-jacobian"}
STUDY = Meanings.model_validate(
    {**PLAIN, "controls": {name: {"of": "a", "name": lever} for name, lever in {**LEVERS, "a-sam": "sam"}.items()}}
)


def rows(setting: str, checkpoint: str, values: list[float], method: str = "ga", flag: str = "") -> pd.DataFrame:
    """A row a seed, its value the same of all three accuracies."""
    seeds = range(len(values))
    table = pd.DataFrame({"setting": setting, "checkpoint": checkpoint, "seed": seeds, "flag": flag})
    parts = {f"{part}_accuracy": values for part in ("forget", "retain", "test")}
    return table.assign(forget_set="w50", method=method, train_set="full", **parts)


def unlearned(*levers: list[float], base: list[float]) -> pd.DataFrame:
    """``grokked`` of setting a, and each lever so much above it, seed by seed."""
    named = zip(LEVERS, levers, strict=False)
    of_levers = [rows(name, "matched", [b + d for b, d in zip(base, more, strict=True)]) for name, more in named]
    return pd.concat([rows("a", "grokked", base), *of_levers], ignore_index=True)


def found(table: pd.DataFrame, study: Meanings = STUDY, given: Claims = ALONE) -> pd.DataFrame:
    tests = evaluate(given, {"unlearning": table}, study)
    return tests[tests.setting == ALL].set_index("test")


def verdict(table: pd.DataFrame) -> str:
    return str(conclude(ALONE, evaluate(ALONE, {"unlearning": table}, STUDY)).verdict.item())


def test_it_is_decided_by_the_mean_over_levers_in_three_accuracies_within_five_points() -> None:
    assert [test.value for test in TWELVE.deciding] == ["forget_accuracy", "retain_accuracy", "test_accuracy"]
    for test in TWELVE.deciding:
        assert (test.contrast, test.direction, test.margin) == (["induced-*", "grokked"], "equal", 0.05)
    assert {test.direction for test in TWELVE.tests} == {"equal"}, (
        "no test of it is corrected with those of other claims"
    )


def test_every_lever_by_itself_is_a_control_of_the_study_of_levers() -> None:
    study = load_study(Path(__file__).parents[2] / "workflow" / "studies" / "levers.yaml")
    controls = {one.control.name for one in study.settings.values() if one.control}
    named = {name for test in TWELVE.tests for name in test.contrast or [] if "induced-" in name} - {"induced-*"}
    assert named == {name for name in controls if name.startswith("induced-")}
    assert all(study.checkpoints_of(name) == ["matched"] for name, one in study.settings.items() if one.control
               and one.control.name.startswith("induced-"))  # fmt: skip


def test_levers_that_end_where_the_base_does_are_equivalent_and_others_are_not() -> None:
    base = [0.3, 0.5, 0.4, 0.6]
    assert verdict(unlearned([0.01, -0.01, 0.0, 0.02], [0.0, 0.01, -0.02, 0.0], base=base)) == "supported"
    assert verdict(unlearned([0.2, 0.21, 0.2, 0.22], [0.2, 0.19, 0.2, 0.2], base=base)) == "contradicted"
    assert verdict(unlearned([0.2, -0.2, 0.1, 0.0], [0.0, 0.0, 0.1, 0.0], base=base)) == "undecided"


def test_every_lever_counts_as_much_and_is_told_alone() -> None:
    given = found(unlearned([0.1, 0.1, 0.1], [-0.1, -0.1, 0.1], base=[0.3, 0.5, 0.4]))
    assert given.effect[POOLED] == pytest.approx(np.mean([0.0, 0.0, 0.1]))
    assert given.pairs[POOLED] == 3
    assert given.effect["forget accuracy, muon - grokked"] == pytest.approx(0.1)
    assert given.effect["forget accuracy, jacobian - grokked"] == pytest.approx(-0.1 / 3)
    assert given.verdict["forget accuracy, transfer - grokked"] == "not tested here"


def test_a_control_that_is_no_lever_is_not_among_them() -> None:
    table = unlearned([0.01, 0.0, 0.0], base=[0.3, 0.5, 0.4])
    sam = rows("a-sam", "matched", [0.9, 0.9, 0.9])
    assert found(pd.concat([table, sam])).effect[POOLED] == pytest.approx(found(table).effect[POOLED])


def test_the_mean_is_over_the_levers_that_grokked_and_the_others_are_counted() -> None:
    table = unlearned([0.1, 0.1, 0.1], [0.3, 0.3, 0.3], base=[0.3, 0.5, 0.4])
    table.loc[(table.setting == "a-jacobian") & (table.seed > 0), "flag"] = "not-found"
    given = found(table)
    assert given.effect[POOLED] == pytest.approx(np.mean([0.2, 0.1, 0.1]))
    assert given[["pairs", "left_out", "cells_left_out"]].loc[POOLED].tolist() == [3, 0, 2]
    table.loc[(table.setting == "a") & (table.seed == 2), "flag"] = "not-found"
    given = found(table)
    assert given.effect[POOLED] == pytest.approx(np.mean([0.2, 0.1]))
    assert given[["pairs", "left_out"]].loc[POOLED].tolist() == [2, 1], "nothing to be matched with"


@pytest.mark.parametrize("study", [Meanings.model_validate(PLAIN), STUDY.model_copy(update={"controls": {}})])
def test_a_study_without_levers_is_not_asked_and_it_is_said_why(study: Meanings) -> None:
    table = rows("a", "grokked", [0.3, 0.5])
    tests = evaluate(claims(), {"unlearning": table}, study)
    assert 12 not in set(tests.claim)
    assert set(tests.claim) >= {*range(1, 10), 11}, "the others are"
    verdicts = conclude(claims(), tests)
    assert verdicts.set_index("id").verdict[12] == "not tested here"
    assert with_statements(verdicts, tests).claim.tolist().count(12) == 1
    own = page(claims(), verdicts, tests).split("## 12. ")[1]
    assert own.endswith(f"Published: none, the claim is our own. Verdict: **not tested here**: {TWELVE.why_not}.\n")


def test_with_levers_the_page_tells_every_test_of_it() -> None:
    tests = evaluate(claims(), {"unlearning": unlearned([0.01, 0.0, 0.02], base=[0.3, 0.5, 0.4])}, STUDY)
    own = page(claims(), conclude(claims(), tests), tests).split("## 12. ")[1]
    assert TWELVE.why_not not in own
    assert all(test.name in own for test in TWELVE.tests)
    assert "+1.0 [" in own, "in points"


def tost(differences: np.ndarray, margin: float) -> float:
    """p of two one-sided t-tests: the larger one."""
    lower = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    upper = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    return float(max(lower, upper))


def test_equal_is_two_one_sided_tests_at_half_the_level() -> None:
    generator = np.random.default_rng(0)
    pooled = ALONE.model_copy(update={"claims": [TWELVE.model_copy(update={"tests": TWELVE.tests[:1]})]})
    verdicts = []
    for _ in range(60):
        differences = generator.normal(generator.uniform(0, 0.06), generator.uniform(0.005, 0.05), size=8)
        row = found(unlearned(list(differences), base=[0.4] * 8), given=pooled).loc[POOLED]
        p = tost(differences, 0.05)
        assert (row.verdict == "supported") == (p <= 0.025), (p, row.verdict)
        verdicts.append((row.verdict, p <= 0.05))
    kinds = {one for one, _ in verdicts}
    assert {"supported", "undecided"} <= kinds
    assert ("undecided", True) in verdicts, "an interval of 90 % would have found more"


def test_over_settings_the_bounds_are_those_of_the_strata() -> None:
    """Two settings of 4 and 6 seeds: by hand, the mean of means, its variance, and Satterthwaite's degrees of freedom."""
    study = STUDY.model_copy(
        update={
            "controls": {
                **STUDY.controls,
                **Meanings.model_validate({"controls": {"b-muon": {"of": "b", "name": "induced-muon"}}}).controls,
            }
        }
    )
    one, other = np.array([0.01, 0.03, -0.01, 0.02]), np.array([0.0, 0.02, 0.01, -0.02, 0.03, 0.01])
    table = unlearned(list(one), base=[0.5] * 4)
    second = [rows("b", "grokked", [0.2] * 6), rows("b-muon", "matched", list(0.2 + other))]
    row = found(pd.concat([table, *second]), study).loc[POOLED]
    parts = [one.var(ddof=1) / 4 / 4, other.var(ddof=1) / 6 / 4]
    error = sum(parts) ** 0.5
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 3 + parts[1] ** 2 / 5)
    mean = (one.mean() + other.mean()) / 2
    assert row.effect == pytest.approx(mean)
    above, below = ((mean - end) / error for end in (-0.05, 0.05))
    p = max(stats.t.sf(above, freedom), stats.t.cdf(below, freedom))
    assert (row.verdict == "supported") == (p <= 0.025)
    assert stats.t.ppf(0.975, freedom) * error == pytest.approx(row.high - row.effect)
