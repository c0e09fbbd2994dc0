"""Paper tables as text: CSV, Markdown and LaTeX."""

from __future__ import annotations

import math

import pandas as pd


def with_spread(mean: float, std: float, digits: int = 2) -> str:
    """``mean ± std``; the mean alone where there is one seed, and a dash where there is none."""
    if math.isnan(mean):
        return "–"
    return f"{mean:.{digits}f}" if math.isnan(std) else f"{mean:.{digits}f} ± {std:.{digits}f}"


def with_interval(estimate: float, low: float, high: float, digits: int = 2) -> str:
    """``+estimate [low, high]``; without an interval where there is none, and a dash where there is no estimate."""
    if math.isnan(estimate):
        return "–"
    ends = "" if math.isnan(low) else f" [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"{estimate:+.{digits}f}{ends}"


def csv(numbers: pd.DataFrame) -> str:
    """The labels of the rows and the numbers."""
    return str(numbers.reset_index().to_csv(index=False, lineterminator="\n"))


def markdown(text: pd.DataFrame, note: str) -> str:
    """The note, and the table below it."""
    shown = text.reset_index().to_markdown(index=False) if len(text) else "This study has nothing to show here."
    return f"{note}\n\n{shown}\n"


def latex(text: pd.DataFrame, note: str) -> str:
    """A booktabs table, with a rule wherever the first level of the index changes."""
    frame = text.reset_index()
    left = text.index.nlevels
    lines = [
        f"% {note}",
        rf"\begin{{tabular}}{{{'l' * left}{'r' * len(text.columns)}}}",
        r"\toprule",
        " & ".join(map(str, frame.columns)) + r" \\",
        r"\midrule",
    ]
    previous = None
    for row in frame.itertuples(index=False):
        if previous not in (None, row[0]):
            lines.append(r"\midrule")
        previous = row[0]
        lines.append(" & ".join(map(escaped, row)) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def escaped(value: object) -> str:
    """As LaTeX takes it."""
    text = str(value)
    for sign, command in (
        ("%", r"\%"),
        ("_", r"\_"),
        ("±", r"$\pm$"),
        ("–", "--"),
        ("ρ", r"$\rho$"),
        ("∇τ", r"$\nabla\tau$"),
    ):
        text = text.replace(sign, command)
    return text
