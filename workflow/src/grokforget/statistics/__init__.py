"""Paired contrasts, exact tests, power, spread and verdicts: tables in, tables out."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "conclude": "claims:conclude",
        "effect_size": "power:effect_size",
        "evaluate": "claims:evaluate",
        "holm": "permutation:holm",
        "mean_and_spread": "contrasts:mean_and_spread",
        "paired_differences": "contrasts:paired_differences",
        "paired_interval": "contrasts:paired_interval",
        "pooled_sd_ratio": "spread:pooled_sd_ratio",
        "seeds_for_power": "power:seeds_for_power",
        "sign_flip_test": "permutation:sign_flip_test",
        "variance_ratios": "spread:variance_ratios",
        "wilson": "rates:wilson",
    },
)
