"""The verdicts on the claims as a table and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from grokforget.statistics.claims import ALL, NOT_TESTED

if TYPE_CHECKING:
    from grokforget.config.claims import Claim, Claims, Test

NOTE = (
    "Each claim was given its measure, contrast, scope and decision rule in `workflow/claims.yaml` beforehand. An effect is "
    "the mean over settings of the mean difference over cells, with its 95 % interval (Student's t, settings as strata); p "
    "is an exact two-sided sign-flip test over (setting, seed) pairs, corrected by Holm over all deciding tests of all "
    "claims, at level {level}, and separately over their counterparts, over all others, and over those of the single "
    "settings. The counterpart of a deciding test has `memorised` in place of `early`: `early` has not fitted its training "
    "data, so that only what also holds against `memorised` is grokking's, and not that of having fitted at all. `pairs` "
    "are the (setting, seed) pairs (settings, for ratios of spreads); with fewer than {least} no such test can reject, and "
    "the verdict is undecided. Rows "
    "that are flagged count nowhere: of runs that did not reach what the checkpoint's name says, and of models whose outputs "
    "are no numbers. `left out` are the pairs that lose all their cells by that, and the cells, those of other pairs among "
    "them. The published figures are of other data and larger models."
)


def with_statements(verdicts: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``tests``, each with its claim, the published figure and the claim's verdict; a claim without tests has
    one row."""
    of_claims = {"id": "claim", "claim": "statement", "verdict": "claim_verdict", "why": "claim_why"}
    of_claims["with_memorised"] = "claim_with_memorised"
    of_tests = {"verdict": "test_verdict", "why": "test_why"}
    return verdicts.rename(columns=of_claims).merge(tests.rename(columns=of_tests), on="claim", how="left")


def page(claims: Claims, verdicts: pd.DataFrame, tests: pd.DataFrame) -> str:
    """The verdicts on one page: all claims, then each with its tests, over all settings and in each."""
    least = math.ceil(1 - math.log2(claims.level))
    heads = [
        {
            **{"": row.id, "claim": row.claim, "published": row.published, "verdict": f"**{row.verdict}**"},
            "with memorised in place of early": row.with_memorised or "–",
        }
        for row in verdicts.itertuples()
    ]
    parts = ["# Claims", NOTE.format(level=claims.level, least=least), markdown(pd.DataFrame(heads))]
    for claim in claims.claims:
        own = tests[tests.claim == claim.id]
        parts.append(f"## {claim.id}. {claim.claim}")
        verdict, why, other = verdicts[verdicts.id == claim.id][["verdict", "why", "with_memorised"]].iloc[0]
        why = why or (claim.why_not if verdict == NOT_TESTED else "")
        why = f": {why}" if why else ""
        other = f" With memorised in place of early: **{other}**." if other else ""
        parts.append(f"Published: {claim.published}. Verdict: **{verdict}**{why}.{other}")
        if len(set(own.setting) - {ALL}) == 1:
            own = own[own.setting == ALL]
        if len(own):
            rows = [line(row, test, role) for test, role in in_order(claim) for row in rows_of(own, test)]
            parts.append(markdown(pd.DataFrame(rows)))
    return "\n\n".join(parts) + "\n"


def in_order(claim: Claim) -> Iterator[tuple[Test, str]]:
    """The tests of a claim, each with what it is: every deciding one and its counterpart, then the others."""
    told = []
    for test in claim.deciding:
        other = claim.with_memorised(test)
        pair = [(test, "")] if other is None or other is test else [(test, ""), (other, "*with memorised:* ")]
        told += [one for one, _ in pair]
        yield from pair
    yield from ((test, "*beside:* ") for test in claim.tests if test not in told)


def rows_of(tests: pd.DataFrame, test: Test) -> list[dict[Any, Any]]:
    return tests[tests.test == test.name].to_dict("records")


def line(row: Mapping[str, Any], test: Test, role: str) -> dict[str, Any]:
    """A test in one setting, or over all, as text."""
    return {
        "test": f"{role}{test.name}" if row["setting"] == ALL else "",
        "setting": row["setting"],
        "effect": "–" if math.isnan(row["effect"]) else interval(row, test.unit),
        "p": number(row["p"], 3),
        "p (Holm)": number(row["p_holm"], 3),
        "effect size": number(row["effect_size"], 2),
        "pairs": row["pairs"],
        "left out": f"{row['left_out']} pairs, {row['cells_left_out']} cells" if row["cells_left_out"] else "",
        "seeds for 80 % power": number(row["seeds_for_80_power"], 0),
        "verdict": row["verdict"],
    }


def interval(row: Mapping[str, Any], unit: str) -> str:
    """``effect [low, high] unit``, with as many digits as its size asks for."""
    factor = 100 if unit == "points" else 1
    effect, low, high = (factor * row[name] for name in ("effect", "low", "high"))
    digits = 1 if unit == "points" or abs(effect) >= 100 else 3 if abs(effect) < 10 else 2
    sign = "" if unit == "×" else "+"
    ends = "" if math.isnan(low) else f" [{low:{sign}.{digits}f}, {high:{sign}.{digits}f}]"
    return f"{effect:{sign}.{digits}f}{ends} {unit}".strip()


def number(value: float, digits: int) -> str:
    """Rounded, or a dash."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def markdown(table: pd.DataFrame) -> str:
    return str(table.to_markdown(index=False, disable_numparse=True))
