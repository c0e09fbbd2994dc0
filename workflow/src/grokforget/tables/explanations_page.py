"""What explains the collateral, as a page: a sentence a setting, and the numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from grokforget.statistics.candidates import CANDIDATES, LEFT_FOR_GROKKING, OUTCOMES, PAST
from grokforget.statistics.explanations import ALL, DRAWS
from grokforget.tables.text import with_interval

LEAST_SEEDS = 6
"""Below them not even seeds that all agree are significant at 5 % (two-sided sign test: 2 / 2^n)."""
NOTE = (
    "What goes with the collateral at matched forgetting: the mean of the drops of retain and test accuracy where the forget "
    "accuracy has fallen to a level. The units are snapshots along training, unlearned by one method, and apart from them the "
    "checkpoints, averaged over methods. ρ is Spearman's rank correlation over the units of a setting; partial ones are of "
    "the residuals of linear regressions of the ranks on the ranks of what is given (of train and test accuracy, the other "
    f"one is given). Brackets: 95 % of {DRAWS} bootstrap draws of whole seeds. With three seeds there are no more than ten "
    "different draws, so that an interval is about their range, and narrower than its name says; below "
    f"{LEAST_SEEDS} seeds nothing is decided. For all settings: the mean "
    "of the settings' coefficients. The candidate that goes with it most is found by looking at all, which flatters it. These "
    "are associations: nothing here says what mediates what. Units that are flagged, that are at the level before unlearning, "
    "and that never get there have no collateral, and are counted."
)
NOTHING = "no unit has a collateral to explain"
LEVELS = {"chance": "chance", "retrained": "the retrained model's accuracy"}


def page(table: pd.DataFrame) -> str:
    """The page of the rows of ``tables.explanations``."""
    parts = ["# What else explains it", NOTE]
    for kind, level in OUTCOMES:
        rows = table[(table.units == kind) & (table.level == level)]
        parts.append(f"## {kind.capitalize()}, at {LEVELS[level]}")
        settings = shown_settings(rows)
        if not settings:
            parts.append(f"In this study {NOTHING}.")
            continue
        parts.append("\n".join(f"- {sentence(rows[rows.setting == one])}" for one in settings))
        if rows.correlation.notna().any():
            parts.append(markdown(rows, settings))
    return "\n\n".join(parts) + "\n"


def shown_settings(rows: pd.DataFrame) -> list[str]:
    """The settings, and where there are several the mean over them."""
    settings = sorted(set(rows.setting) - {ALL})
    return [*settings, ALL] if len(settings) > 1 else settings


def sentence(rows: pd.DataFrame) -> str:
    """What goes with the collateral most in one setting, or over all, and what is left for being past t_grok."""
    first = rows.iloc[0]
    name = "All settings, on average" if first.setting == ALL else str(first.setting)
    without = counted(rows)
    plain = rows[rows.predictor.isin(CANDIDATES) & (rows.given == "")].dropna(subset=["correlation"])
    if plain.empty:
        why = (
            NOTHING if not int(first.n + first.unmeasured) else "the units are too few, or alike, to correlate anything"
        )
        return f"{name}: {why}{without}."
    most = plain.loc[plain.correlation.abs().idxmax()]
    told = (
        f"{name}: of {len(plain)} candidates {most.predictor} goes with the collateral most ({estimate(most)}; "
        f"{most.n} {most.units} of {seeds(most)}){without}"
    )
    return f"{told}. {left_for_grokking(rows)}"


def left_for_grokking(rows: pd.DataFrame) -> str:
    """What is left given ever more."""
    parts = []
    for given in LEFT_FOR_GROKKING:
        row = rows[(rows.predictor == PAST) & (rows.given == ", ".join(given))].iloc[0]
        said = "nothing can be said" if np.isnan(row.correlation) else f"{estimate(row)}, {verdict(row)}"
        parts.append(f"given {' and '.join(given)} {said}")
    return f"What is left for being past t_grok: {'; '.join(parts)}."


def verdict(row: pd.Series) -> str:
    """What the interval says; of fewer than ``LEAST_SEEDS`` no more than that all draws agree."""
    if np.isnan(row.low):
        return f"which {seeds(row)} cannot tell from none"
    if row.low <= 0 <= row.high:
        return f"nothing that {seeds(row)} can tell from none"
    which = f"{'more' if row.low > 0 else 'less'} collateral past it"
    return which if row.seeds >= LEAST_SEEDS else f"{which}, but {seeds(row)} are too few to decide"


def estimate(row: pd.Series) -> str:
    return f"ρ = {with_interval(row.correlation, row.low, row.high)}"


def seeds(row: pd.Series) -> str:
    """How many seeds; for the mean over settings each setting's count."""
    what = "run" if row.setting == ALL else "seed"
    return f"{row.seeds} {what}{'' if row.seeds == 1 else 's'}"


def counted(rows: pd.DataFrame) -> str:
    """The units without an outcome, in words."""
    first = rows.iloc[0]
    told = {"flagged": first.left_out, "at the level before": first.there_before, "never there": first.not_reached}
    phrases = [f"{count} {what}" for what, count in told.items() if count]
    return f"; without a collateral: {', '.join(phrases)}" if phrases else ""


def markdown(rows: pd.DataFrame, settings: list[str]) -> str:
    """A line a predictor and what is given, a column a setting: the coefficient, its interval, the number of units."""
    lines = []
    for row in rows.drop_duplicates(["predictor", "given"]).itertuples():
        here = rows[(rows.predictor == row.predictor) & (rows.given == row.given)].set_index("setting")
        line: dict[str, Any] = {"predictor": row.predictor, "given": row.given or "–"}
        for setting in settings:
            one = here.loc[setting]
            line[setting] = f"{with_interval(one.correlation, one.low, one.high)} ({one.n})"
        lines.append(line)
    return str(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))
