"""A verdict on every claim, by the rules of ``workflow/claims.yaml``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from grokforget.statistics.permutation import holm, sign_flip_test
from grokforget.statistics.power import effect_size, least_seeds, seeds_for_power
from grokforget.statistics.quantities import CELL, quantity
from grokforget.statistics.spread import pooled_sd_ratio

if TYPE_CHECKING:
    from grokforget.config.claims import Claims, Test
    from grokforget.config.specs.base import Meanings

ALL = "all"
SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTED = "supported", "contradicted", "undecided", "not tested here"
CONFIDENCE = 0.95
RESULT = ["effect", "low", "high", "p", "effect_size", "seeds_for_80_power"]
ROW = ["claim", "test", "decides", "setting", *RESULT, "pairs", "left_out", "cells_left_out"]
RULE = ["ratio", "direction", "margin"]


def evaluate(claims: Claims, tables: Mapping[str, pd.DataFrame], study: Meanings) -> pd.DataFrame:
    """A row a (claim, test, setting), the setting ``all`` among them, over which the settings are pooled; none of tests between
    groups of examples where the study has no groups, nor of claims about controls of which it has none.

    Columns: claim, test, decides, setting, effect (mean difference, or ratio), low and high (95 %), p, p_holm,
    effect_size (Hedges' g of the pairs), seeds_for_80_power (of this setting's effect), pairs, left_out (pairs
    of which no cell is left, for a side is flagged), cells_left_out (flagged cells, of these and of other pairs), verdict, why
    (where a test is undecided for want of pairs).

    Holm's correction is over all deciding tests of all claims; separately over the same tests with ``memorised`` in place of
    ``early``, over all others, and over each of these kinds in the single settings. A test that could not reject even if all
    pairs agreed (2 / 2^pairs above the level) cannot reject falsely either; it is left out of the correction and undecided.
    Tests of ``equal`` are left out too: their interval decides.
    """
    rows = []
    grouped = any(rule.group for rule in study.forget_sets.values())
    controls = [control.name for control in study.controls.values()]
    for claim in claims.claims:
        counterparts = [claim.with_memorised(test) for test in claim.deciding]
        for test in claim.tests:
            if not claim.asked_of(controls) or (test.between == "groups" and not grouped):
                continue
            family = "decides" if test.decides else "memorised" if test in counterparts else "beside"
            for result in compare(test, quantity_pairs(tables, test, study)):
                names = {"claim": claim.id, "test": test.name, "decides": test.decides, "family": family}
                rows.append({**names, **result, "direction": test.direction, "margin": test.margin})
    table = pd.DataFrame(rows, columns=[*ROW, *RULE, "family"])
    able = table.p.notna() & (table.direction != "equal") & (0.5 ** (table.pairs - 1) <= claims.level)
    table["p_holm"] = np.nan
    for _, family in table[able].groupby([table.family, table.setting == ALL]):
        table.loc[family.index, "p_holm"] = holm(family.p.to_numpy())
    table["verdict"] = [verdict(row, claims.level) for row in table.to_dict("records")]
    table["why"] = [why_undecided(row, claims.level) for row in table.to_dict("records")]
    return table[[*ROW, "p_holm", "verdict", "why"]]


def conclude(claims: Claims, tests: pd.DataFrame) -> pd.DataFrame:
    """A row a claim: id, claim, published, verdict, why, with_memorised. Its deciding tests over all settings must all support
    it; one that contradicts it is enough; a claim without any result is not tested. ``why`` is what keeps an undecided one from
    having the pairs that it needs. ``with_memorised`` is the verdict with ``memorised`` in place of ``early``; empty where no
    deciding test compares with ``early``."""
    rows = []
    for claim in claims.claims:
        found = tests[(tests.claim == claim.id) & (tests.setting == ALL)].set_index("test")
        others = [claim.with_memorised(test) for test in claim.deciding]
        whole, other = (
            together([found.verdict.get(test.name, NOT_TESTED) if test else NOT_TESTED for test in given])
            for given in (claim.deciding, others)
        )
        reasons = found.why[found.decides.astype(bool) & (found.why != "")] if whole == UNDECIDED else []
        row = {"id": claim.id, "claim": claim.claim, "published": claim.published, "verdict": whole}
        row["why"] = "; ".join(dict.fromkeys(reasons))
        rows.append({**row, "with_memorised": "" if others == claim.deciding else other})
    return pd.DataFrame(rows)


def together(verdicts: list[str]) -> str:
    """One verdict from those of several tests."""
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    if not verdicts or all(one == NOT_TESTED for one in verdicts):
        return NOT_TESTED
    return SUPPORTED if all(one == SUPPORTED for one in verdicts) else UNDECIDED


def verdict(row: Mapping[str, Any], level: float) -> str:
    """Of one test. ``equal`` holds where the whole interval lies within the margin, which is where both of the two one-sided
    t-tests (TOST) reject at 2.5 %, and fails where none of it does. What would have been tested, had its rows not been flagged,
    is undecided."""
    if row["pairs"] == 0 or math.isnan(row["effect"]):
        return UNDECIDED if row["left_out"] else NOT_TESTED
    if row["direction"] == "equal":
        if math.isnan(row["low"]):
            return UNDECIDED
        if max(-row["low"], row["high"]) <= row["margin"]:
            return SUPPORTED
        return CONTRADICTED if row["low"] > row["margin"] or row["high"] < -row["margin"] else UNDECIDED
    if math.isnan(row["p_holm"]) or row["p_holm"] > level:
        return UNDECIDED
    none = 1.0 if row["ratio"] else 0.0
    lower = row["effect"] < none
    return SUPPORTED if lower == (row["direction"] == "lower") else CONTRADICTED


def why_undecided(row: Mapping[str, Any], level: float) -> str:
    """In words, for a test that has fewer pairs than one can decide by; empty for any other."""
    needed = 2 if row["direction"] == "equal" else least_seeds(level)
    if row["verdict"] != UNDECIDED or row["pairs"] >= needed:
        return ""
    unit = "settings" if row["ratio"] else "(setting, seed) pairs"
    flags = f" of {row['pairs'] + row['left_out']}, for the others are flagged" if row["left_out"] else ""
    return f"{row['pairs']} {unit} left{flags}; {needed} are needed"


def quantity_pairs(tables: Mapping[str, pd.DataFrame], test: Test, study: Meanings) -> pd.DataFrame:
    """A row a cell that has both sides: setting, seed, forget_set, method, first, second, and flagged: whether a side is, which
    then is NaN. Where a side is all controls whose names it fits, every one of them has such a row."""
    values = quantity(tables, test, study)
    if test.against is not None:
        scope = test.scope.model_copy(update={"measure": test.against})
        other = quantity(tables, test.model_copy(update={"scope": scope}), study)
        both = values.merge(other, on=[*CELL, "checkpoint"], suffixes=("_first", "_second"))
        out = (both.flagged_first | both.flagged_second).astype(bool)
        values = both[[*CELL, "checkpoint"]].assign(value=both.value_first - both.value_second, flagged=out)
    if test.contrast is not None:
        first, second = (
            values.loc[[fnmatchcase(one, name) for one in values.checkpoint]].drop(columns="checkpoint")
            for name in test.contrast
        )
        both = first.merge(second, on=CELL, suffixes=("_first", "_second"))
    both = both.rename(columns={"value_first": "first", "value_second": "second"})
    both = both.assign(flagged=(both.flagged_first | both.flagged_second).astype(bool))
    return both[both.flagged | both[["first", "second"]].notna().all(axis=1)]


def compare(test: Test, pairs: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The result over all settings, and that of each."""
    spread = test.statistic == "sd-ratio"
    result = ratio_of_spreads if spread else mean_difference
    unit = ["setting"] if spread else ["setting", "seed"]
    for setting, part in [(ALL, pairs), *pairs.groupby("setting", sort=True)]:
        counted = part.dropna(subset=["first", "second"])
        left, gone = (set(rows[unit].itertuples(index=False, name=None)) for rows in (counted, part[part.flagged]))
        out = {"left_out": len(gone - left), "cells_left_out": int(part.flagged.sum())}
        yield {"setting": setting, **result(counted), **out, "ratio": spread}


def mean_difference(pairs: pd.DataFrame) -> dict[str, float]:
    """Differences first - second, averaged over the cells of every (setting, seed), and then over settings.

    The interval is Student's t with the settings as strata: variance Σ s_k²/n_k / K² over K settings of n_k seeds, and
    Satterthwaite's degrees of freedom; with one setting it is the interval of the paired t-test. p is the exact sign-flip
    test over the (setting, seed) pairs.
    """
    by_seed = (pairs["first"] - pairs["second"]).groupby([pairs.setting, pairs.seed]).mean()
    if by_seed.empty:
        return {**dict.fromkeys(RESULT, math.nan), "pairs": 0}
    settings = by_seed.groupby(level=0)
    n, variance = settings.count(), settings.var(ddof=1)
    effect, k = float(settings.mean().mean()), len(n)
    parts = variance / n / k**2
    half = math.nan
    if (n > 1).all():
        half = 0.0
        if parts.sum() > 0:
            freedom = parts.sum() ** 2 / (parts**2 / (n - 1)).sum()
            half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * math.sqrt(parts.sum()))
    single = by_seed.to_numpy() if k == 1 else np.array([])
    return {
        "effect": effect,
        "low": effect - half,
        "high": effect + half,
        "p": sign_flip_test(by_seed.to_numpy(), by_seed.index.get_level_values(0).to_numpy()),
        "effect_size": effect_size(by_seed.to_numpy()),
        "pairs": len(by_seed),
        "seeds_for_80_power": seeds_for_power(single) if k == 1 else math.nan,
    }


def ratio_of_spreads(pairs: pd.DataFrame) -> dict[str, float]:
    """Ratio of the standard deviations over seeds, first to second, pooled over cells (``spread.pooled_sd_ratio``); what is
    flipped are settings, so ``pairs`` counts them."""
    empty = dict.fromkeys(RESULT, math.nan)
    if pairs.empty:
        return {**empty, "pairs": 0}
    cells = pairs.pivot(index=["setting", "forget_set", "method"], columns="seed", values=["first", "second"])
    settings = cells.index.get_level_values("setting").to_numpy()
    pooled = pooled_sd_ratio(cells["first"].to_numpy(), cells["second"].to_numpy(), settings)
    return {
        **empty,
        **{"effect": pooled.ratio, "low": pooled.low, "high": pooled.high, "p": pooled.p, "pairs": pooled.settings},
    }
