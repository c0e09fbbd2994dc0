"""The forget sets: functions that pick training examples."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "pick_by_difficulty": "difficult:by_difficulty",
        "pick_duplicated": "duplicated:duplicated",
        "pick_local_grokking": "local_grokking:local_grokking",
        "pick_noisy": "noisy:noisy",
        "pick_random_examples": "random_examples:random_examples",
        "pick_uneven_classes": "uneven:uneven_classes",
        "pick_whole_classes": "by_class:whole_classes",
        "pick_within_classes": "by_class:within_classes",
    },
)
