"""Which columns of a log are steps, accuracies, losses and names of runs: guessed by their names, or told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from grokforget.detect.refusal import LogError

TRAIN = {"train", "training", "trn", "tr"}
TESTS = ({"test", "testing", "tst", "te", "heldout"}, {"eval", "evaluation"}, {"val", "valid", "validation", "dev"})
"""Words for examples that are not trained on, the most wanted first."""
HELD_OUT = {word for kind in TESTS for word in kind}
ACCURACY = {"acc", "accs", "accuracy", "accuracies"}
OTHERWISE = {"loss", "losses", "error", "err", "best", "max", "min", "std", "sem", "time", "size", "top"}
"""Words of columns that are no accuracy at a step: of top-k accuracies only `top1` is one."""
STEPS = (
    *("step", "steps", "global step", "trainer global step", "training step", "train step"),
    *("iteration", "iterations", "iter", "update", "updates", "epoch", "epochs"),
)
"""Names of the column of steps, the most wanted first."""
RUNS = ("run", "run id", "run name", "runid", "experiment", "trial", "setting", "train set", "seed")
NAMES_OF_SCALARS = ("tag", "metric", "split", "phase", "mode")
"""Columns that say in each row of what the value is."""
BETWEEN = " - "
"""Stands between run and metric in a column of an export of Weights & Biases, which has the extremes of what was averaged in
further columns ``...__MIN`` and ``...__MAX``."""
EXTREME = re.compile(r"__(MIN|MAX)$")
FUSED = re.compile(rf"\b({'|'.join(sorted(TRAIN | HELD_OUT))})({'|'.join(sorted(ACCURACY))})\b")


@dataclass(frozen=True)
class Asked:
    """The names of columns that were told; None is guessed."""

    step: str | None = None
    train: str | None = None
    test: str | None = None
    run: str | None = None


def words(name: str) -> list[str]:
    """The words of a name in lower case: ``trainAcc``, ``train_acc``, ``train/acc`` and ``trainacc`` are two."""
    text = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)).lower()
    return FUSED.sub(r"\1 \2", re.sub(r"\btop 1\b", "", text)).split()


def step_column(path: Path, table: pd.DataFrame, asked: Asked) -> str:
    """The column of steps. LogError where there is none."""
    if asked.step is not None:
        return named(path, table, asked.step, "--step-column")
    known = {" ".join(words(name)): name for name in reversed(list(table.columns))}
    for name in STEPS:
        if name in known:
            return known[name]
    raise LogError(path, f"no column of steps among {listed(table.columns)}", "name it with --step-column")


def run_columns(path: Path, table: pd.DataFrame, asked: Asked) -> list[str]:
    """The columns that say of which run a row is: none where a log is of one."""
    if asked.run is not None:
        return [named(path, table, asked.run, "--run-column")]
    return [name for name in table.columns if " ".join(words(name)) in RUNS]


def accuracy_column(path: Path, names: Iterable[str], split: str, asked: str | None) -> str:
    """The column of the ``split``'s (train or test) accuracy. LogError where there is none, or several are as likely.

    Best is one that is called an accuracy of the split, then one that has the split's name alone, then, of the training set,
    one that is called an accuracy and no split's (as Keras writes it).
    """
    names = list(names)
    option = f"--{split}-column"
    if asked is not None:
        return named(path, pd.DataFrame(columns=names), asked, option)
    ranked: dict[tuple[int, int], list[str]] = {}
    for name in names:
        found = words(name)
        of = [word for word in found if word in TRAIN | HELD_OUT]
        if set(found) & OTHERWISE:
            continue
        is_accuracy, alone = bool(set(found) & ACCURACY), len(of) == len(found) == 1
        if of and (is_accuracy or alone):
            kinds = (TRAIN,) if split == "train" else TESTS
            # Of `train/val_acc` the last word says it.
            place = next((place for place, kind in enumerate(kinds) if of[-1] in kind), None)
            if place is not None:
                ranked.setdefault((int(not is_accuracy), place), []).append(name)
        elif split == "train" and is_accuracy:
            ranked.setdefault((2, 0), []).append(name)
    if not ranked:
        raise LogError(path, f"no column of {split} accuracy among {listed(names)}", f"name it with {option}")
    best = ranked[min(ranked)]
    if len(best) > 1:
        raise LogError(
            path, f"{len(best)} columns may be the {split} accuracy, {listed(best)}", f"name it with {option}"
        )
    return best[0]


def loss_columns(names: Iterable[str]) -> list[str]:
    """The columns that are losses."""
    return [name for name in names if {"loss", "losses"} & set(words(name))]


def by_run(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Of an export of Weights & Biases: run → metric → column; empty for another table."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if BETWEEN in name and not EXTREME.search(name):
            run, _, metric = name.rpartition(BETWEEN)
            found.setdefault(run, {})[metric] = name
    return found


def named(path: Path, table: pd.DataFrame, name: str, option: str) -> str:
    """A column that was told."""
    if name not in table:
        raise LogError(path, f"no column {name!r} ({option})", f"there are {listed(table.columns)}")
    return name


def listed(names: Iterable[object]) -> str:
    """Names, of very many the first."""
    every = [repr(name) for name in names]
    more = f" and {len(every) - 20} more" if len(every) > 20 else ""
    return ", ".join(every[:20]) + more if every else "none"
