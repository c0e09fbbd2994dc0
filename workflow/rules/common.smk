"""What the rules share: the study, patterns of paths below its results, and the slices of the study that each stage depends on."""

import json

from grokforget import paths
from grokforget.config.loader import ConfigError, load_study
from grokforget.fingerprint import fingerprint
from grokforget.stages import STAGES
from grokforget.versions import versions_of
from snakemake.exceptions import WorkflowError

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


def get_results():
    """Everything the study is asked for."""
    tables = ("training", "checkpoints", "unlearning", "trajectories", "sweep", "analysis", "summary", "contrasts")
    return [
        *(at(paths.TABLE, table=table) for table in tables),
        *(f"{RESULTS}/figures/{figure}.{ending}" for figure in FIGURES for ending in ("svg", "pdf", "png")),
        *(f"{RESULTS}/paper/table1.{ending}" for ending in ("csv", "md", "tex")),
        f"{RESULTS}/provenance.json",
    ]
