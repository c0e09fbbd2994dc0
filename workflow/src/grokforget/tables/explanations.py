"""What predicts what is lost at matched forgetting: the candidates side by side, and what is left for grokking itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from grokforget.statistics.candidates import (
    ANALYSED,
    ASKED,
    KINDS,
    OF_TRAINING,
    OUTCOMES,
    PAST,
    SNAPSHOTS,
    Analysed,
)
from grokforget.statistics.explanations import ALL, explain
from grokforget.statistics.flags import NOT_REACHED, flagged
from grokforget.statistics.levels import ROUND_OFF

if TYPE_CHECKING:
    from grokforget.config.specs.base import Meanings

RUN = ["setting", "seed"]
STATUS = {"left_out": "flagged", "there_before": "at the level before", "not_reached": "never there"}
"""Units without an outcome: the column that counts them, and what they are."""
COLUMNS = [
    *("units", "level", "forget_set", "setting", "predictor", "given", "correlation", "low", "high"),
    *("n", "seeds", "unmeasured", *STATUS),
]


def explanations(
    tables: Mapping[str, pd.DataFrame], study: Meanings, settings: list[str], forget_sets: list[str]
) -> pd.DataFrame:
    """A row a (kind of unit, level, setting, predictor, what is given), and of the mean over settings.

    A unit is a (setting, seed, snapshot) or a (setting, seed, checkpoint); checkpoints are snapshots too, and what is known
    of the two differs, so that they are never in one coefficient. Of each setting one forget set counts: of those that the
    analyses looked at, or else of all, the last of ``forget_sets`` or else the last by name.

    ``correlation`` is Spearman's between predictor and collateral, partial where something is ``given``, ``low`` and
    ``high`` its bootstrap interval over seeds (``statistics.explanations``). ``n`` and ``seeds`` are what it is of,
    ``unmeasured`` how many units with an outcome lack the predictor. ``left_out`` (flagged), ``there_before`` (at the level
    or below before unlearning) and ``not_reached`` count units without an outcome.
    """
    rows = []
    for kind, level in OUTCOMES:
        units = of_snapshots(tables) if kind == SNAPSHOTS else of_checkpoints(tables, level)
        units = units[units.setting.isin(settings)]
        measured = analysed(tables.get("along" if kind == SNAPSHOTS else "analysis"), study)
        chosen = chosen_sets(units, measured, forget_sets)
        units = units[units.forget_set == units.setting.map(chosen)]
        units = with_predictors(
            units, tables, measured, [*RUN, "forget_set", "step" if kind == SNAPSHOTS else "checkpoint"]
        )
        counts = pd.crosstab(units.setting, units.status).reindex(columns=list(STATUS.values()), fill_value=0)
        counts.loc[ALL] = counts.sum()
        for row in explain(units, "collateral", ASKED):
            of_setting = counts.loc[row["setting"]]
            named = {"units": kind, "level": level, "forget_set": chosen.get(row["setting"], "")}
            rows.append({**named, **row, **{column: int(of_setting[what]) for column, what in STATUS.items()}})
    return pd.DataFrame(rows, columns=COLUMNS)


def of_snapshots(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a (setting, seed, forget_set, step): ``collateral`` where the forget accuracy has fallen to chance, and
    ``status``."""
    where = [*RUN, "forget_set", "step"]
    if "unlearning_along" not in tables:
        return pd.DataFrame(columns=[*where, "collateral", "status"])
    table = tables["unlearning_along"]
    drops = [table[f"original_{split}_accuracy"] - table[f"{split}_accuracy_at_chance"] for split in ("retain", "test")]
    updates = table.updates_to_chance
    status = np.select(
        [flagged(table), updates.isna(), updates == 0],
        [STATUS[name] for name in ("left_out", "not_reached", "there_before")],
        "",
    )
    collateral = ((drops[0] + drops[1]) / 2).where(status == "")
    return table[where].assign(collateral=collateral, status=status)


def of_checkpoints(tables: Mapping[str, pd.DataFrame], level: str) -> pd.DataFrame:
    """A row a (setting, seed, forget_set, checkpoint): ``collateral`` at the level of the chosen candidates, averaged over
    methods, and ``status``.

    Of every method's collateral its mean over the units of the setting is taken off before: where one does not get there
    from some checkpoint, the average over the others is still comparable.
    """
    where = [*RUN, "forget_set", "checkpoint"]
    if "matched" not in tables:
        return pd.DataFrame(columns=[*where, "collateral", "status"])
    table = tables["matched"]
    table = table[table.chosen & (table.level == level)]
    there = table.forget_accuracy_before <= table.level_accuracy + ROUND_OFF
    kinds = [flagged(table) & (table.flag != NOT_REACHED), there, table.flag == NOT_REACHED]
    status = np.select(kinds, [STATUS[name] for name in ("left_out", "there_before", "not_reached")], "")
    collateral = table.collateral.where(status == "")
    usual = collateral.groupby([table[name] for name in ("setting", "forget_set", "method")]).transform("mean")
    told = table[where].assign(collateral=collateral - usual, status=status)
    # A unit has an outcome where one method gets there; else it is what most methods of it are, by name where as many.
    return told.groupby(where, as_index=False).agg(
        collateral=("collateral", "mean"),
        status=("status", lambda one: "" if (one == "").any() else one.mode().iloc[0]),
    )


def analysed(table: pd.DataFrame | None, study: Meanings) -> pd.DataFrame:
    """The rows of ``along`` or ``analysis`` (stage ``before``) that predictors are made of, with ``kind``."""
    if table is None:
        return pd.DataFrame(columns=[*RUN, "forget_set", "step", "checkpoint", "kind", "measure", "part", "value"])
    if "stage" in table:
        table = table[table.stage == "before"]
    table = table.assign(kind=table.analysis.map(study.analyses))
    return table[table.kind.isin(KINDS) & ~flagged(table)]


def chosen_sets(units: pd.DataFrame, measured: pd.DataFrame, forget_sets: list[str]) -> dict[str, str]:
    """The forget set of each setting."""

    def rank(setting: str, name: str) -> tuple[bool, int, str]:
        looked_at = ((measured.setting == setting) & (measured.forget_set == name)).any()
        return bool(looked_at), forget_sets.index(name) if name in forget_sets else -1, name

    by_setting = units.groupby("setting").forget_set.unique()
    return {setting: max((rank(setting, name), name) for name in names)[1] for setting, names in by_setting.items()}


def with_predictors(
    units: pd.DataFrame, tables: Mapping[str, pd.DataFrame], measured: pd.DataFrame, where: list[str]
) -> pd.DataFrame:
    """The units with a column a predictor, NaN where it was not measured."""
    checkpoints = tables["checkpoints"][tables["checkpoints"].train_set == "full"]
    curves = tables["training"][tables["training"].train_set == "full"] if where[-1] == "step" else checkpoints
    known = curves[[*RUN, where[-1], *(column for column in OF_TRAINING.values() if column != where[-1])]]
    units = units.merge(known, on=[*RUN, where[-1]], how="left")
    units = units.merge(checkpoints[[*RUN, "t_grok"]].drop_duplicates(RUN), on=RUN, how="left")
    columns = {name: units[column].astype("float64") for name, column in OF_TRAINING.items()}
    # A run that did not grok is nowhere past it.
    columns[PAST] = (units.step >= units.t_grok).astype("float64")
    keys = pd.MultiIndex.from_frame(units[where])
    for name, one in ANALYSED.items():
        columns[name] = looked_up(measured, one, one.measure, where, keys)
        if one.control:
            columns[name] = columns[name] - looked_up(measured, one, one.control, where, keys)
    return units.assign(**columns)


def looked_up(measured: pd.DataFrame, one: Analysed, measure: str, where: list[str], keys: pd.MultiIndex) -> np.ndarray:
    """The values of a measure at the keys, NaN where there is none; the mean where several analyses of the kind have it."""
    rows = measured[(measured.kind == one.kind) & (measured.part == one.part) & (measured.measure == measure)]
    means = rows.groupby(where).value.mean()
    return means.reindex(keys).to_numpy(np.float64) if len(means) else np.full(len(keys), np.nan)
