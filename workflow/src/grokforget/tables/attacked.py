"""The transition of accuracy under attack: what rises late in networks whose clean accuracy does not (delayed robustness,
Humayun et al. 2024, arXiv 2402.15555)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from grokforget.grokking.transition import rise_after
from grokforget.tables.paper import PaperTable, Tables, laid_out

if TYPE_CHECKING:
    from grokforget.config.specs.tables import PaperTableSpec

RUN = ["setting", "seed"]
NOTE = (
    "Accuracies in percent on attacked test examples of snapshots along training, clean and under the strongest of FGSM and PGD "
    "with cross-entropy and with the margin loss. `fitted at step`: t_mem of the run; `then` and `at the end`: the accuracy from "
    "there to twice that step, and over the last tenth of the steps; `rises`: whether the latter is higher by more than 2 "
    "percentage points and three standard deviations of the end, share of the runs in percent; `half way at step`: of the runs "
    "in which it rises, when it has made half its way."
)


def robustness_along(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    """A row a setting and accuracy: when the training data were fitted, and what the accuracy does from then on. A run that has
    not fitted them has no rise."""
    names = [name for name, kind in spec.study.analyses.items() if kind == "robustness"]
    along = tables["along"]
    along = along[along.analysis.isin(names) & along.measure.isin(["clean_accuracy", "worst_accuracy"])]
    runs = tables["checkpoints"]
    fitted = runs[runs.train_set == "full"].groupby(RUN).t_mem.first()
    rows = []
    for (setting, seed, forget_set, part), curve in along.groupby([*RUN, "forget_set", "part"]):
        curve = curve.sort_values("step")
        t_mem = float(fitted.get((setting, seed), float("nan")))
        rise = rise_after(curve.step.to_numpy(), curve.value.to_numpy(), t_mem)
        where = {"setting": setting, "seed": seed, "forget_set": forget_set, "checkpoint": "along training"}
        columns = {
            "fitted at step": t_mem,
            "then": 100 * rise.plateau,
            "at the end": 100 * rise.final,
            "rises": 100.0 * rise.rises,
            "half way at step": rise.t_half,
        }
        method = f"under attack, ε {part}" if part else "clean"
        rows += [{**where, "method": method, "column": column, "value": value} for column, value in columns.items()]
    keys = [*RUN, "forget_set", "checkpoint", "method", "column", "value"]
    table = laid_out(pd.DataFrame(rows, columns=keys), spec, 1, NOTE)
    numbers, text = (one.rename_axis(index={"method": "accuracy"}) for one in (table.numbers, table.text))
    # Of the checkpoints it has the run's time alone, which is the same where they were not found.
    return replace(table, numbers=numbers, text=text, shows=("along",))
