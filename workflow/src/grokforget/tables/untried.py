"""Methods of which no candidates are tried: their own cells, as the one candidate that there is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from grokforget.statistics.flags import FLAG, REFERENCE_FLAG
from grokforget.tables.matched import CELL, SPLITS

RUN = ["setting", "seed", "forget_set", "checkpoint"]
ITSELF = {"parameter": "", "value": 0.0}
"""Stands for what the study names."""


def untried(
    unlearning: pd.DataFrame,
    trajectories: pd.DataFrame,
    tuning: pd.DataFrame | None,
    *,
    chance: Mapping[str, float],
    original: str,
    retrain: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows as of the tables ``tuning`` and ``tuning_trajectories``, of every (setting, method) without a row in ``tuning``.

    ``chance`` has the accuracy of guessing by setting; of others there are no rows. ``original`` and ``retrain`` are the
    names of the two methods that unlearn nothing. Accuracies are those of the trajectories' ends.
    """
    known = set() if tuning is None else set(tuning[["setting", "method"]].itertuples(index=False, name=None))
    pairs = unlearning[["setting", "method"]].itertuples(index=False, name=None)
    asked = [
        setting in chance and method not in (original, retrain) and (setting, method) not in known
        for setting, method in pairs
    ]
    cells = unlearning.loc[asked, [*CELL, "updates", FLAG, REFERENCE_FLAG]].assign(**ITSELF)
    accuracies = [f"{split}_accuracy" for split in SPLITS]
    ends = trajectories[trajectories.final][[*CELL, *accuracies]]
    cells = cells.merge(ends, on=CELL)
    for method, ending in ((original, "_before"), (retrain, "_retrained")):
        others = ends[ends.method == method].drop(columns="method")
        cells = cells.merge(others.rename(columns={name: name + ending for name in accuracies}), on=RUN)
    # A run that diverges may pass a level before: the rows of its trajectory have the flag of the checkpoint that it began with.
    flags = unlearning.loc[unlearning.method == original, [*RUN, FLAG]]
    paths = trajectories.drop(columns=FLAG).merge(cells[CELL], on=CELL).merge(flags, on=RUN).assign(**ITSELF)
    paths = paths[np.isfinite(paths[[f"{split}_loss" for split in SPLITS]]).all(axis=1)]
    return cells.assign(chance=cells.setting.map(chance)), paths[[*CELL, *ITSELF, "update", "final", *accuracies, FLAG]]
