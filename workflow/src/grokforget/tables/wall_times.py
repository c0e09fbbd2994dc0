"""How long runs took until they grokked, in seconds.

No table of a study holds times, so that the same study gives the same bytes: they are read off the records of the jobs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grokforget.runtime import paths
from grokforget.runtime.record import read_record
from grokforget.statistics.timed_runs import timed

COLUMNS = ("setting", "runs", "grokked", "steps to grok", "ms a step", "seconds to grok")


def wall_times(root: Path) -> pd.DataFrame:
    """A row a setting, of its runs on the full train set: ``COLUMNS``, medians over seeds, with the least and the most in
    brackets, as text.

    ``seconds to grok`` is t_grok (by the setting's rule) times what a step of that run took, of the runs that grokked: the
    mean over the run, evaluations and snapshots among it, the start of Python not. A run whose segments were not all
    computed by their own jobs (trained together with others of its grid, or found in the store) has no seconds. Of a
    segment that was interrupted only the work behind the interruption is known. Raises FileNotFoundError without
    ``tables/runs.parquet``.
    """
    table = root / "tables" / "runs.parquet"
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing; the study's run makes it")
    runs = timed(pd.read_parquet(table), "t_grok")
    runs = runs[runs.train_set == "full"].copy()
    runs["ms"] = [1e3 * seconds_a_step(root, run.setting, run.seed) for run in runs.itertuples()]
    rows = []
    for setting, group in runs.groupby("setting", sort=False):
        known = group[group.state == "known"]
        steps, seconds = known.time, known.time * known.ms / 1e3
        rows.append(
            (setting, len(group), len(known), spread(steps, 0), spread(group.ms, 2), spread(seconds.dropna(), 2))
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def seconds_a_step(root: Path, setting: str, seed: int) -> float:
    """Of a run on the full train set; NaN where it is not known of every segment."""
    folder = Path(paths.SEGMENT.format(setting=setting, seed=seed, train_set=paths.FULL, segment="")).parent
    records = [read_record(file) for file in sorted((root / paths.JOBS / folder).glob("segment*.json"))]
    whole = [
        record for record in records if record and all(one["status"] == "computed" for one in record["items"].values())
    ]
    if not records or len(whole) < len(records):
        return np.nan
    last = max(one["spec"]["stop"] for record in whole for one in record["spec"]["items"].values())
    return float(sum(record["costs"]["work_s"] for record in whole) / last)


def spread(values: pd.Series, digits: int) -> str:
    """Median, least and most; a dash where there are none."""
    known = values.dropna()
    if not len(known):
        return "–"
    middle, least, most = (f"{value:,.{digits}f}" for value in (known.median(), known.min(), known.max()))
    return f"{middle} [{least}, {most}]"
