"""Where everything of a study lies, below ``results/<study>/``.

A job is known by its key. What it writes begins with the key (``train/.../segment001/state.safetensors``); its log is
``logs/<key>.log``, its record ``jobs/<key>.json``, and what it keeps for its next run lies in ``jobs/<key>.kept/``. The
rules use these as patterns with wildcards, the collecting stages fill them in: one place that knows both.
"""

from __future__ import annotations

from pathlib import Path

DATA = "data/{data}/examples"
SPLIT_JOB = "data/{data}/seed{seed}"
SCORING = "difficulty/{setting}/seed{seed}"
FORGETTING = "forget/{setting}/seed{seed}"
SEGMENT = "train/{setting}/seed{seed}/{train_set}/segment{segment}"
SELECTION = "checkpoints/{setting}/seed{seed}"
REQUEST = "unlearn/{setting}/seed{seed}/{forget_set}"
SWEEPS = "sweep/{setting}/seed{seed}"
MEASUREMENT = "measures/{setting}/seed{seed}"
INSPECTION = "analysis/{setting}/seed{seed}"
SHADOWS = "shadows/{setting}/seed{seed}"
ATTACK = "attack/{setting}"
COLLECTION = "tables/{table}"
FIGURE = "figures/{figure}"
PAPER = "paper/{table}"
PROVENANCE = "provenance"
TUNING_JOB = "tuning/{setting}/seed{seed}"
CHOICE = "tuning/choice"

EXAMPLES = f"{DATA}.safetensors"
SPLIT = f"{SPLIT_JOB}.safetensors"
FORGET = f"{FORGETTING}/{{forget_set}}.safetensors"
STATE = f"{SEGMENT}/state.safetensors"
SNAPSHOTS = f"{SEGMENT}/snapshots.safetensors"
CURVE = f"{SEGMENT}/curve.parquet"
CHECKPOINT_WEIGHTS = f"{SELECTION}/{{train_set}}.safetensors"
CHECKPOINT_TABLE = f"{SELECTION}/{{train_set}}.parquet"
UNLEARNED = f"{REQUEST}/{{method}}"
MODELS = f"{UNLEARNED}/models.safetensors"
TRAJECTORY = f"{UNLEARNED}/trajectory.parquet"
OUTPUTS = f"{UNLEARNED}/outputs.parquet"
DIAGNOSTICS = f"{UNLEARNED}/diagnostics.parquet"
SWEEP = f"{SWEEPS}/{{forget_set}}.parquet"
MEASURES = f"{MEASUREMENT}/{{forget_set}}.parquet"
BEFORE = "before"
"""The folder of analyses of checkpoints and results, beside that of snapshots along training."""
ALONG = "along"
VALUES = f"{INSPECTION}/{{moment}}/{{forget_set}}/{{analysis}}.parquet"
SHADOW = f"{SHADOWS}/{{train_set}}.safetensors"
ATTACKED = f"{ATTACK}/{{forget_set}}.parquet"
TABLE = f"{COLLECTION}.parquet"
TUNING = f"{TUNING_JOB}/{{method}}.parquet"

BESIDE = {"tables/contrasts": "tables/summary", "tables/claims": "paper/claims"}
"""Results that do not lie below the key of the job that makes them, and that key."""

PAPER_NUMBERS = Path(__file__).parents[2] / "resources" / "paper_numbers.csv"
"""The paper's published numbers: of the workflow, not of a study."""

LOGS, JOBS = "logs", "jobs"
UNIT = "@"
"""Stands for the unit's name in the paths that a batch is given; no name of a study holds it."""


def log_of(key: str) -> str:
    """What a job says while it runs."""
    return f"{LOGS}/{key}.log"


def record_of(key: str) -> str:
    """What a job did, for ``records.py`` and ``provenance.json``."""
    return f"{JOBS}/{key}.json"


def kept_of(record: Path) -> Path:
    """The folder, for a record's path, where a job leaves what its next run can go on from."""
    return record.with_suffix(".kept")


def root_of(record: Path) -> Path:
    """The study's folder, for a record's path: what stands in front of ``jobs/``, behind a study that may be called so."""
    parts = record.parts
    return Path(*parts[: parts.index(JOBS, 2 if parts[0] == "results" else 0)])


def segment_name(number: int) -> str:
    """``001``, ``002``, ...: sorted as text they are in order."""
    return f"{number:03d}"


def segment_numbers(steps: int, segment_steps: int) -> list[str]:
    """The segments of a run of ``steps`` updates, from 1."""
    return [segment_name(number) for number in range(1, steps // segment_steps + 1)]
