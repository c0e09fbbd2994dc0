"""Claim 10, of groups of examples that are forgotten from one model: by tables made by hand, on which the verdict is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from grokforget.config.claims import Claim, Claims, claims
from grokforget.config.claims import Test as ClaimTest
from grokforget.config.specs.base import ForgetSetMeaning, Meanings
from grokforget.config.specs.tables import ClaimsSpec
from grokforget.jobs.claims import claims as decide
from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job
from grokforget.statistics.claims import ALL, conclude, evaluate, quantity_pairs
from grokforget.tables.claims import page

TEN = claims().claims[9]
SEEDS = 8
GROUPS = {
    "e9": ("early", 9, None), "l9": ("late", 9, None), "e5": ("early", 5, None), "l5": ("late", 5, None),
    "e9-again": ("early", 9, None), "e9-like": ("early", 9, "length"), "l9-like": ("late", 9, "length"),
    "any9": ("random", 9, None),
}  # fmt: skip
STUDY = Meanings(
    forget_sets={
        **{
            name: ForgetSetMeaning(kind="local-grokking", group=group, pairs=pairs, matched=matched)
            for name, (group, pairs, matched) in GROUPS.items()
        },
        "random": ForgetSetMeaning(kind="random", fraction=0.1),
    },
    references=["original", "retrain"],
)
Values = dict[str, tuple[float, float]]
"""By forget set: extraction strength on forget and on retain set."""
BETTER: Values = {"e9": (0.2, 0.9), "l9": (0.5, 0.8), "e9-like": (0.3, 0.85), "l9-like": (0.4, 0.8)}


def cells(
    values: Values, seed: int, method: str = "ga", checkpoint: str = "final", wobble: float = 0
) -> list[dict[str, Any]]:
    """What is forgotten of early groups differs by ``wobble`` from seed to seed, so that no two pairs are the same."""
    where = {"setting": "a", "method": method, "checkpoint": checkpoint, "seed": seed, "flag": ""}
    return [
        {
            **{**where, "forget_set": name},
            "forget_extraction_strength": forget + wobble * (name[0] == "e"),
            "retain_extraction_strength": retain + wobble * (name[0] == "e"),
        }
        for name, (forget, retain) in values.items()
    ]


def table_of(values: Values, seeds: int = SEEDS, **changes: Values) -> pd.DataFrame:
    """The values of every seed under two methods that unlearn; what ``changes`` has by a method's name differs there."""
    rows = []
    for seed in range(seeds):
        for method in ("ga", "npo", *changes):
            rows += cells(changes.get(method, values), seed, method, wobble=seed / 1000)
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame, study: Meanings = STUDY) -> tuple[pd.Series, pd.DataFrame]:
    """Of claim 10, and of its deciding tests over all settings."""
    found = evaluate(claims(), {"unlearning": table}, study)
    concluded = conclude(claims(), found).set_index("id")
    own = found[(found.claim == 10) & (found.setting == ALL) & found.decides.astype(bool)]
    return concluded.loc[10], own.set_index("test")


def test_it_is_supported_where_early_groups_are_forgotten_better_at_any_length() -> None:
    claim, tests = verdict(table_of(BETTER))
    assert (claim.verdict, claim.with_memorised) == ("supported", "")
    assert tests.pairs.tolist() == [SEEDS] * 4
    # The wobble's mean is .0035.
    assert tests.effect.tolist() == pytest.approx([-0.2965, 0.1035, -0.0965, 0.0535])
    # All signs agree in eight pairs: 2/2^8, and four tests by Holm.
    assert tests.p_holm.tolist() == pytest.approx([4 * 2 / 2**SEEDS] * 4)


def test_it_is_contradicted_where_they_are_forgotten_worse() -> None:
    claim, tests = verdict(table_of({**BETTER, "e9": (0.6, 0.9)}))
    assert claim.verdict == "contradicted"
    assert tests.verdict.tolist() == ["contradicted", "supported", "supported", "supported"]


def test_merely_short_answers_are_no_support() -> None:
    """Those of like length differ from seed to seed in sign, or are forgotten worse."""
    table = table_of(BETTER)
    alike = (table.forget_set == "e9-like") & (table.seed % 2 == 1)
    table.loc[alike, "forget_extraction_strength"] = 0.5
    claim, tests = verdict(table)
    assert (claim.verdict, claim.why) == ("undecided", "")
    assert tests.verdict.tolist() == ["supported", "supported", "undecided", "supported"]
    claim, _ = verdict(table_of({**BETTER, "e9-like": (0.6, 0.85)}))
    assert claim.verdict == "contradicted"


def test_without_groups_of_like_length_it_stays_open() -> None:
    claim, tests = verdict(table_of({name: BETTER[name] for name in ("e9", "l9")}))
    assert claim.verdict == "undecided"
    assert tests.verdict.tolist() == ["supported", "supported", "not tested here", "not tested here"]


def test_with_too_few_seeds_it_is_undecided_and_says_so() -> None:
    claim, tests = verdict(table_of(BETTER, seeds=5))
    assert (claim.verdict, claim.why) == ("undecided", "5 (setting, seed) pairs left; 6 are needed")
    assert tests.p_holm.isna().all()


def test_what_unlearns_nothing_and_what_is_flagged_do_not_count() -> None:
    worse: Values = {**BETTER, "e9": (0.9, 0.1)}
    table = table_of(BETTER, original=worse, retrain=worse)
    diverged = pd.DataFrame([row for seed in range(SEEDS) for row in cells(worse, seed, "kl")]).assign(flag="diverged")
    expected = verdict(table_of(BETTER))[1].effect.tolist()
    assert verdict(pd.concat([table, diverged]))[1].effect.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("study", [Meanings(), Meanings(forget_sets={"random": STUDY.forget_sets["random"]})])
def test_a_study_without_groups_is_not_asked_and_says_why(study: Meanings) -> None:
    found = evaluate(claims(), {"unlearning": table_of(BETTER)}, study)
    assert 10 not in set(found.claim), "its tables are as they were without the tests between groups"
    concluded = conclude(claims(), found)
    assert concluded.set_index("id").loc[10, "verdict"] == "not tested here"
    text = page(claims(), concluded, found)
    assert f"Published: Tables 2 and 12. Verdict: **not tested here**: {TEN.why_not}." in text


def test_why_it_was_not_asked_is_not_said_where_it_was(tmp_path: Path) -> None:
    write_table(tmp_path / "unlearning.parquet", table_of(BETTER))
    outputs = {"tests": tmp_path / "tests.parquet", "csv": tmp_path / "claims.csv", "md": tmp_path / "claims.md"}
    decide(Job({"unlearning": [tmp_path / "unlearning.parquet"]}, outputs, ClaimsSpec(claims=claims(), study=STUDY)))
    text = outputs["md"].read_text()
    assert "Published: Tables 2 and 12. Verdict: **supported**.\n" in text
    assert TEN.why_not not in text
    assert "| forget strength, early - late, alike in length" in text
    assert "-9.7 [-9.9, -9.4] points" in text
    assert set(read_table(outputs["tests"]).query("claim == 10").test) == {test.name for test in TEN.tests}


# How groups are paired.


def between_groups(**scope: Any) -> ClaimTest:
    given = {"name": "t", "table": "unlearning", "value": "forget_extraction_strength", "direction": "lower"}
    scope = {"forget_sets": ["local-grokking"], **scope}
    return ClaimTest.model_validate({**given, "contrast": ["early", "late"], "between": "groups", "scope": scope})


def test_groups_are_compared_as_they_are_forgotten_from_the_same_checkpoint_in_as_many_pairs() -> None:
    """Each number of pairs with its own, draws by their mean, other checkpoints apart, twins of like length among themselves."""
    values = {"e9": 0.5, "e9-again": 0.3, "l9": 0.1, "e5": 0.9, "l5": 0.2, "e9-like": 0.6, "l9-like": 0.75, "random": 0}
    later = {"e9": 0.8, "l9": 0.7, "e9-like": 0.0}

    def rows(given: dict[str, float], **where: Any) -> list[dict[str, Any]]:
        return cells({name: (value, 0) for name, value in given.items()}, **{"seed": 0, **where})

    table = pd.DataFrame([*rows(values), *rows(later, checkpoint="grokked"), *rows({"e5": 0.4}, seed=1)])
    pairs = quantity_pairs({"unlearning": table}, between_groups(), STUDY)
    found = pairs.set_index("forget_set")[["first", "second"]].to_dict("index")
    assert {name: tuple(row.values()) for name, row in found.items()} == {
        "final 9": pytest.approx((0.4, 0.1)),
        "final 5": (0.9, 0.2),
        "grokked 9": (0.8, 0.7),
    }
    alike = quantity_pairs({"unlearning": table}, between_groups(matched="length"), STUDY)
    assert alike[["forget_set", "first", "second"]].to_numpy().tolist() == [["final 9", 0.6, 0.75]]
    assert quantity_pairs({"unlearning": table}, between_groups(matched="loss"), STUDY).empty
    of_checkpoints = {"contrast": ["grokked", "final"], "between": "checkpoints", "scope": {}}
    plain = ClaimTest.model_validate({**between_groups().model_dump(), **of_checkpoints})
    assert quantity_pairs({"unlearning": table}, plain, STUDY).empty, "checkpoints are compared on sets of classes"


def test_early_groups_stand_beside_random_ones() -> None:
    rows = [row for seed in range(SEEDS) for row in cells({"e9": (0.2, 0.9), "any9": (0.3, 0.7)}, seed)]
    found = evaluate(claims(), {"unlearning": pd.DataFrame(rows)}, STUDY)
    of_random = found[found.test.str.contains("early - random") & (found.setting == ALL)]
    assert of_random.effect.tolist() == pytest.approx([-0.1, 0.2])
    assert not of_random.decides.any()


def test_matched_forgetting_is_read_where_the_retrained_model_is() -> None:
    shared = {"setting": "a", "method": "ga", "checkpoint": "final", "chosen": True, "flag": ""}
    rows = [
        {**shared, "seed": seed, "forget_set": name, "level": level, "collateral": value}
        for seed in range(SEEDS)
        for level, extra in (("retrained", 0), ("chance", 0.5))
        for name, value in (("e9", 0.1), ("l9", 0.3 + extra))
    ]
    found = evaluate(claims(), {"matched": pd.DataFrame(rows)}, STUDY)
    (row,) = found[found.test.str.startswith("collateral") & (found.setting == ALL) & (found.pairs > 0)].itertuples()
    assert (row.effect, row.claim) == (pytest.approx(-0.2), 10)


@pytest.mark.parametrize(
    "changes",
    [
        {"between": "groups"},
        {"scope": {"forget_sets": ["local-grokking"]}},
        {"between": "groups", "scope": {"forget_sets": ["local-grokking", "random"]}},
        {"between": "groups", "scope": {"forget_sets": ["local-grokking"]}, "table": "analysis", "value": "value"},
    ],
)
def test_what_a_contrast_of_groups_is_between_is_said(changes: dict[str, Any]) -> None:
    given = {"name": "t", "table": "unlearning", "value": "v", "contrast": ["early", "late"], "direction": "lower"}
    with pytest.raises(ValueError, match="a contrast without what it is between"):
        ClaimTest.model_validate({**given, **changes})


def test_groups_need_no_memorised_beside_them() -> None:
    """One of the groups may be called memorised, and is another thing than the checkpoint."""
    given = Claims(level=0.05, claims=[Claim(id=1, claim="c", published="-", tests=[between_groups()])])
    found = evaluate(given, {"unlearning": table_of(BETTER)}, STUDY)
    assert conclude(given, found).with_memorised.tolist() == [""]
