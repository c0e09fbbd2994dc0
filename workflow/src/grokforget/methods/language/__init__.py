"""Unlearning of language models, one loss a file, on pairs of a forget and a retain example."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "DPO": "dpo:DPO",
        "GradientAscent": "gradient_ascent:GradientAscent",
        "GradientDifference": "gradient_difference:GradientDifference",
        "KL": "kl:KL",
        "NPO": "npo:NPO",
        "Paired": "paired:Paired",
        "Preference": "preference:Preference",
        "RMU": "rmu:RMU",
        "SimNPO": "simnpo:SimNPO",
        "TaskVector": "task_vector:TaskVector",
        "Undial": "undial:Undial",
    },
)
