"""The paper's Unlearning Effectiveness Score."""

from __future__ import annotations

import math

from grokforget.metrics.base import Cell, accuracies


def measure(cell: Cell) -> dict[str, float]:
    """UES = (UA_o - UA_u) / ((TA_o - TA_u)(RA_o - RA_u)), o before and u after unlearning, with accuracies in percent.

    In percent the published pairs agree (Table 8: 93.6 / (44.459 · 51.544) = 0.041). NaN where nothing was lost on test
    or retain set: the score divides by the product of two differences that may be zero, so it ranks nothing. The
    components are ``{forget, test, retain}_accuracy_drop`` of ``accuracy``, in [0, 1].
    """
    before, after = accuracies(cell.original), accuracies(cell.outputs)
    drop = {split: 100 * (before[split] - after[split]) for split in before}
    collateral = drop["test"] * drop["retain"]
    return {"ues": drop["forget"] / collateral if collateral else math.nan, "ues_collateral": collateral}
