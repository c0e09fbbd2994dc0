"""What is wrong with data that cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class DataError(ValueError):
    """Data that cannot be used; the message names the file and the place in it, what was found and what is allowed."""

    def __init__(self, place: str | Path, what: str, found: object, allowed: str) -> None:
        super().__init__(f"{place}: {what}: found {found}; allowed: {allowed}")


def listed(names: list[str], most: int = 5) -> str:
    """Names in quotes, of many the first ones and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more if names else "none"


def check_finite(place: str | Path, what: str, values: np.ndarray) -> None:
    """Raise DataError where an entry of ``values`` (N, ...) is NaN or infinite; numbers of any type."""
    bad = ~np.isfinite(values)
    if bad.any():
        first = tuple(int(position) for position in np.argwhere(bad)[0])
        found = f"{int(bad.sum())} of {values.size} values, the first ({values[first]}) at {list(first)}"
        raise DataError(place, f"{what} with values that are NaN or infinite", found, "finite numbers")
