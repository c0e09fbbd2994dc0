"""Where everything of a study lies, below ``results/<study>/``.

A job is known by where it writes: by the path that its results begin with (``train/.../segment001/state.safetensors``).
What it is to do stands in ``specs/<path>/spec.json``, what it did in ``jobs/<path>.json``, and its log is ``logs/<path>.log``.
The rules use these as patterns with wildcards, the specs' builders fill them in: one place that knows both.
"""

from __future__ import annotations

from pathlib import Path

DATA = "data/{data}/examples"
SPLIT_JOB = "data/{data}/seed{seed}"
DIFFICULTIES = "difficulty/{setting}/seed{seed}"
FORGETTING = "forget/{setting}/seed{seed}"
GROUPING = "groups/{setting}/seed{seed}"
SEGMENT = "train/{setting}/seed{seed}/{train_set}/segment{segment}"
TOGETHER = "together/{grid}/seed{seed}"
"""A job that trains all runs of a seed of a grid, in a folder that has its data too."""
SELECTION = "checkpoints/{setting}/seed{seed}"
REQUEST = "unlearn/{setting}/seed{seed}/{forget_set}"
ALONG_TRAINING = "along_training/{setting}/seed{seed}"
MEASUREMENT = "metrics/{setting}/seed{seed}"
INSPECTION = "analysis/{setting}/seed{seed}"
SHADOWS = "shadows/{setting}"
ATTACK = "attack/{setting}"
COLLECTION = "tables/{table}"
FIGURE = "figures/{figure}"
PAPER = "paper/{table}"
PROVENANCE = "provenance"
TUNING_JOB = "tuning/{setting}/seed{seed}"
CHOICE = "tuning/choice"

EXAMPLES = f"{DATA}.safetensors"
LABELS = "data/{data}/labels.csv"
SPLIT = f"{SPLIT_JOB}.safetensors"
FORGET = f"{FORGETTING}/{{forget_set}}.safetensors"
DIFFICULTY = f"{DIFFICULTIES}/{{forget_set}}.safetensors"
GROUP = f"{GROUPING}/{{forget_set}}.parquet"
GROUP_LOSSES = f"{GROUPING}/{{forget_set}}.losses.parquet"
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
BATCH_NORM = f"{UNLEARNED}/batch_norm.parquet"
UNLEARNED_ALONG = f"{ALONG_TRAINING}/{{forget_set}}.parquet"
METRICS = f"{MEASUREMENT}/{{forget_set}}.parquet"
BEFORE = "before"
"""The folder of analyses of checkpoints and results, beside that of snapshots along training."""
ALONG = "along"
FULL = "full"
"""The train set of which nothing is left out. Where forget sets are named, that nothing is forgotten: none is called so."""
VALUES = f"{INSPECTION}/{{moment}}/{{forget_set}}/{{analysis}}.parquet"
SHADOW = f"{SHADOWS}/seed{{seed}}/{{train_set}}.safetensors"
ATTACKED = f"{ATTACK}/{{forget_set}}.parquet"
TABLE = f"{COLLECTION}.parquet"
TUNING = f"{TUNING_JOB}/{{method}}.parquet"
TUNING_TRAJECTORY = f"{TUNING_JOB}/{{method}}.trajectory.parquet"

PAPER_NUMBERS = Path(__file__).parents[3] / "resources" / "paper_numbers.csv"
"""The paper's published numbers: of the workflow, not of a study."""

LOGS, JOBS, SPECS = "logs", "jobs", "specs"
DEPTHS = {
    **dict.fromkeys(
        ("forget", "difficulty", "groups", "checkpoints", "along_training", "metrics", "analysis", "together"), 3
    ),
    **{"unlearn": 4, "shadows": 2, "attack": 2},
}
"""Where a job writes a folder that holds its items: how many names its path has."""


def product_of(file: str) -> str:
    """The output of a rule that a file is, or lies in: what a rule that reads the file has as its input."""
    parts = file.split("/")
    depth = DEPTHS.get(parts[0], 3 if parts[0] == "tuning" and len(parts) == 4 else len(parts))
    return "/".join(parts[:depth])


def log_of(key: str) -> str:
    """What a job says while it runs."""
    return f"{LOGS}/{key}.log"


def record_of(key: str) -> str:
    """What a job did, for the next run, for questions about the results and for ``provenance.json``."""
    return f"{JOBS}/{key}.json"


def spec_of(key: str) -> str:
    """What a job is to do. In a folder of its own: while it plans, Snakemake lists a folder once, and takes what is written
    into it later for missing."""
    return f"{SPECS}/{key}/spec.json"


def root_of(file: Path, kind: str = JOBS) -> Path:
    """The study's folder, for the path of a record (or of another ``kind``): what stands in front of ``jobs/``, behind a
    study that may be called so."""
    parts = file.parts
    study = parts.index("results") + 1 if "results" in parts else 0
    return Path(*parts[: parts.index(kind, study + 1 if study else 0)])


def segment_name(number: int) -> str:
    """``001``, ``002``, ...: sorted as text they are in order."""
    return f"{number:03d}"


def segment_numbers(steps: int, segment_steps: int, start: int = 0) -> list[str]:
    """The segments of a run of ``steps`` updates that begins behind the update ``start``; the first one of all is 1."""
    return [segment_name(number) for number in range(start // segment_steps + 1, steps // segment_steps + 1)]
