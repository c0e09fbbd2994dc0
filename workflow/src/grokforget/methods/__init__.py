"""The unlearning methods, and what runs one and records what it does."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "FineTune": "descent:FineTune",
        "FisherForgetting": "fisher:FisherForgetting",
        "GradientAscent": "descent:GradientAscent",
        "Method": "base:Method",
        "NablaTau": "nabla_tau:NablaTau",
        "Original": "references:Original",
        "Problem": "base:Problem",
        "Record": "runner:Record",
        "RelativeAscent": "relative_ascent:RelativeAscent",
        "Retrain": "references:Retrain",
        "Scrub": "scrub:Scrub",
        "unlearn": "runner:unlearn",
    },
)
