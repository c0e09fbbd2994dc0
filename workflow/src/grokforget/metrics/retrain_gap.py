"""Distance to the retrained reference."""

from __future__ import annotations

import math

from grokforget.metrics.base import Cell, accuracies


def measure(cell: Cell) -> dict[str, float]:
    """``retrain_gap`` = mean over forget, retain, test of |accuracy - retrained accuracy|; ``tow`` = Π (1 -
    |difference|), 1 is best."""
    after, reference = accuracies(cell.outputs), accuracies(cell.retrained)
    gaps = [abs(after[split] - reference[split]) for split in after]
    return {"retrain_gap": sum(gaps) / len(gaps), "tow": math.prod(1 - gap for gap in gaps)}
