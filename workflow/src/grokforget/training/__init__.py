"""Training to the bit, evaluation, and the states that lie between."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "Classification": "classification:Classification",
        "Objective": "objective:Objective",
        "Regression": "regression:Regression",
        "Segment": "loop:Segment",
        "TrainingState": "loop:TrainingState",
        "accuracy_and_loss": "evaluate:accuracy_and_loss",
        "accuracy_of": "evaluate:accuracy_of",
        "logits_of": "evaluate:logits_of",
        "make_optimizer": "optimizers:make_optimizer",
        "outputs_by_split": "outputs:outputs_by_split",
        "read_state": "state:read_state",
        "start": "loop:start",
        "train": "loop:train",
        "weight_norm": "evaluate:weight_norm",
        "write_states": "state:write_states",
    },
)
