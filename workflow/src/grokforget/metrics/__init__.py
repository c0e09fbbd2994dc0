"""The metrics of unlearning: functions of a cell, each giving some columns of a table."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "Cell": "base:Cell",
        "Outputs": "base:Outputs",
        "likelihood_ratio_attack": "mia_lira:attack",
        "measure_accuracy": "accuracy:measure",
        "measure_confidence_attack": "mia_confidence:measure",
        "measure_membership": "mia_loss:measure",
        "measure_request_errors": "request_errors:measure",
        "measure_retrain_gap": "retrain_gap:measure",
        "measure_ues": "ues:measure",
        "measure_updates_to_target": "updates_to_target:measure",
    },
)
