"""The verdicts on the paper's claims."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from grokforget.analysis.claims import ALL, NOT_TESTED, conclude, evaluate
from grokforget.results.layout import write_text
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table

NOTE = (
    "Each claim was given its measure, contrast, scope and decision rule in `workflow/claims.yaml` beforehand. An effect is "
    "the mean over settings of the mean difference over cells, with its 95 % interval (Student's t, settings as strata); p "
    "is an exact two-sided sign-flip test over (setting, seed) pairs, corrected by Holm over all deciding tests of all "
    "claims, at level {level}, and separately over those of the single settings. `pairs` are the (setting, seed) pairs "
    "(settings, for ratios of spreads); with fewer than {least} no such test can reject, and the verdict is undecided. The "
    "published figures are of other data and larger models."
)


def claims(job: Job) -> None:
    """Decide every claim.

    Reads the tables that there are: ``unlearning``, ``analysis``, ``tuned``. Writes ``tests`` (Parquet: a row a claim, test
    and setting), ``csv`` (the same, with the claim, its verdict and the published figure) and ``md``. Spec: ``claims`` (all of
    ``workflow/claims.yaml``) and ``study`` (what ``quantities.quantity`` must know of it).
    """
    spec = job.spec
    tables = {name: read_table(paths[0]) for name, paths in job.inputs.items() if paths}
    tests = evaluate(spec["claims"], tables, spec["study"])
    verdicts = conclude(spec["claims"], tests)
    write_table(job.outputs["tests"], tests)
    named = verdicts.rename(columns={"id": "claim", "claim": "statement", "verdict": "claim_verdict"})
    both = named.merge(tests.rename(columns={"verdict": "test_verdict"}), on="claim", how="left")
    write_text(job.outputs["csv"], both.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(job.outputs["md"], page(spec["claims"], verdicts, tests))


def page(claims: Mapping[str, Any], verdicts: pd.DataFrame, tests: pd.DataFrame) -> str:
    """The verdicts on one page: all claims, then each with its tests, over all settings and in each."""
    level = claims["level"]
    least = math.ceil(1 - math.log2(level))
    units = {(claim["id"], test["name"]): test["unit"] for claim in claims["claims"] for test in claim["tests"]}
    heads = [
        {"": row.id, "claim": row.claim, "published": row.published, "verdict": f"**{row.verdict}**"}
        for row in verdicts.itertuples()
    ]
    parts = ["# Claims", NOTE.format(level=level, least=least), markdown(pd.DataFrame(heads))]
    for claim in claims["claims"]:
        own = tests[tests.claim == claim["id"]]
        parts.append(f"## {claim['id']}. {claim['claim']}")
        verdict = verdicts.verdict[verdicts.id == claim["id"]].item()
        why = f": {claim['why_not']}" if claim["why_not"] else ""
        parts.append(f"Published: {claim['published']}. Verdict: **{verdict}**{why}.")
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
        "effect": "–" if row["verdict"] == NOT_TESTED else interval(row, unit),
        "p": number(row["p"], 3),
        "p (Holm)": number(row["p_holm"], 3),
        "effect size": number(row["effect_size"], 2),
        "pairs": row["pairs"],
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
