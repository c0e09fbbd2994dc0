"""The paper's published numbers, each beside this study's where it has that cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokforget.statistics.flags import counted
from grokforget.statistics.groups import AS_THEY_ARE, by_groups, loss_p
from grokforget.statistics.groups import GROUPS as OF_PAPER
from grokforget.statistics.quantities import under_their_settings

if TYPE_CHECKING:
    from grokforget.config.specs.base import ControlMeaning, ForgetSetMeaning
    from grokforget.config.specs.tables import PublishedSpec

METHODS = {
    "original": "original",
    "retrain": "retrain",
    "gradient_ascent": "gradient-ascent",
    "nabla_tau": "nabla-tau",
    "scrub": "scrub",
    "fisher": "fisher",
    "finetune": "fine-tune",
}
"""The paper's methods and their kinds here."""
LANGUAGE_METHODS = {
    "original": "original",
    "gradient_ascent": "lm-gradient-ascent",
    "gradient_difference": "gradient-difference",
    "kl": "kl",
    "preference": "preference",
    "npo": "npo",
    "rmu": "rmu",
}
"""Likewise where groups of examples are forgotten."""
GROUPS = {"locally_grokked": "early", "locally_ungrokked": "late"}
CHECKPOINTS = {"pre": "early", "grok": "grokked"}
EXAMPLES_DESIGN = "examples"
DESIGNS = {"within_2_classes": "within-classes", "random_examples": "random"}
CELLS = {
    "test_accuracy": ("test_accuracy", 100),
    "retain_accuracy": ("retain_accuracy", 100),
    "unlearning_accuracy": ("forget_accuracy", 100),
    "unlearning_effectiveness_score": ("ues", 1),
    "extraction_strength_retain": ("retain_extraction_strength", 1),
    "extraction_strength_unlearn": ("forget_extraction_strength", 1),
}
"""The paper's measure of a cell → column and factor."""
ANALYSES = {
    "gradient_cosine": ("gradient-alignment", "gradient_cosine", ""),
    "gradient_angle_degrees": ("gradient-alignment", "gradient_angle", ""),
    "cka_forget_retain": ("cka", "cka", "representation"),
    **{
        f"local_complexity_{split}": ("local-complexity", "local_complexity", split)
        for split in ("retain", "test", "forget")
    },
}
"""The paper's measure of a model → kind of analysis, measure, part."""
EXAMPLES = ("question_characters", "answer_characters")
"""The paper's measures of the examples of a group, which are columns of ours as well."""
LOSS_P = "final_loss_t_test_p_value"
KEYS = ["setting", "checkpoint", "forget_set", "method", "metric"]
NONE = "No setting has a data set and a model family that the paper has numbers of."
NOTE = (
    "Each published number that this study has a cell for: same data set and model family, method, checkpoint, forget design "
    "and forget fraction. `difference` is ours minus the published one, in units of the published standard deviation where "
    "one was printed and is not 0. θ_spline has several operationalisations here. Accuracies in percent. {shown} of {all} "
    "published numbers."
)


def published(
    theirs: pd.DataFrame, tables: Mapping[str, pd.DataFrame], spec: PublishedSpec
) -> tuple[pd.DataFrame, str]:
    """Our means and standard deviations (of the tables ``unlearning`` and ``analysis``, and of ``groups`` where there are some)
    beside the paper's numbers (``workflow/resources/paper_numbers.csv``): a row a published number and cell of ours, and the
    same as a page."""
    tables = {name: counted(table) for name, table in tables.items()}
    parts = [of_cells(tables["unlearning"], spec), of_models(tables["analysis"], spec)]
    if "groups" in tables:
        parts.append(of_examples(tables["groups"], spec))
    ours = pd.concat(parts)
    rows = [row for number in theirs.to_dict("records") for row in beside(number, ours, spec)]
    columns = [*theirs.columns, "setting", "forget_set", "our_checkpoint", "our_mean", "our_std", "seeds", "difference"]
    table = pd.DataFrame(rows, columns=columns)
    return table, page(table, theirs)


def page(table: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """In Markdown, with how many of the published numbers there is a cell for."""
    note = NOTE.format(shown=len(table.drop_duplicates(list(theirs.columns))), all=len(theirs))
    given = table.astype(object).where(table.notna(), None)
    formats = [",.1f" if column == "difference" else ".3g" for column in table.columns]
    text = given.to_markdown(index=False, floatfmt=formats, missingval="–") if len(table) else NONE
    return f"# Published numbers\n\n{note}\n\n{text}\n"


def of_cells(table: pd.DataFrame, spec: PublishedSpec) -> pd.DataFrame:
    """Mean, standard deviation and number of seeds of the measures of cells: columns ``KEYS``, mean, std, seeds."""
    table = under_their_settings(table, spec.study.controls)
    parts = [
        table.assign(metric=metric, value=factor * table[column])
        for metric, (column, factor) in CELLS.items()
        if column in table
    ]
    return over_seeds(pd.concat(parts))


def of_models(table: pd.DataFrame, spec: PublishedSpec) -> pd.DataFrame:
    """Likewise of analyses: before unlearning under ``original``, after it as the mean over the methods, under
    ``unspecified``, as in the paper's Table 4."""
    kinds = spec.study.analyses
    table = under_their_settings(table, spec.study.controls)
    table = table.assign(kind=table.analysis.map(kinds))
    table = table[~table.stage.isin(spec.study.references)]
    table = table.assign(method=np.where(table.stage == "before", "original", "unspecified"))
    parts = [
        table[(table.kind == kind) & (table.measure == measure) & (table.part == part)].assign(metric=metric)
        for metric, (kind, measure, part) in ANALYSES.items()
    ]
    rows = pd.concat(parts).groupby([*KEYS, "seed"], as_index=False).value.mean()
    return over_seeds(rows)


def of_examples(table: pd.DataFrame, spec: PublishedSpec) -> pd.DataFrame:
    """Likewise of the examples of groups as they are, under ``original`` and no checkpoint: the mean of each measure, and p of
    the final losses of both groups under the name of the first."""
    rows = by_groups(table, spec.study.forget_sets)
    rows = rows[rows.matched == AS_THEY_ARE].assign(checkpoint="", method=spec.study.original)
    each = [name for name in KEYS if name != "metric"] + ["seed"]
    measures = [name for name in EXAMPLES if name in rows]
    means = rows.groupby(each, as_index=False)[measures].mean().melt(each, measures, "metric")
    first = rows[rows.group == next(iter(OF_PAPER.values()))].drop_duplicates([*each, "pairs"])
    losses = loss_p(rows, ["setting", "seed", "pairs"])
    return over_seeds(pd.concat([means, first.merge(losses, on=["setting", "seed", "pairs"]).assign(metric=LOSS_P)]))


def over_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (n - 1) and count over seeds."""
    return table.groupby(KEYS).value.agg(mean="mean", std="std", seeds="count").reset_index()


def beside(number: Mapping[str, Any], ours: pd.DataFrame, spec: PublishedSpec) -> Iterator[dict[str, Any]]:
    """A published number with each of our cells that it has."""
    of_analysis = number["metric"] in ANALYSES
    of_groups = number["forget_design"] == EXAMPLES_DESIGN
    forget_sets = [name for name, rule in spec.study.forget_sets.items() if same_design(number, rule)]
    kind = (LANGUAGE_METHODS if of_groups else METHODS).get(number["method"])
    methods = {name for name, one in spec.methods.items() if one == kind}
    if of_analysis:
        methods = {number["method"]}
    settings = [
        setting
        for setting, one in spec.beside.items()
        if one.dataset == number["dataset"] and number["model"] in (one.model, "unspecified")
    ]
    rows = ours[
        ours.setting.isin(settings)
        & ours.forget_set.isin(forget_sets)
        & ours.method.isin(methods)
        & (ours.metric == number["metric"])
        # Both groups are forgotten from the same model.
        & (of_groups | ours.checkpoint.isin(checkpoints(number["checkpoint"], spec.study.controls)))
    ]
    for row in rows.to_dict("records"):
        spread = number["std"]
        yield {
            **number,
            **{key: row[key] for key in ("setting", "forget_set", "seeds")},
            "our_checkpoint": row["checkpoint"],
            "our_mean": row["mean"],
            "our_std": row["std"],
            "difference": (row["mean"] - number["mean"]) / spread if spread and spread > 0 else np.nan,
        }


def same_design(number: Mapping[str, Any], rule: ForgetSetMeaning) -> bool:
    """Whether a forget set is of the design that a published number is of. Of groups of examples the fraction is the number of
    pairs, and what is of both groups stands beside the first."""
    size, any_size = number["forget_fraction"], np.isnan(number["forget_fraction"])
    if number["forget_design"] == EXAMPLES_DESIGN:
        group = GROUPS.get(number["checkpoint"], GROUPS["locally_grokked"])
        return rule.group == group and rule.matched is None and (any_size or rule.pairs == size)
    return rule.kind == DESIGNS.get(number["forget_design"]) and (any_size or rule.fraction == size)


def checkpoints(name: object, controls: Mapping[str, ControlMeaning]) -> list[str]:
    """Ours for a published checkpoint; the paper's retrained models have none, ours are those of ``grokked``."""
    if not isinstance(name, str):
        return ["grokked"]
    named = [control.name for control in controls.values()]
    return [CHECKPOINTS.get(name, name), *(one for one in named if one.startswith(f"{name}-"))]
