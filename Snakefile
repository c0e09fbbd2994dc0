"""grokforget: does training past grokking change how well a network forgets?

`snakemake --cores N` runs the study of config.yaml, `--configfile FILE` another one. Read README.md first.
"""

import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "src"))


include: "workflow/rules/common.smk"


STUDY = load_study_of(workflow)
PLAN = Plan(STUDY)
RESULTS = PLAN.root
GPUS = gpus_of(STUDY)
OUTLOOK = prepare_run_of(workflow, PLAN)


wildcard_constraints:
    data=one_of(STUDY.data),
    setting=one_of(STUDY.settings),
    seed=r"\d+",
    forget_set=one_of(STUDY.forget_sets),
    train_set=one_of(["full", *(f"without-{name}" for name in STUDY.forget_sets)]),
    method=one_of(STUDY.methods),
    segment=r"\d+",


report: "workflow/report/workflow.rst"


localrules:
    all,


include: "workflow/rules/data.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/unlearning.smk"
include: "workflow/rules/analyses.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/tuning.smk"


rule all:
    default_target: True
    input:
        inputs("", get_results),
