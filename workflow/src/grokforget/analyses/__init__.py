"""The analyses: functions that ask a model itself, each giving some numbers."""

from grokforget.runtime.lazy import public_names

__getattr__, __dir__, __all__ = public_names(
    __name__,
    {
        "Probe": "base:Probe",
        "Value": "base:Value",
        "RunProbe": "run_probe:RunProbe",
        "analyse_ablation": "ablation:ablation",
        "analyse_active_units": "active_units:active_units",
        "analyse_cka": "cka:cka",
        "analyse_distance": "distance:distance",
        "analyse_fourier": "fourier:fourier",
        "analyse_gradient_alignment": "gradient_alignment:gradient_alignment",
        "analyse_hessian": "hessian:hessian",
        "analyse_local_complexity": "local_complexity:local_complexity",
        "analyse_module_model": "module_model:module_model",
        "analyse_relearning": "relearning:relearning",
        "analyse_representation_rank": "representation_rank:representation_rank",
        "analyse_robustness": "robustness:robustness",
        "analyse_weights": "weights:weights",
    },
)
