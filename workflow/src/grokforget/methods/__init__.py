"""The unlearning methods, and what runs one and records what it does."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "BadTeacher": "bad_teacher:BadTeacher",
        "BoundaryShrink": "boundary_shrink:BoundaryShrink",
        "CatastrophicForgetting": "last_layers:CatastrophicForgetting",
        "Delete": "delete:Delete",
        "ExactUnlearning": "last_layers:ExactUnlearning",
        "FineTune": "descent:FineTune",
        "FisherForgetting": "fisher:FisherForgetting",
        "GradientAscent": "descent:GradientAscent",
        "Influence": "influence:Influence",
        "L1Sparse": "l1_sparse:L1Sparse",
        "Method": "base:Method",
        "NablaTau": "nabla_tau:NablaTau",
        "NegGradPlus": "neg_grad_plus:NegGradPlus",
        "Original": "references:Original",
        "Problem": "base:Problem",
        "RandomLabels": "random_labels:RandomLabels",
        "Record": "runner:Record",
        "RelativeAscent": "relative_ascent:RelativeAscent",
        "Retrain": "references:Retrain",
        "SalUn": "salun:SalUn",
        "Scrub": "scrub:Scrub",
        "SelectiveSynapticDampening": "ssd:SelectiveSynapticDampening",
        "unlearn": "runner:unlearn",
    },
)
