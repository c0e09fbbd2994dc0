"""Collect a tidy table of the study from the files of its runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from grokforget.runtime.files import read_table, write_table
from grokforget.runtime.job import Job

if TYPE_CHECKING:
    from grokforget.config.specs.collect import CollectSpec


def collect(job: Job[CollectSpec]) -> None:
    """Read ``parts``, label their rows, and write ``table``: labels first, in an order that does not depend on the order of
    the config. What some parts do not have (a control's matched checkpoint, say) is empty in their rows."""
    spec = job.spec
    frames = [read_table(path).assign(**labels) for path, labels in zip(job.inputs["parts"], spec.labels, strict=True)]
    table = pd.concat(frames, ignore_index=True)
    first = [*spec.keys, *spec.then]
    order = [*first, *(column for column in table.columns if column not in first)]
    write_table(job.outputs["table"], table[order].sort_values(first, kind="stable", ignore_index=True))
