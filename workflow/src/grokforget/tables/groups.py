"""The paper's tables of locally grokked and ungrokked examples, in its layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.statistics.groups import AS_THEY_ARE, GROUPS, by_groups, loss_p
from grokforget.tables.paper import PaperTable, Tables, laid_out

if TYPE_CHECKING:
    from grokforget.config.specs.tables import PaperTableSpec

LEVELS = {"forget_set": "groups", "checkpoint": "examples"}
"""What stands in the places of forget set and checkpoint."""
STRENGTHS = {"retain_extraction_strength": "retain", "forget_extraction_strength": "unlearn"}
EXAMPLES = {
    "question_characters": "question, characters",
    "answer_characters": "answer, characters",
    "answer_tokens": "answer, tokens",
    "from_loss": "loss at the candidate epoch",
    "final_loss": "final loss",
}


def of_groups(table: pd.DataFrame, spec: PaperTableSpec) -> pd.DataFrame:
    """The rows of both groups; in the place of the forget set stands what the groups have in common."""
    rows = by_groups(table[table.setting.isin(spec.settings)], spec.study.forget_sets)
    return rows.assign(forget_set=rows.matched)


def grouped(rows: pd.DataFrame, spec: PaperTableSpec, digits: int, note: str) -> PaperTable:
    """Rows (setting, groups, method, group), the columns as they come. Several draws of a group count as their mean."""
    orders = [AS_THEY_ARE, *sorted(set(rows.forget_set) - {AS_THEY_ARE})]
    study = spec.study.model_copy(update={"forget_sets": dict.fromkeys(orders), "controls": {}})
    keys = ["setting", "forget_set", "method", "group", "seed", "column"]
    rows = rows.groupby(keys, as_index=False, sort=False).value.mean().rename(columns={"group": "checkpoint"})
    told = spec.model_copy(update={"study": study, "checkpoints": [*GROUPS.values()]})
    table = laid_out(rows, told, digits, note)
    return PaperTable(table.numbers.rename_axis(index=LEVELS), table.text.rename_axis(index=LEVELS), table.note)


def table2(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    """Extraction strength on retain and forget set: a row a (setting, groups, method, group), two columns a number of pairs."""
    rows = of_groups(tables["unlearning"], spec)
    from_several = len(set(rows.checkpoint)) > 1
    parts = [rows.iloc[:0].assign(column="", value=0.0)]
    for pairs, checkpoint in sorted(set(rows[["pairs", "checkpoint"]].itertuples(index=False, name=None))):
        here = rows[(rows.pairs == pairs) & (rows.checkpoint == checkpoint)]
        named = f"{pairs} pairs, {checkpoint}" if from_several else f"{pairs} pairs"
        parts += [
            here.assign(column=f"{named}: {title}", value=here[name])
            for name, title in STRENGTHS.items()
            if name in here
        ]
    note = (
        "Extraction strength in [0, 1] on retained and on unlearned examples (there lower is better). Of locally grokked "
        "ones the loss falls least after the candidate epoch, of ungrokked ones most."
    )
    return grouped(pd.concat(parts), spec, 3, note)


def table12(tables: Tables, spec: PaperTableSpec) -> PaperTable:
    """Lengths and losses: a row a (setting, groups, group). The last column is the same for both groups: p of Welch's t-test of
    the final losses, over the examples, the mean over seeds."""
    rows = of_groups(tables["groups"], spec).assign(method=spec.study.original)
    runs = ["setting", "forget_set", "method", "group", "seed"]
    means = rows.groupby(runs, as_index=False)[[name for name in EXAMPLES if name in rows]].mean()
    parts = [means.assign(column=title, value=means[name]) for name, title in EXAMPLES.items() if name in means]
    together = ["setting", "forget_set", "seed"]
    parts.append(means[runs].merge(loss_p(rows, together), on=together).assign(column="final loss, p"))
    note = (
        "Mean over the examples of a group; losses in nats a token. `p`: two-sided t-test (Welch's) of the final losses of both "
        "groups, over examples; 0 where it is below 0.00005."
    )
    return grouped(pd.concat(parts), spec, 4, note)
