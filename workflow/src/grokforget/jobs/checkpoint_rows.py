"""Tables whose rows belong to checkpoints, as arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grokforget.runtime.files import read_columns

Columns = dict[str, np.ndarray]


def by_checkpoint(path: Path) -> dict[str, Columns]:
    """The columns of a Parquet file by checkpoint: views, where the rows of a checkpoint stand together, as jobs write them."""
    columns = read_columns(path)
    checkpoint = columns.pop("checkpoint")
    found: dict[str, Columns] = {}
    for name in dict.fromkeys(checkpoint.tolist()):
        rows = np.flatnonzero(checkpoint == name)
        together = rows[-1] - rows[0] + 1 == len(rows)
        chosen = slice(rows[0], rows[-1] + 1) if together else rows
        found[name] = {key: values[chosen] for key, values in columns.items()}
    return found
