"""Table 1 in the paper's layout."""

from __future__ import annotations

import math

import pandas as pd

from grokforget.stages.job import Job
from grokforget.storage import read_table, whole

COLUMNS = {"test_accuracy": "TA", "retain_accuracy": "RA", "forget_accuracy": "UA"}
NOTE = (
    "Accuracy in percent, mean ± standard deviation over {seeds} seeds. "
    "TA: test, RA: retain, UA: forget set (lower is better)."
)


def table1(job: Job) -> None:
    """Test, retain and forget accuracy after unlearning: a row a (setting, method, checkpoint), three columns a forget
    set.

    Reads ``summary``; writes ``csv`` (means and deviations as numbers), ``md`` and ``tex`` (as text). Spec:
    ``methods``, ``checkpoints``, the order of the rows.
    """
    summary = read_table(job.input("summary"))
    summary = summary[summary.measure.isin(COLUMNS)]
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
    write(job, "csv", numbers.reset_index().to_csv(index=False, lineterminator="\n"))
    write(job, "md", f"{note}\n\n{text.reset_index().to_markdown(index=False)}\n")
    write(job, "tex", latex(text, note))


def with_spread(mean: float, std: float) -> str:
    """The mean alone where there is one seed."""
    return f"{mean:.2f}" if math.isnan(std) else f"{mean:.2f} ± {std:.2f}"


def latex(text: pd.DataFrame, note: str) -> str:
    """A booktabs table; a rule between settings."""
    frame = text.reset_index()
    lines = [
        f"% {note}",
        rf"\begin{{tabular}}{{lll{'r' * len(text.columns)}}}",
        r"\toprule",
        " & ".join(frame.columns) + r" \\",
        r"\midrule",
    ]
    previous = None
    for row in frame.itertuples(index=False):
        if previous not in (None, row[0]):
            lines.append(r"\midrule")
        previous = row[0]
        lines.append(" & ".join(str(value).replace(" ± ", r" $\pm$ ") for value in row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def write(job: Job, name: str, content: str) -> None:
    with whole(job.outputs[name]) as beside:
        beside.write_text(content, encoding="utf-8")
