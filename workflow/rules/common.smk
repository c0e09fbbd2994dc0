"""What the rules share: the study, the plan of its jobs, and where their files lie."""

import os

from grokforget import paths
from grokforget.config.loader import ConfigError, load_study
from grokforget.plan import FIGURES, SUMMARIES, Plan
from grokforget.preflight import CannotRun, force, prepare_run
from grokforget.recipes import canonical
from snakemake.exceptions import WorkflowError

# Snakemake says of every rule that could be cached that it could be, each time; so none is unless --cache is given.
SHARED = workflow.workflow_settings.cache is not None


def gpus_of(study):
    """How many GPUs a job takes that runs a model."""
    return int(study.device == "cuda")


def load_study_of(workflow):
    """The study: config.yaml, or the file of --configfile by itself; --config replaces top-level keys."""
    given = list(workflow.overwrite_configfiles)
    if len(given) > 1:
        raise WorkflowError(f"A study is one file; --configfile names {len(given)}: {', '.join(map(str, given))}")
    path = Path(given[0]) if given else Path(workflow.basedir) / "config.yaml"
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    try:
        return load_study(shown, workflow.config_settings.config)
    except ConfigError as error:
        raise WorkflowError(f"This study cannot be run; nothing was started.\n{error}") from None


def prepare_run_of(workflow, plan):
    """See to the surroundings, and to results that are out of date, before Snakemake plans its jobs."""
    try:
        return prepare_run(workflow, plan)
    except CannotRun as error:
        raise WorkflowError(f"Nothing was started.\n{error}") from None


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names))


def at(pattern, **values):
    """A path below the study's results, with the given wildcards filled in and the others left."""
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", str(value))
    return f"{RESULTS}/{pattern}"


def log_of(key):
    """A job's log."""
    return at(paths.log_of(key))


def record_of(key):
    """A job's record, which is an output of every rule: it goes wherever the results go."""
    return at(paths.record_of(key))


def more(amount):
    """A resource of which each further try of a job that failed gets as much again."""

    def amount_of(wildcards, attempt):
        return amount * attempt

    return amount_of


def get_memory(wildcards, attempt):
    """Megabytes of a job that runs a setting's model."""
    return STUDY.settings[wildcards.setting].resources.memory_mb * attempt


def get_minutes(wildcards, attempt):
    """Minutes of a segment of a setting's training."""
    return STUDY.settings[wildcards.setting].resources.minutes * attempt


def get_twice_the_minutes(wildcards, attempt):
    """Minutes of a job that goes through a setting's methods, or its snapshots."""
    return 2 * get_minutes(wildcards, attempt)


def inputs(key, get):
    """An input function of the job with this key.

    Time stamps of what a valid result was made from mean nothing, nor that it is made again (because it was damaged): the
    result's own record has told already that it is valid.
    """

    def get_settled(wildcards):
        force(workflow, OUTLOOK.unseen)
        settled = OUTLOOK.valid is None or key.format(**wildcards) in OUTLOOK.valid
        return ancient(get(wildcards)) if settled else get(wildcards)

    return get_settled


def made(pattern, **fixed):
    """What another job makes under the same wildcards."""

    def get_made(wildcards):
        return at(pattern, **{**wildcards, **fixed})

    return get_made


def get_nothing(wildcards):
    """For a job without inputs."""
    return []


def over_runs(pattern):
    """Inputs for every (setting, seed) of the study."""
    return expand(at(pattern), setting=list(STUDY.settings), seed=STUDY.seeds)


def get_examples(wildcards):
    """The prepared examples of a setting's data set."""
    return at(paths.EXAMPLES, data=STUDY.settings[wildcards.setting].data)


def get_split(wildcards):
    """The split of a setting's data set."""
    return at(paths.SPLIT, data=STUDY.settings[wildcards.setting].data, seed=wildcards.seed)


def get_forgotten(wildcards):
    """The forget sets of a run; one on the full train set needs none."""
    return [] if wildcards.train_set == "full" else at(paths.FORGETTING, **get_run(wildcards))


def get_forget_name(wildcards):
    """The forget set that a run is trained without, as a file in the folder of all of them."""
    if wildcards.train_set == "full":
        return ""
    return "".join([os.sep, wildcards.train_set.removeprefix("without-"), ".safetensors"])


def get_previous_state(wildcards):
    """The state that a segment starts from; the first has none."""
    number = int(wildcards.segment) - 1
    if number == 0:
        return []
    return at(paths.STATE, **{**wildcards, "segment": paths.segment_name(number)})


def get_run(wildcards):
    """The setting and seed among the wildcards."""
    return {"setting": wildcards.setting, "seed": wildcards.seed}


def get_curves(wildcards):
    """The curves of all segments of a setting's runs on all train sets."""
    return over_segments(paths.CURVE, wildcards, PLAN.train_sets(int(wildcards.seed)))


def get_snapshots(wildcards):
    """The snapshots of all segments of a setting's runs on all train sets."""
    return over_segments(paths.SNAPSHOTS, wildcards, PLAN.train_sets(int(wildcards.seed)))


def get_full_snapshots(wildcards):
    """The snapshots of all segments of the run on the full train set."""
    return over_segments(paths.SNAPSHOTS, wildcards, ["full"])


def over_segments(pattern, wildcards, train_sets):
    """Inputs for every segment of the runs."""
    segments = PLAN.segments(wildcards.setting)
    return expand(at(pattern, **get_run(wildcards)), train_set=train_sets, segment=segments)


def root_of(input):
    """The study's folder as a job sees it: not in the checkout where inputs are fetched from a storage."""
    return str(input[0]).partition(RESULTS)[0] + RESULTS


def get_segment_files(wildcards, input, pattern):
    """The files of a run's segments on the train set that is a batch's unit, as the arguments of its job."""
    where = {**get_run(wildcards), "train_set": paths.UNIT}
    files = (pattern.format(**where, segment=segment) for segment in PLAN.segments(wildcards.setting))
    return " ".join(f"{root_of(input)}/{file}" for file in files)


def get_unlearned(wildcards):
    """The cells of a run on all forget sets."""
    return expand(at(paths.REQUEST, **get_run(wildcards)), forget_set=list(STUDY.forget_sets))


def get_figure_tables(wildcards):
    """The tables that a figure shows."""
    return expand(at(paths.TABLE), table=FIGURES[wildcards.figure])


def get_tuning_split(wildcards):
    """The split of the tuning seed."""
    return at(paths.SPLIT, data=STUDY.settings[wildcards.setting].data, seed=STUDY.tuning.seed)


def get_tuned(wildcards):
    """What the hyper-parameters are chosen from."""
    return expand(at(paths.TUNING), setting=list(STUDY.settings), method=list(STUDY.tuning.candidates))


def get_collected(wildcards):
    """What a table is collected from."""
    table = wildcards.table
    if table == "training":
        return [path for setting in STUDY.settings for seed in STUDY.seeds for path in get_all_curves(setting, seed)]
    if table in ("trajectories", "analysis"):
        return over_requests(paths.REQUEST)
    return over_runs({"checkpoints": paths.SELECTION, "unlearning": paths.MEASUREMENT, "sweep": paths.SWEEPS}[table])


def get_all_curves(setting, seed):
    """The curves of one (setting, seed)."""
    segments, train_sets = PLAN.segments(setting), STUDY.train_sets()
    where = at(paths.CURVE, setting=setting, seed=seed)
    return expand(where, train_set=train_sets, segment=segments)


def over_requests(pattern):
    """Inputs for every (setting, seed, forget set) of the study."""
    return expand(at(pattern), setting=list(STUDY.settings), seed=STUDY.seeds, forget_set=list(STUDY.forget_sets))


def get_results(wildcards):
    """Everything the study is asked for."""
    return [*get_products(wildcards), f"{RESULTS}/provenance.json"]


def get_products(wildcards):
    """All tables and figures."""
    return [
        *(at(paths.TABLE, table=table) for table in (*PLAN.tables, *SUMMARIES)),
        *(f"{RESULTS}/figures/{figure}.{ending}" for figure in FIGURES for ending in ("svg", "pdf", "png")),
        *(f"{RESULTS}/paper/table1.{ending}" for ending in ("csv", "md", "tex")),
    ]
