"""Does what tells checkpoints apart survive tuning? Every checkpoint at its own best hyper-parameter."""

from __future__ import annotations

import pandas as pd

from grokforget.stages.choose import best, scored
from grokforget.stages.job import Job
from grokforget.storage import read_table, write_table

CELL = ["setting", "method", "checkpoint"]
SHARED, OWN = "shared", "own"


def tuned(job: Job) -> None:
    """The cells of the reported seeds at two choices of a method's hyper-parameter.

    ``shared``: one value for all checkpoints, as the paper does; ``own``: for each checkpoint its own. Both are chosen by the
    rule of ``choose`` (``stages/choose.py``) on the tuning seed alone, from the same candidates, so every checkpoint has
    the same budget. Reads ``tuning``; writes ``table``: a row a (setting, seed, forget_set, checkpoint, method, protocol), with
    ``balance`` and ``retained`` of that cell beside its accuracies. Spec: ``seed``, the one that chooses.
    """
    table = scored(read_table(job.input("tuning")))
    chooses = table.seed == job.spec["seed"]
    chosen = choices(table[chooses])
    cells = table[~chooses].merge(chosen, on=[*CELL, "value"])
    keys = ["setting", "seed", "forget_set", "checkpoint", "method", "protocol"]
    order = [*keys, *(name for name in cells.columns if name not in keys)]
    write_table(job.outputs["table"], cells[order].sort_values(keys, kind="stable", ignore_index=True))


def choices(candidates: pd.DataFrame) -> pd.DataFrame:
    """The chosen value a (setting, method, checkpoint, protocol), from the scored rows of the tuning seed."""
    by_checkpoint = candidates.groupby([*CELL, "value"], as_index=False)[["balance", "retained"]].mean()
    over_all = by_checkpoint.groupby(["setting", "method", "value"], as_index=False).agg(
        balance=("balance", "mean"), retained=("retained", "min")
    )
    own = [
        {**dict(zip(CELL, labels, strict=True)), "protocol": OWN, "value": best(group).value}
        for labels, group in by_checkpoint.groupby(CELL, sort=True)
    ]
    at_once = {labels: best(group).value for labels, group in over_all.groupby(["setting", "method"], sort=True)}
    shared = [{**row, "protocol": SHARED, "value": at_once[row["setting"], row["method"]]} for row in own]
    return pd.DataFrame([*shared, *own])
