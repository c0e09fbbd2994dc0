"""From the files of a log to the curves of the runs in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from grokforget.detect import cells
from grokforget.detect.columns import (
    HELD_OUT,
    NAMES_OF_SCALARS,
    TRAIN,
    Asked,
    accuracy_column,
    by_run,
    listed,
    loss_columns,
    named,
    run_columns,
    step_column,
    words,
)
from grokforget.detect.files import read_cells
from grokforget.detect.refusal import LogError
from grokforget.grokking.detection import Series


@dataclass(frozen=True)
class Log:
    """One run: its name within the file (empty where it has none), its accuracies, whether its losses end as no numbers, and
    what was done to the rows, in sentences."""

    run: str
    train: Series
    test: Series
    diverged: bool
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Raw:
    """Steps and accuracies of one run as they stand in a file, NaN where something is missing."""

    run: str
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    diverged: bool = False


def read_log(path: Path, asked: Asked, *, unit: str = "guess", duplicates: str = "refuse") -> list[Log]:
    """The runs in a file. LogError where they cannot be told for certain."""
    table, notes = read_cells(path)
    table = widened(table)
    raw = exported(path, table, asked) or grouped(path, table, asked)
    return finished(path, raw, unit, duplicates, notes)


def read_two(train: Path, test: Path, asked: Asked, *, unit: str = "guess", duplicates: str = "refuse") -> list[Log]:
    """The runs whose train and test accuracies stand in two files of one scalar each, as TensorBoard exports them, or Weights &
    Biases from two charts."""
    found, notes = {}, []
    for split, path, column in (("train", train, asked.train), ("test", test, asked.test)):
        table, left_out = read_cells(path)
        notes += [f"{path.name}: {note}" for note in left_out]
        step = step_column(path, table, asked)
        found[split] = {
            run: (cells.numbers(path, table[step])[0], cells.numbers(path, table[name])[0])
            for run, name in scalar_columns(path, table, step, split, column).items()
        }
    if len(found["train"]) == len(found["test"]) == 1:
        # Whatever the two files call it, there is one.
        (run, one), (_, other) = (next(iter(runs.items())) for runs in found.values())
        raw = [Raw(run, one, other)]
    else:
        both = [run for run in found["train"] if run in found["test"]]
        if alone := sorted(found["train"].keys() ^ found["test"].keys()):
            raise LogError(test, f"{listed(alone)} in one of the two files alone", f"{listed(both)} are in both")
        raw = [Raw(run, found["train"][run], found["test"][run]) for run in both]
    return finished(test, raw, unit, duplicates, notes)


def scalar_columns(path: Path, table: pd.DataFrame, step: str, split: str, asked: str | None) -> dict[str, str]:
    """The column of the one scalar of a file, by run."""
    if asked is not None:
        return {"": named(path, table, asked, f"--{split}-column")}
    if exports := by_run(table.columns):
        metrics = {metric for of_run in exports.values() for metric in of_run if metric not in ("_step", step)}
        if len(metrics) > 1:
            metrics = {accuracy_column(path, sorted(metrics), split, None)}
        (metric,) = metrics
        return {run: of_run[metric] for run, of_run in exports.items() if metric in of_run}
    other = [name for name in table.columns if name != step and words(name) != ["wall", "time"]]
    values = [name for name in other if words(name) == ["value"]]
    if len(other) != 1 and not values:
        return {"": accuracy_column(path, other, split, None)}
    return {"": (values or other)[0]}


def exported(path: Path, table: pd.DataFrame, asked: Asked) -> list[Raw]:
    """The runs of an export of Weights & Biases, whose columns have their names; none of another table, nor where columns were
    told."""
    exports = by_run(table.columns)
    if not exports or asked.train is not None or asked.test is not None:
        return []
    steps, _ = cells.numbers(path, table[step_column(path, table, asked)])
    raw = []
    for run, metrics in exports.items():
        columns = [metrics[accuracy_column(path, metrics, split, None)] for split in ("train", "test")]
        train, test = (cells.numbers(path, table[name])[0] for name in columns)
        raw.append(Raw(run, (steps, train), (steps, test), diverges(path, table, loss_names(metrics))))
    return raw


def grouped(path: Path, table: pd.DataFrame, asked: Asked) -> list[Raw]:
    """The runs of a table with a column of steps, one of each accuracy, and perhaps some that name the run."""
    if [words(name) for name in table.columns] == [["wall", "time"], ["step"], ["value"]]:
        raise LogError(path, "one scalar of TensorBoard", "give its files as `--train FILE --test FILE`")
    step, runs = step_column(path, table, asked), run_columns(path, table, asked)
    left = [name for name in table.columns if name not in (step, *runs)]
    names = [accuracy_column(path, left, split, getattr(asked, split)) for split in ("train", "test")]
    steps, *accuracies = (cells.numbers(path, table[name])[0] for name in (step, *names))
    there = np.isfinite(accuracies).any(axis=0)
    text = table[runs].map(lambda cell: "" if cell is None else str(cell).strip())
    # Where a column names the run of some rows alone, the others are not of a run without a name.
    runs = [name for name in runs if asked.run is not None or not (text[name][there] == "").any()]
    vary = [name for name in runs if len(text[name][there].unique()) > 1]
    labels = text[vary].agg(", ".join, axis=1) if vary else pd.Series("", index=table.index)
    raw = []
    for run in dict.fromkeys(labels[there]):
        rows = (labels == run).to_numpy()
        train, test = ((steps[rows], one[rows]) for one in accuracies)
        raw.append(Raw(run, train, test, diverges(path, table[rows], loss_columns(table.columns))))
    if not raw:
        raise LogError(path, f"no accuracies in the columns {listed(names)}", "numbers are wanted there")
    return raw


def loss_names(metrics: dict[str, str]) -> list[str]:
    """The columns of a run's losses."""
    return [metrics[metric] for metric in loss_columns(metrics)]


def diverges(path: Path, table: pd.DataFrame, losses: Iterable[str]) -> bool:
    """Whether any loss ends as no number."""
    return any(
        cells.ends_broken(broken, values) for values, broken in (cells.numbers(path, table[one]) for one in losses)
    )


def widened(table: pd.DataFrame) -> pd.DataFrame:
    """A table that says in each row of what its value is (the tag of a scalar, or the split of the examples), with a column of
    each instead; any other as it is. The rows stay: of each the other columns are empty."""
    of = next((name for name in table.columns if " ".join(words(name)) in NAMES_OF_SCALARS), None)
    told = {word for one in table[of].dropna().unique() for word in words(str(one))} if of is not None else set()
    # A column `split` may also say by which split of the data a run was trained.
    if of is None or not (told & TRAIN and told & HELD_OUT):
        return table
    measures = [
        name for name in table.columns if {"value", "acc", "accuracy", "loss"} & set(words(name)) and name != of
    ]
    kept = table[[name for name in table.columns if name not in (of, *measures)]]
    more = {}
    for one in table[of].dropna().unique():
        for measure in measures:
            name = str(one) if words(measure) == ["value"] else f"{one} {measure}"
            more[name] = table[measure].where(table[of] == one, None)
    return pd.concat([kept, pd.DataFrame(more, dtype=object)], axis=1) if more else table


def finished(path: Path, raw: list[Raw], unit: str, duplicates: str, notes: list[str]) -> list[Log]:
    """The runs in order of their steps, their accuracies as shares."""
    by = cells.factor(path, [one.train[1] for one in raw], [one.test[1] for one in raw], unit)
    logs = []
    for one in raw:
        series, said = {}, list(notes)
        for split in ("train", "test"):
            steps, values, more = cells.ordered(
                path, *getattr(one, split), name=split, run=one.run, duplicates=duplicates
            )
            series[split] = Series(steps, np.minimum(values / by, 1.0))
            said += more
        if by != 1:
            said.append("accuracies are percentages")
        logs.append(Log(one.run, **series, diverged=one.diverged, notes=tuple(said)))
    return logs
