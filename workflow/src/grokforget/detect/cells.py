"""Cells as numbers, and accuracies as shares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from grokforget.detect.refusal import LogError

MISSING = {"", "none", "null", "na", "<na>", "n/a", "-", "–"}
NO_NUMBER = {"nan", "-nan"}
ROUND_OFF = 1e-6
"""By so much a share may lie above 1, or a percentage above 100."""
LEAST_PERCENTAGE = 10.0
"""Where no train accuracy is higher than this and some is above 1, they may be losses as well as percentages."""
UNITS = ("guess", "share", "percent")


def numbers(path: Path, column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a column, float64 (n,), NaN where there is none or it is not finite; and where something not finite stands,
    bool (n,). With a percent sign it is a hundredth. LogError for any other text."""
    written = column.map(lambda cell: "" if cell is None else str(cell).strip())
    text = written.str.removesuffix("%").str.lower()
    values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64) / np.where(written.str.endswith("%"), 100, 1)
    named = text.isin(NO_NUMBER).to_numpy()
    wrong = np.flatnonzero(np.isnan(values) & ~text.isin(MISSING).to_numpy() & ~named)
    if len(wrong):
        cell = column.iloc[wrong[0]]
        raise LogError(
            path, f"{cell!r} in row {wrong[0] + 1} of the column {column.name!r}", "a number is wanted there"
        )
    broken = named | np.isinf(values)
    return np.where(np.isinf(values), np.nan, values), broken


def ends_broken(broken: np.ndarray, values: np.ndarray) -> bool:
    """Whether a loss is no number to its end, for longer than anywhere before: in logs whose rows do not all have all columns
    NaN also stands for what is missing."""
    there = np.flatnonzero(np.isfinite(values))
    if not len(there):
        return False
    inside = np.diff(there) - 1
    trailing = int(broken[there[-1] + 1 :].sum())
    return trailing > max(inside.max(initial=0), 0)


def factor(path: Path, train: Sequence[np.ndarray], test: Sequence[np.ndarray], unit: str) -> float:
    """By what the accuracies of all runs of a log are to be divided: 1 where they are shares, 100 where percentages.

    Guessed of all together, for a test accuracy of 0.8 beside train accuracies up to 100 is one in percent. LogError where the
    guess may be wrong, and where values fit neither.
    """
    highest = {
        name: max((float(np.nanmax(one)) for one in many if np.isfinite(one).any()), default=0.0)
        for name, many in (("train", train), ("test", test))
    }
    lowest = min(float(np.nanmin(one)) for one in [*train, *test] if np.isfinite(one).any())
    told = f"accuracies from {lowest:g} to {highest['train']:g} (train) and {highest['test']:g} (test)"
    top = 1 + ROUND_OFF
    share = unit == "share" or (unit == "guess" and max(highest.values()) <= top)
    if lowest < 0 or max(highest.values()) > (top if share else 100 * top):
        raise LogError(path, told, f"{'shares from 0 to 1' if share else 'percentages from 0 to 100'} are wanted")
    if share or unit == "percent":
        return 1.0 if share else 100.0
    if highest["train"] <= LEAST_PERCENTAGE:
        raise LogError(path, told, "if these are percentages and no losses, say `--unit percent`")
    if highest["test"] <= top:
        raise LogError(path, told, "if both are percentages, say `--unit percent`; else bring them to one unit")
    return 100.0


def ordered(
    path: Path, steps: np.ndarray, values: np.ndarray, *, name: str, run: str, duplicates: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Steps and values without what is missing, in order of the steps and each step once, and notes on what that took.

    Of a step with several values the ``last`` written counts (a run that was resumed writes some again), or the ``first``, or the
    ``mean``. LogError where more than half of the steps come again, some with other values, which is hardly one run,
    unless ``duplicates`` says what to do.
    """
    of_run = f" of {run}" if run else ""
    there = np.isfinite(values) & np.isfinite(steps)
    steps, values = steps[there], values[there]
    if not len(steps):
        raise LogError(path, f"no {name} accuracy{of_run}", "an evaluation of it at a step is wanted")
    if steps.min() < 0:
        raise LogError(path, f"a step {steps.min():g}{of_run}", "steps from 0 on are wanted")
    notes = []
    if (np.diff(steps) < 0).any():
        notes.append(f"{name}: rows were not in order of their steps, and were put in order")
    groups = pd.Series(values).groupby(steps)
    spread = groups.max() - groups.min()
    others, again = int((spread > 0).sum()), int((groups.size() > 1).sum())
    if others and again > len(spread) / 2 and duplicates == "refuse":
        allowed = (
            "several runs in one file? Name their column with --run-column; or say --duplicates last, first or mean"
        )
        raise LogError(
            path, f"{again} of {len(spread)} steps come again{of_run}, {others} with other {name} accuracies", allowed
        )
    how = "last" if duplicates == "refuse" else duplicates
    if again:
        said = f", of which {others} with other values: the {how} counts" if others else ""
        notes.append(f"{name}: {again} steps come again{said}")
    kept = getattr(groups, how)()
    return kept.index.to_numpy(np.float64), kept.to_numpy(np.float64), notes
