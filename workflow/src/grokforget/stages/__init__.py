"""The stages of the workflow: plain functions of a ``Job``, that run without Snakemake too.

``STAGES`` names them for the command line ``python -m grokforget``; each rule calls one.
"""

STAGES: dict[str, str] = {
    "prepare": "grokforget.stages.prepare:prepare",
    "split": "grokforget.stages.prepare:split",
    "forget": "grokforget.stages.prepare:forget",
    "train": "grokforget.stages.train:train_segment",
    "select": "grokforget.stages.select:select",
    "unlearn": "grokforget.stages.unlearn:unlearn_stage",
    "sweep": "grokforget.stages.sweep:sweep",
    "tune": "grokforget.stages.tune:tune",
    "choose": "grokforget.stages.choose:choose",
    "measure": "grokforget.stages.measure:measure",
    "collect-training": "grokforget.stages.collect:collect_training",
    "collect-checkpoints": "grokforget.stages.collect:collect_checkpoints",
    "collect-unlearning": "grokforget.stages.collect:collect_unlearning",
    "collect-trajectories": "grokforget.stages.collect:collect_trajectories",
    "collect-sweep": "grokforget.stages.collect:collect_sweep",
    "collect-analysis": "grokforget.stages.collect:collect_analysis",
    "summarise": "grokforget.stages.summarise:summarise",
    "table1": "grokforget.stages.table1:table1",
    "figure1a": "grokforget.stages.figure1a:figure1a",
    "figure1b": "grokforget.stages.figure1b:figure1b",
    "figure2": "grokforget.stages.figure2:figure2",
    "provenance": "grokforget.stages.provenance:provenance",
}
