"""Table 1 in the paper's layout."""

from __future__ import annotations

import pandas as pd

from grokforget.results.layout import with_spread, write_paper
from grokforget.stages.job import Job
from grokforget.storage import read_table

COLUMNS = {"test_accuracy": "TA", "retain_accuracy": "RA", "forget_accuracy": "UA"}
NOTE = (
    "Accuracy in percent, mean ± standard deviation over {seeds} seeds. "
    "TA: test, RA: retain, UA: forget set (lower is better)."
)


def table1(job: Job) -> None:
    """Test, retain and forget accuracy after unlearning: a row a (setting, method, checkpoint), three columns a forget
    set.

    Reads ``summary``; writes ``csv`` (means and deviations as numbers), ``md`` and ``tex`` (as text). Spec:
    ``settings``, ``forget_sets``, and ``methods``, ``checkpoints``, the order of the rows.
    """
    summary = read_table(job.input("summary"))
    shown = summary.setting.isin(job.spec["settings"]) & summary.forget_set.isin(job.spec["forget_sets"])
    summary = summary[shown & summary.measure.isin(COLUMNS)]
    orders = {"method": job.spec["methods"], "checkpoint": job.spec["checkpoints"], "measure": list(COLUMNS)}
    for name, order in orders.items():
        summary[name] = pd.Categorical(summary[name], order, ordered=True)
    summary[["mean", "std"]] *= 100
    # Not pivot_table: it drops a column without a number, such as the deviations over a single seed.
    wide = summary.pivot(
        index=["setting", "method", "checkpoint"], columns=["forget_set", "measure"], values=["mean", "std"]
    ).sort_index()
    note = NOTE.format(seeds=summary.seeds.max())
    numbers, text = pd.DataFrame(index=wide.index), pd.DataFrame(index=wide.index)
    for forget_set in wide["mean"].columns.unique("forget_set"):
        for measure, title in COLUMNS.items():
            mean, std = (wide[kind, forget_set, measure] for kind in ("mean", "std"))
            numbers[f"{forget_set} {title} mean"], numbers[f"{forget_set} {title} std"] = mean.round(2), std.round(2)
            text[f"{forget_set} {title}"] = [with_spread(m, s) for m, s in zip(mean, std, strict=True)]
    write_paper(job.outputs, numbers, text, note)
