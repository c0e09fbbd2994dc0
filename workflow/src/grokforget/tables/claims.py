"""The verdicts on the paper's claims as a table and as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from grokforget.statistics.claims import ALL

if TYPE_CHECKING:
    from grokforget.config.claims import Claims

NOTE = (
    "Each claim was given its measure, contrast, scope and decision rule in `workflow/claims.yaml` beforehand. An effect is "
    "the mean over settings of the mean difference over cells, with its 95 % interval (Student's t, settings as strata); p "
    "is an exact two-sided sign-flip test over (setting, seed) pairs, corrected by Holm over all deciding tests of all "
    "claims, at level {level}, and separately over those of the single settings. `pairs` are the (setting, seed) pairs "
    "(settings, for ratios of spreads); with fewer than {least} no such test can reject, and the verdict is undecided. Rows "
    "that are flagged count nowhere: of runs that did not reach what the checkpoint's name says, and of models whose outputs "
    "are no numbers. `left out` are the pairs that lose all their cells by that, and the cells, those of other pairs among "
    "them. The published figures are of other data and larger models."
)


def with_statements(verdicts: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``tests``, each with its claim, the published figure and the claim's verdict; a claim without tests has
    one row."""
    of_claims = {"id": "claim", "claim": "statement", "verdict": "claim_verdict", "why": "claim_why"}
    of_tests = {"verdict": "test_verdict", "why": "test_why"}
    return verdicts.rename(columns=of_claims).merge(tests.rename(columns=of_tests), on="claim", how="left")


def page(claims: Claims, verdicts: pd.DataFrame, tests: pd.DataFrame) -> str:
    """The verdicts on one page: all claims, then each with its tests, over all settings and in each."""
    least = math.ceil(1 - math.log2(claims.level))
    units: dict[tuple[int, str], str] = {
        (claim.id, test.name): test.unit for claim in claims.claims for test in claim.tests
    }
    heads = [
        {"": row.id, "claim": row.claim, "published": row.published, "verdict": f"**{row.verdict}**"}
        for row in verdicts.itertuples()
    ]
    parts = ["# Claims", NOTE.format(level=claims.level, least=least), markdown(pd.DataFrame(heads))]
    for claim in claims.claims:
        own = tests[tests.claim == claim.id]
        parts.append(f"## {claim.id}. {claim.claim}")
        verdict, why = verdicts[verdicts.id == claim.id][["verdict", "why"]].iloc[0]
        why = f": {claim.why_not or why}" if claim.why_not or why else ""
        parts.append(f"Published: {claim.published}. Verdict: **{verdict}**{why}.")
        if len(set(own.setting) - {ALL}) == 1:
            own = own[own.setting == ALL]
        if len(own):
            parts.append(markdown(pd.DataFrame([line(row, units) for row in own.to_dict("records")])))
    return "\n\n".join(parts) + "\n"


def line(row: Mapping[str, Any], units: Mapping[tuple[int, str], str]) -> dict[str, Any]:
    """One test in one setting, or over all, as text."""
    unit = units[row["claim"], row["test"]]
    over_all = row["setting"] == ALL
    return {
        "test": (row["test"] if row["decides"] else f"*beside:* {row['test']}") if over_all else "",
        "setting": row["setting"],
        "effect": "–" if math.isnan(row["effect"]) else interval(row, unit),
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
