"""What an analysis of a run itself is given, of which nothing is forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from grokforget.analyses.base import Probe


@dataclass(frozen=True)
class RunProbe(Probe):
    """A snapshot along a run: ``examples`` holds ``retain``, which is the whole train set, ``validation`` and ``test``.

    ``last`` are the weights of the run's last snapshot, by which some measures know what it came to.
    """

    last: Mapping[str, Tensor] = field(default_factory=dict)
