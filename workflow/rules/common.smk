"""What the rules share: the study, patterns of paths below its results, and the slices of the study that each stage depends on."""

import json
from types import SimpleNamespace

from grokforget import paths
from grokforget.config.loader import ConfigError, load_study
from grokforget.environment import lead_jobs_here
from grokforget.fingerprint import fingerprint
from grokforget.stages import STAGES
from grokforget.unlearning.registry import REFERENCES
from grokforget.versions import versions_of
from snakemake.exceptions import WorkflowError

lead_jobs_here()

# Snakemake's limit on submissions per second looks at all waiting jobs once more, a second later, for every job that ends, and again for every such
# look: with hundreds of jobs waiting it came to take a third of a core. A local run needs no limit; a profile's limit for a cluster is left.
if workflow.local_exec and workflow.scheduling_settings:
    workflow.scheduling_settings.max_jobs_per_timespan = None

NUMERICS = ("torch", "numpy")
TABLES = ("numpy", "pandas", "scipy")
PLOTS = ("matplotlib", "seaborn", "pandas")


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


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names))


def at(pattern, **values):
    """A path below the study's results, with the given wildcards filled in and the others left."""
    for name, value in values.items():
        pattern = pattern.replace(f"{{{name}}}", str(value))
    return f"{RESULTS}/{pattern}"


def log_of(pattern):
    """The log beside, under logs/, of the job that writes the pattern."""
    return f"{RESULTS}/logs/{pattern.rsplit('.', 1)[0] if '.' in pattern.rsplit('/', 1)[-1] else pattern}.log"


def canonical(value):
    """JSON that is the same text for the same value: what a job is given, and what Snakemake compares."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def code(stage, *components):
    """Fingerprint of the code behind a job: its stage's and that of the components which the study names."""
    return fingerprint(STAGES[stage], *(component.implementation for component in components))


def libraries(*names):
    """The locked versions of the libraries that decide a stage's numbers."""
    return canonical(versions_of(*names))


def compute_spec(wildcards):
    """What every job that runs a model depends on."""
    setting = STUDY.settings[wildcards.setting]
    return {
        "model": {**setting.model.spec(), "alpha": setting.initialisation_scale},
        "seed": int(wildcards.seed),
        "threads": STUDY.threads,
        "device": STUDY.device,
    }


def get_model(wildcards):
    """The settings of a setting's model."""
    return STUDY.settings[wildcards.setting].model


def get_method(wildcards):
    """A method's settings in this setting."""
    return STUDY.method(wildcards.setting, wildcards.method)


def get_segments(setting):
    """Names of a setting's training segments."""
    training = STUDY.settings[setting].training
    return paths.segment_numbers(training.steps, training.segment_steps)


def get_examples(wildcards):
    """The prepared examples of a setting's data set."""
    return at(paths.EXAMPLES, data=STUDY.settings[wildcards.setting].data)


def get_split(wildcards):
    """The split of a setting's data set."""
    return at(paths.SPLIT, data=STUDY.settings[wildcards.setting].data, seed=wildcards.seed)


def get_snapshots(wildcards):
    """The snapshots of all segments of the run on the full train set."""
    segments = get_segments(wildcards.setting)
    full = at(paths.SNAPSHOTS, setting=wildcards.setting, seed=wildcards.seed, train_set="full")
    return expand(full, segment=segments)


def over_requests(pattern, **more):
    """The pattern for every (setting, seed, forget set) of the study."""
    return expand(
        at(pattern), setting=list(STUDY.settings), seed=STUDY.seeds, forget_set=list(STUDY.forget_sets), **more
    )


def get_previous_state(wildcards):
    """The state that a segment starts from; the first has none."""
    number = int(wildcards.segment) - 1
    if number == 0:
        return []
    where = {"setting": wildcards.setting, "seed": wildcards.seed, "train_set": wildcards.train_set}
    return at(paths.STATE, **where, segment=paths.segment_name(number))


def get_forgotten(wildcards):
    """The forget set that a run is trained without; the full train set has none."""
    if wildcards.train_set == "full":
        return []
    forget_set = wildcards.train_set.removeprefix("without-")
    return at(paths.FORGET, setting=wildcards.setting, seed=wildcards.seed, forget_set=forget_set)


def get_training_spec(wildcards):
    """A segment depends on the recipe and on where it ends, not on how long the run is to be."""
    training = STUDY.settings[wildcards.setting].training
    recipe = training.model_dump(mode="json", exclude={"steps", "segment_steps"})
    return canonical(
        {**compute_spec(wildcards), "training": recipe, "stop": int(wildcards.segment) * training.segment_steps}
    )


def get_selection_spec(wildcards):
    """What the selection depends on beside the curves."""
    return canonical(
        {
            "selection": STUDY.settings[wildcards.setting].selection.model_dump(mode="json"),
            "checkpoints": STUDY.checkpoints,
        }
    )


def get_checkpoints(wildcards):
    """The checkpoints of the run on the full train set."""
    return at(paths.CHECKPOINT_WEIGHTS, setting=wildcards.setting, seed=wildcards.seed, train_set="full")


def get_retrained(wildcards):
    """The checkpoints of the run without the forget set."""
    where = {"setting": wildcards.setting, "seed": wildcards.seed, "train_set": f"without-{wildcards.forget_set}"}
    return at(paths.CHECKPOINT_WEIGHTS, **where)


def get_request_spec(wildcards):
    """One request, from every checkpoint."""
    return {
        **compute_spec(wildcards),
        "checkpoints": STUDY.checkpoints,
        "forget_set": wildcards.forget_set,
        "stride": STUDY.trajectory_stride,
    }


def get_unlearning_spec(wildcards):
    """One method on one request."""
    return canonical({**get_request_spec(wildcards), "method": get_method(wildcards).spec()})


def get_references_spec(wildcards):
    """Both references on one request."""
    specs = {kind: STUDY.methods[STUDY.name_of(kind)].spec() for kind in REFERENCES}
    return canonical({**get_request_spec(wildcards), **specs})


def get_sweep_spec(wildcards):
    """One method from snapshots along training."""
    return canonical(
        {
            **compute_spec(wildcards),
            "method": STUDY.method(wildcards.setting, STUDY.sweep.method).spec(),
            "forget_set": wildcards.forget_set,
            "snapshots": STUDY.sweep.snapshots,
        }
    )


def get_measure_spec(wildcards):
    """The measures, and which methods are the references."""
    return canonical(
        {
            "methods": list(STUDY.methods),
            "original": STUDY.name_of("original"),
            "retrain": STUDY.name_of("retrain"),
            "checkpoints": STUDY.checkpoints,
            "measures": {name: measure.spec() for name, measure in STUDY.measures.items()},
            "seed": int(wildcards.seed),
        }
    )


def over_methods(pattern):
    """The pattern for every (setting, seed, forget set, method) of the study."""
    return over_requests(pattern, method=list(STUDY.methods))


def get_checkpoint_tables():
    """The checkpoints of every run."""
    pattern = at(paths.CHECKPOINT_TABLE)
    return expand(pattern, setting=list(STUDY.settings), seed=STUDY.seeds, train_set=STUDY.train_sets())


def get_curves():
    """The curves of every run."""
    return [
        curve
        for setting in STUDY.settings
        for curve in expand(
            at(paths.CURVE, setting=setting),
            seed=STUDY.seeds,
            train_set=STUDY.train_sets(),
            segment=get_segments(setting),
        )
    ]


def get_collection_spec(*more):
    """The labels of a table's rows and the folder that their files lie in."""
    choices = {
        "train_sets": STUDY.train_sets(),
        "forget_sets": list(STUDY.forget_sets),
        "methods": list(STUDY.methods),
        "original": STUDY.name_of("original"),
        "segments": {setting: get_segments(setting) for setting in STUDY.settings},
    }
    labels = {"settings": list(STUDY.settings), "seeds": STUDY.seeds, "root": RESULTS}
    return canonical({**labels, **{key: choices[key] for key in more}})


def get_tuned_methods():
    """The methods whose settings are chosen."""
    return list(STUDY.tuning.candidates)


def get_tuning_spec(wildcards):
    """One method's candidates on all forget sets and checkpoints."""
    candidates = STUDY.tuning.candidates[wildcards.method]
    return canonical(
        {
            **compute_spec(wildcards),
            "seed": STUDY.tuning.seed,
            "method": get_method(wildcards).spec(),
            "parameter": candidates.parameter,
            "candidates": candidates.values,
            "forget_sets": list(STUDY.forget_sets),
            "checkpoints": STUDY.checkpoints,
        }
    )


# Table → the files it is collected from, and what else its rows' labels depend on.
COLLECTED = {
    "training": SimpleNamespace(inputs=get_curves, labels=("train_sets", "segments")),
    "checkpoints": SimpleNamespace(inputs=get_checkpoint_tables, labels=("train_sets",)),
    "unlearning": SimpleNamespace(inputs=lambda: over_requests(paths.MEASURES), labels=("forget_sets",)),
    "trajectories": SimpleNamespace(inputs=lambda: over_methods(paths.TRAJECTORY), labels=("forget_sets", "methods")),
    "sweep": SimpleNamespace(inputs=lambda: over_requests(paths.SWEEP), labels=("forget_sets",)),
    "analysis": SimpleNamespace(
        inputs=lambda: over_methods(paths.DIAGNOSTICS), labels=("forget_sets", "methods", "original")
    ),
}
ALL_TABLES = [*COLLECTED, "summary", "contrasts"]


def get_results():
    """Everything the study is asked for."""
    return [
        *(at(paths.TABLE, table=table) for table in ALL_TABLES),
        *(f"{RESULTS}/figures/{figure}.{ending}" for figure in FIGURES for ending in ("svg", "pdf", "png")),
        *(f"{RESULTS}/paper/table1.{ending}" for ending in ("csv", "md", "tex")),
        f"{RESULTS}/provenance.json",
    ]
