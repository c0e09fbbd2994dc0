"""Which of a run's snapshots are looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from grokforget.runtime.files import tensor_groups


def chosen(segments: Iterable[Path], wanted: int | None) -> list[tuple[int, Path]]:
    """The steps that are looked at (``spread``), in their order, and the segment's file that holds each one's snapshot."""
    where = snapshots_of(segments)
    return [(step, where[step]) for step in spread(sorted(where), wanted)]


def snapshots_of(segments: Iterable[Path]) -> dict[int, Path]:
    """The segment's file that holds each step's snapshot."""
    return {int(step): path for path in segments for step in tensor_groups(path)}


def spread(steps: list[int], wanted: int | None) -> list[int]:
    """About ``wanted`` of the steps after 0: those nearest to an even grid over their logarithms, each once, the first
    and last among them. All of them where ``wanted`` is None. None of a run that diverged before its first update: it has
    no trained snapshot."""
    trained = np.array(sorted(step for step in steps if step > 0), dtype=int)
    if wanted is None or not len(trained):
        return [int(step) for step in trained]
    grid = np.linspace(np.log(trained[0]), np.log(trained[-1]), wanted)
    return sorted({int(trained[np.argmin(np.abs(np.log(trained) - point))]) for point in grid})
