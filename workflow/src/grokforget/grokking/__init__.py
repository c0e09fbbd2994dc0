"""Whether and when a run has grokked, and which snapshots of it are the checkpoints."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "Grokking": "transition:Grokking",
        "detect": "detection:detect",
        "match": "checkpoints:match",
        "read_curve": "transition:read_curve",
        "select_checkpoints": "checkpoints:select_checkpoints",
    },
)
