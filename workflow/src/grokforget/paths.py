"""Where every file of a study lies, below ``results/<study>/``.

The rules use these as patterns with wildcards, the collecting stages fill them in: one place that knows both.
"""

from __future__ import annotations

EXAMPLES = "data/{data}/examples.safetensors"
SPLIT = "data/{data}/seed{seed}.safetensors"
FORGET = "forget/{setting}/seed{seed}/{forget_set}.safetensors"

SEGMENT = "train/{setting}/seed{seed}/{train_set}/segment{segment}"
STATE = f"{SEGMENT}/state.safetensors"
SNAPSHOTS = f"{SEGMENT}/snapshots.safetensors"
CURVE = f"{SEGMENT}/curve.parquet"

SELECTION = "checkpoints/{setting}/seed{seed}/{train_set}"
CHECKPOINT_WEIGHTS = f"{SELECTION}.safetensors"
CHECKPOINT_TABLE = f"{SELECTION}.parquet"

UNLEARNED = "unlearn/{setting}/seed{seed}/{forget_set}/{method}"
MODELS = f"{UNLEARNED}/models.safetensors"
TRAJECTORY = f"{UNLEARNED}/trajectory.parquet"
OUTPUTS = f"{UNLEARNED}/outputs.parquet"
DIAGNOSTICS = f"{UNLEARNED}/diagnostics.parquet"

SWEEP = "sweep/{setting}/seed{seed}/{forget_set}.parquet"
MEASURES = "measures/{setting}/seed{seed}/{forget_set}.parquet"

TABLE = "tables/{table}.parquet"
FIGURE = "figures/{figure}"
TUNING = "tuning/{setting}/{method}.parquet"


def segment_name(number: int) -> str:
    """``001``, ``002``, ...: sorted as text they are in order."""
    return f"{number:03d}"


def segment_numbers(steps: int, segment_steps: int) -> list[str]:
    """The segments of a run of ``steps`` updates, from 1."""
    return [segment_name(number) for number in range(1, steps // segment_steps + 1)]
