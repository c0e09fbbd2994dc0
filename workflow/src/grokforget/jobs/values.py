"""The values of an analysis, model by model, as a table."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from grokforget.analyses.base import Probe, Value
from grokforget.runtime.components import ComponentSpec, load_implementation
from grokforget.runtime.errors import noted
from grokforget.runtime.files import write_rows
from grokforget.runtime.progress import progress
from grokforget.statistics.flags import FLAG, flag_of

log = logging.getLogger("grokforget")


class Looked(NamedTuple):
    """A model to look at: the labels of its rows, whether its checkpoint was found, and what the analysis is given."""

    labels: dict[str, Any]
    found: bool
    probe: Probe


def write_values(
    path: Path, analysis: ComponentSpec, models: Iterable[Looked], count: int, labels: tuple[str, ...]
) -> None:
    """Analyse ``count`` models, one after the other as they come, and write the values under the columns ``labels``, with the
    model's flag. Those of a model that has diverged are NaN (``analyses/base.py``)."""
    function = load_implementation(analysis.implementation)
    rows: list[dict[str, Any]] = []
    began = time.monotonic()
    with progress(function.__name__, count) as show:
        for number, (own, found, probe) in enumerate(models, start=1):
            with noted("model", ", ".join(f"{label} {name}" for label, name in own.items())):
                shared = {**own, FLAG: flag_of(found, probe.finite)}
                rows += [{**shared, **value._asdict()} for value in function(probe, **analysis.settings)]
            show(number, "")
    log.info("%s: %d models, %.3f s a model", function.__name__, count, (time.monotonic() - began) / max(count, 1))
    # With their types, so that a table without rows (no ReLU, say) goes together with the others.
    types = {"step": pa.int64(), "value": pa.float64()}
    names = (*labels, FLAG, *Value._fields)
    columns = {name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in names}
    write_rows(path, columns)
