"""What the rules share: the study, the plan of its jobs, and where their files lie."""

import os

from grokforget import paths
from grokforget.config.loader import ConfigError, load_study
from grokforget.plan import FIGURES, PAPER_TABLES, SUMMARIES, TESTS, Plan
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
    return [at(pattern, setting=setting, seed=seed) for setting, seed in STUDY.runs()]


def get_examples(wildcards):
    """The prepared examples of a setting's data set."""
    return at(paths.EXAMPLES, data=STUDY.settings[wildcards.setting].data)


def get_split(wildcards):
    """The split of a setting's data set."""
    return at(paths.SPLIT, data=STUDY.settings[wildcards.setting].data, seed=wildcards.seed)


def get_difficulty(wildcards):
    """The difficulty of a run's training examples, where a forget set is drawn by it."""
    return at(paths.SCORING, **get_run(wildcards)) if PLAN.scored(wildcards.setting) else []


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
    return over_segments(paths.CURVE, wildcards, PLAN.train_sets(wildcards.setting, int(wildcards.seed)))


def get_snapshots(wildcards):
    """The snapshots of all segments of a setting's runs on all train sets."""
    return over_segments(paths.SNAPSHOTS, wildcards, PLAN.train_sets(wildcards.setting, int(wildcards.seed)))


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
    return expand(at(paths.REQUEST, **get_run(wildcards)), forget_set=STUDY.forget_sets_of(wildcards.setting))


def get_figure_tables(wildcards):
    """The tables that a figure shows."""
    return expand(at(paths.TABLE), table=FIGURES[wildcards.figure])


def get_deciding_tables(wildcards):
    """The tables that the claims are decided by."""
    return expand(at(paths.TABLE), table=PLAN.decide_claims)


def get_paper_tables(wildcards):
    """The tables that one of the paper's is made from."""
    return expand(at(paths.TABLE), table=PLAN.shown_in(wildcards.table))


def named(names, files):
    """Inputs by name, as the arguments of a job."""
    return " ".join(f"--input {name} {file}" for name, file in zip(names, files, strict=True))


def get_reference(wildcards):
    """The checkpoints of the setting that a control is matched with."""
    control = STUDY.settings[wildcards.setting].control
    if not control or "matched" not in STUDY.checkpoints_of(wildcards.setting):
        return []
    return at(paths.SELECTION, **{**wildcards, "setting": control.of})


def get_forget_files(wildcards, input):
    """The forget sets on which candidates are tried, as the arguments of their job."""
    return " ".join(f"{input.forget}/{name}.safetensors" for name in STUDY.tuned(wildcards.setting))


def get_tuned(wildcards):
    """What the hyper-parameters are chosen from."""
    return [at(paths.TUNING_JOB, setting=name, seed=STUDY.tuning.seed) for name in PLAN.tuned_settings]


def get_all_tuned(wildcards):
    """What has been tried with every seed."""
    return [
        at(paths.TUNING_JOB, setting=name, seed=seed)
        for name in PLAN.tuned_settings
        for seed in PLAN.tuning_seeds(name)
    ]


def get_attacked_runs(pattern):
    """Inputs of an attack: something of every seed of a setting."""

    def get_runs(wildcards):
        setting = wildcards.setting
        where = [
            {"setting": setting, "data": STUDY.settings[setting].data, "seed": seed, "forget_set": forget_set}
            for seed in STUDY.seeds_of(setting)
            for forget_set in STUDY.forget_sets_of(setting)
        ]
        return list(dict.fromkeys(at(pattern, **one) for one in where))

    return get_runs


def get_collected(wildcards):
    """What a table is collected from."""
    collected = {
        "training": get_all_curves,
        "checkpoints": lambda: over_runs(paths.SELECTION),
        "unlearning": lambda: over_runs(paths.MEASUREMENT),
        "trajectories": over_requests,
        "sweep": lambda: [at(paths.SWEEPS, setting=one, seed=seed) for one, seed in STUDY.runs() if STUDY.swept(one)],
        "analysis": lambda: [*over_requests(), *get_inspected()],
        "along": get_inspected,
        "membership": lambda: [at(paths.ATTACK, setting=setting) for setting in STUDY.settings],
        "tuning": lambda: get_all_tuned(wildcards),
    }
    return collected[wildcards.table]()


def get_inspected():
    """The analyses of all runs that have any."""
    return [at(paths.INSPECTION, setting=one, seed=seed) for one, seed in STUDY.runs() if PLAN.inspected(one)]


def get_all_curves():
    """The curves of all runs."""
    return [
        at(paths.CURVE, setting=setting, seed=seed, train_set=train_set, segment=segment)
        for setting, seed in STUDY.runs()
        for train_set in STUDY.train_sets_of(setting)
        for segment in PLAN.segments(setting)
    ]


def over_requests():
    """The cells of every (setting, seed, forget set) of the study."""
    return [
        at(paths.REQUEST, setting=setting, seed=seed, forget_set=forget_set)
        for setting, seed, forget_set in STUDY.requests()
    ]


def get_results(wildcards):
    """Everything the study is asked for."""
    return [*get_products(wildcards), f"{RESULTS}/provenance.json"]


def get_products(wildcards):
    """All tables and figures."""
    return [
        *(at(paths.TABLE, table=table) for table in (*PLAN.tables, *SUMMARIES, TESTS)),
        *(f"{RESULTS}/figures/{figure}.{ending}" for figure in PLAN.figures for ending in ("svg", "pdf", "png")),
        *(f"{RESULTS}/paper/{name}.{ending}" for name in ("claims", "published") for ending in ("csv", "md")),
        *(
            f"{RESULTS}/paper/{name}.{ending}"
            for name in ("table1", *PLAN.paper_tables)
            for ending in ("csv", "md", "tex")
        ),
    ]
