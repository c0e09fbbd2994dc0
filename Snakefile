"""grokforget: does training past grokking change how well a network forgets?

`snakemake --cores N` runs the study of config.yaml (of the working folder, or else this one), `--configfile FILE` another one.
Read README.md first.
"""

import gc
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")

# A large study is planned in millions of objects of which hardly any becomes garbage: looking for it takes an eighth of the time.
gc.set_threshold(200_000, 20, 100)

# The workflow runs this checkout's package, whether another one is installed or not.
sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "src"))


include: "workflow/rules/common.smk"


STUDY_FILE, STUDY = load_study_of(workflow)
RESULTS = f"results/{STUDY.study}"
look_after(check_owner, Path(RESULTS), STUDY_FILE, Path(workflow.basedir))
GPUS = int(STUDY.device == "cuda")
MEMORY = of_setting(lambda resources: resources.memory_mb)
MINUTES = of_setting(lambda resources: resources.minutes)
TWICE_THE_MINUTES = of_setting(lambda resources: 2 * resources.minutes)
TABLES = collecting.tables_of(STUDY)
PAPER_TABLES = deriving.paper_tables_of(STUDY, TABLES)
SUMMARIES = collecting.summaries_of(STUDY)
FIGURES = drawing.figures_of(STUDY, [*TABLES, *SUMMARIES])
PRODUCTS = collecting.products(TABLES, PAPER_TABLES, FIGURES, SUMMARIES)
preflight.lead_jobs(STUDY.jobs_per_gpu)
look_after(preflight.look, Path(RESULTS), workflow.output_settings.dryrun)
COSTS = Costs(STUDY)
expected.tell_at_end(workflow, Path(RESULTS), COSTS)


onstart:
    look_after(preflight.begin, Path(RESULTS), STUDY.most_gpus, preflight.Settings.of(workflow), COSTS)
    look_after(check_owner, Path(RESULTS), STUDY_FILE, Path(workflow.basedir), True)


onsuccess:
    sys.stderr.write(preflight.end(Path(RESULTS), finished=True))


onerror:
    sys.stderr.write(preflight.end(Path(RESULTS), finished=False))


wildcard_constraints:
    data=one_of(STUDY.data),
    setting=one_of(STUDY.settings),
    grid=one_of(STUDY.together),
    seed=r"\d+",
    forget_set=one_of(STUDY.forget_sets),
    train_set=one_of(["full", *(f"without-{name}" for name in STUDY.forget_sets)]),
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
        [at(product) for product in PRODUCTS],
        at("provenance.json"),
