"""The paper's tables, and those of membership inference and robustness, in its layout: text with means and deviations over
seeds.

A layout is a function of the tidy tables that its row in ``config/paper_tables.py`` names, and of the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from grokforget.statistics.quantities import under_their_settings
from grokforget.tables.text import with_spread

if TYPE_CHECKING:
    from grokforget.config.specs.tables import PaperTableSpec

Tables = Mapping[str, pd.DataFrame]
CONTROLS = "controls stand as further checkpoints of the setting that they are compared with"


@dataclass(frozen=True)
class PaperTable:
    """A table as numbers (means and deviations) and as text (``mean ± deviation``), both indexed by the labels of their
    rows, and the note that says what they are. ``shows`` names the tidy tables of which flagged rows are missed in it; none
    stands for all that it is made from."""

    numbers: pd.DataFrame
    text: pd.DataFrame
    note: str
    shows: tuple[str, ...] = ()


def laid_out(rows: pd.DataFrame, spec: PaperTableSpec, digits: int, note: str) -> PaperTable:
    """From rows (setting, forget_set, method, checkpoint, seed, column, value) a row a (setting, forget_set, method,
    checkpoint), and the columns in the order of their first rows."""
    keys = ["setting", "forget_set", "method", "checkpoint"]
    controls = [control.name for control in spec.study.controls.values()]
    orders = {
        "forget_set": list(spec.study.forget_sets),
        "method": spec.methods,
        "checkpoint": [*spec.checkpoints, *dict.fromkeys(controls)],
        "column": list(dict.fromkeys(rows.column)),
    }
    rows = in_order(rows, orders)
    grouped = rows.groupby([*keys, "column"], observed=True).value.agg(["mean", "std"])
    wide = grouped.unstack("column").sort_index()
    numbers, text = pd.DataFrame(index=wide.index), pd.DataFrame(index=wide.index)
    for column in [name for name in orders["column"] if ("mean", name) in wide]:
        mean, std = wide["mean", column], wide["std", column]
        numbers[f"{column} mean"], numbers[f"{column} std"] = mean.round(digits + 2), std.round(digits + 2)
        text[column] = [with_spread(m, s, digits) for m, s in zip(mean, std, strict=True)]
    # A level in which all rows are the same says nothing.
    idle = [name for name in keys[1:] if len(set(wide.index.get_level_values(name))) == 1]
    if len(wide):
        numbers, text = (table.droplevel(idle) for table in (numbers, text))
    return PaperTable(numbers, text, f"Mean ± standard deviation over seeds. {note}")


def in_order(rows: pd.DataFrame, orders: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """With each column's values in its order, and behind them what the order does not name."""
    for name, order in orders.items():
        others = sorted(set(rows[name]) - set(order))
        rows = rows.assign(**{name: pd.Categorical(rows[name], [*order, *others], ordered=True)})
    return rows


def of_analysis(
    tables: Tables,
    spec: PaperTableSpec,
    kind: str,
    columns: Mapping[tuple[str, str], str],
    stages: Callable[[str], bool],
) -> pd.DataFrame:
    """Rows of an analysis: (measure, part) → title of the column; the stage stands as the method."""
    table = tables["analysis"]
    names = [name for name, what in spec.study.analyses.items() if what == kind]
    table = table[table.analysis.isin(names) & table.stage.map(stages).astype(bool)]
    table = under_their_settings(table, spec.study.controls)
    # What is analysed before unlearning is what the method that does nothing leaves.
    table = table.assign(method=table.stage.where(table.stage != "before", spec.study.original))
    parts = [
        table[(table.measure == measure) & (table.part == part)].assign(column=title)
        for (measure, part), title in columns.items()
    ]
    return pd.concat(parts)


def of_cells(
    table: pd.DataFrame, spec: PaperTableSpec, kinds: list[str], columns: Mapping[str, tuple[str, float]]
) -> pd.DataFrame:
    """Rows of cells (``unlearning`` or ``membership``) on forget sets of some kinds: column → title and factor; none where
    the study does not measure that."""
    forget_sets = [name for name, rule in spec.study.forget_sets.items() if rule.kind in kinds]
    table = under_their_settings(table[table.forget_set.isin(forget_sets)], spec.study.controls)
    parts = [
        table.assign(column=title, value=factor * table[name])
        for name, (title, factor) in columns.items()
        if name in table
    ]
    return pd.concat(parts) if parts else table.assign(column="", value=0.0).iloc[:0]


def before(stage: str) -> bool:
    return stage == "before"


def without_controls(rows: pd.DataFrame, spec: PaperTableSpec) -> pd.DataFrame:
    return rows[rows.checkpoint.isin(spec.checkpoints)]


def with_controls_alone(rows: pd.DataFrame, spec: PaperTableSpec) -> pd.DataFrame:
    """The settings that have controls, on the forget sets that these have."""
    controls = [control.name for control in spec.study.controls.values()]
    has = rows[rows.checkpoint.isin(controls)][["setting", "forget_set"]].drop_duplicates()
    return rows.merge(has, on=["setting", "forget_set"])


ACCURACIES = {"test_accuracy": ("TA", 100), "retain_accuracy": ("RA", 100), "forget_accuracy": ("UA", 100)}
IN_PERCENT = "Accuracy in percent; TA: test, RA: retain, UA: forget set (lower is better)"


def table1(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    """Test, retain and forget accuracy after unlearning: a row a (setting, method, checkpoint), three columns a forget
    set."""
    cells = tables["unlearning"]
    cells = cells[cells.setting.isin(spec.settings) & cells.forget_set.isin(spec.forget_sets)]
    keys = ["setting", "method", "checkpoint", "forget_set", "measure"]
    rows = cells.melt(keys[:-1], list(ACCURACIES), var_name="measure")
    rows = in_order(rows, {"method": spec.methods, "checkpoint": spec.checkpoints, "measure": list(ACCURACIES)})
    summary = rows.groupby(keys, observed=True).value.agg(["mean", "std"]).reset_index()
    # Not pivot_table: it drops a column without a number, such as the deviations over a single seed.
    wide = summary.pivot(
        index=["setting", "method", "checkpoint"], columns=["forget_set", "measure"], values=["mean", "std"]
    ).sort_index()
    numbers, text = pd.DataFrame(index=wide.index), pd.DataFrame(index=wide.index)
    for forget_set in wide["mean"].columns.unique("forget_set") if len(wide) else []:
        for measure, (title, factor) in ACCURACIES.items():
            mean, std = (factor * wide[kind, forget_set, measure] for kind in ("mean", "std"))
            numbers[f"{forget_set} {title} mean"], numbers[f"{forget_set} {title} std"] = mean.round(2), std.round(2)
            text[f"{forget_set} {title}"] = [with_spread(m, s) for m, s in zip(mean, std, strict=True)]
    return PaperTable(numbers, text, f"Mean ± standard deviation over {cells.seed.nunique()} seeds. {IN_PERCENT}.")


def table3(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {
        ("gradient_cosine", ""): "cosine",
        ("gradient_cosine_control", ""): "cosine, control",
        ("forget_gradient_norm", ""): "norm, forget",
        ("retain_gradient_norm", ""): "norm, retain",
        ("gradient_cosine_is_noise", ""): "is noise",
        ("pair_cosine_mean", ""): "cosine of pairs",
        ("pair_cosine_mean_control", ""): "cosine of pairs, control",
    }
    rows = of_analysis(tables, spec, "gradient-alignment", columns, before)
    note = (
        "Cosine between the mean gradients of forget and retain set; `control`: of two parts of the retain set; `is noise`: "
        "share of seeds in which the cosine is not determined."
    )
    return laid_out(without_controls(rows, spec), spec, 3, note)


def table4(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {("local_complexity", split): split for split in ("retain", "test", "forget")}
    rows = of_analysis(tables, spec, "local-complexity", columns, lambda stage: True)
    return laid_out(without_controls(rows, spec), spec, 1, "Local complexity before (`original`) and after unlearning.")


def table5(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {
        ("cka", "representation"): "CKA",
        ("cka_unbiased", "representation"): "CKA, unbiased",
        ("cka_control", "representation"): "control",
        ("cka_unbiased_control", "representation"): "control, unbiased",
    }
    rows = of_analysis(tables, spec, "cka", columns, before)
    note = (
        "Linear CKA between the last layer's representations of forget and retain examples, matched at random within classes; "
        "`control`: of two parts of the retain set, of as many classes and rows."
    )
    return laid_out(without_controls(rows, spec), spec, 3, note)


def table8(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {**ACCURACIES, "ues": ("UES", 1), "retrain_gap": ("gap to retraining", 100)}
    rows = with_controls_alone(of_cells(tables["unlearning"], spec, ["within-classes"], columns), spec)
    return laid_out(rows, spec, 2, f"{IN_PERCENT}; {CONTROLS}.")


def table9(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {
        ("gradient_cosine", ""): "cosine",
        ("gradient_cosine_control", ""): "cosine, control",
        ("gradient_angle", ""): "angle (°)",
    }
    rows = with_controls_alone(of_analysis(tables, spec, "gradient-alignment", columns, before), spec)
    note = f"Cosine and angle between the mean gradients of forget and retain set; `control`: of parts of the latter; {CONTROLS}."
    return laid_out(rows, spec, 3, note)


def table10(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    rows = without_controls(of_cells(tables["unlearning"], spec, ["random"], ACCURACIES), spec)
    return laid_out(rows, spec, 2, f"Forget examples drawn from all classes. {IN_PERCENT}.")


def table11(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    rows = with_controls_alone(of_cells(tables["unlearning"], spec, ["within-classes"], ACCURACIES), spec)
    rows = rows[rows.checkpoint.isin(["early", "grokked", "sam"])]
    return laid_out(rows, spec, 2, f"{IN_PERCENT}; {CONTROLS}.")


def membership(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    columns = {
        "membership_accuracy": ("loss attack", 100),
        "confidence_attack_nonmembers": ("confidence attack: called non-members", 100),
    }
    rows = of_cells(tables["unlearning"], spec, ["within-classes", "random"], columns)
    if "membership" in tables:
        attacked = {"lira_auc": ("LiRA, AUC", 100), "lira_accuracy": ("LiRA, accuracy", 100)}
        told = of_cells(tables["membership"], spec, ["within-classes", "random"], attacked)
        rows = pd.concat([rows, told])
    note = "In percent. Loss attack and LiRA tell forgotten from unseen examples: 50 is chance, `retrain` the ideal."
    return laid_out(without_controls(rows, spec), spec, 1, note)


def robustness(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    there = tables["analysis"][["measure", "part"]].drop_duplicates()
    attacked = sorted(there.part[there.measure == "worst_accuracy"], key=float)
    columns = {
        ("clean_accuracy", ""): "clean",
        **{("worst_accuracy", radius): f"under attack, ε {radius}" for radius in attacked},
        ("zero_gradients", "cross-entropy"): "zero gradients",
        ("zero_gradients", "margin"): "zero gradients, margin loss",
    }
    rows = of_analysis(tables, spec, "robustness", columns, lambda stage: True)
    note = (
        "Test accuracy, clean and under the strongest of FGSM and PGD with cross-entropy and with the margin loss, and share of "
        "examples whose input gradient is exactly zero, in percent."
    )
    return laid_out(without_controls(rows.assign(value=100 * rows.value), spec), spec, 1, note)
