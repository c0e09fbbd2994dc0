"""Which of a run's snapshots are looked at."""

from __future__ import annotations

import numpy as np


def spread(steps: list[int], wanted: int | None) -> list[int]:
    """About ``wanted`` of the steps after 0: those nearest to an even grid over their logarithms, each once, the first
    and last among them. All of them where ``wanted`` is None."""
    trained = np.array([step for step in steps if step > 0])
    if wanted is None:
        return sorted(trained.tolist())
    grid = np.linspace(np.log(trained[0]), np.log(trained[-1]), wanted)
    return sorted({int(trained[np.argmin(np.abs(np.log(trained) - point))]) for point in grid})
