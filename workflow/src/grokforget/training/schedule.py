"""At which steps a run is evaluated and its weights are kept.

The grids do not depend on how long the run is, so that a run asked to go on keeps the points it has.
"""

from __future__ import annotations

import math


def log_steps(start: int, stop: int, per_decade: int) -> set[int]:
    """The rounded powers 10^(i / per_decade) in [start, stop]; 0 belongs to every grid."""
    steps = {0} if start <= 0 else set()
    if stop >= 1:
        first = math.floor(per_decade * math.log10(max(start, 1)))
        last = math.ceil(per_decade * math.log10(stop))
        steps |= {step for i in range(first, last + 1) if start <= (step := round(10 ** (i / per_decade))) <= stop}
    return steps


def evaluation_steps(start: int, stop: int, per_decade: int, every: int) -> set[int]:
    """Log-spaced steps and every ``every``-th step in [start, stop]."""
    first = -(-start // every) * every
    return log_steps(start, stop, per_decade) | set(range(first, stop + 1, every))
