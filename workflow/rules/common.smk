"""What the rules share: the study, and the spec file and inputs of a job from its wildcards."""

from functools import cache

from grokforget.config.cost import Costs
from grokforget.config.loader import ConfigError, load_study, study_file
from grokforget.runtime.owner import check_owner
from grokforget.config.specs import collect as collecting
from grokforget.config.specs import figures as drawing
from grokforget.config.specs import inspection, runs, unlearning
from grokforget.config.specs import tables as deriving
from grokforget.config.specs.base import read_from_others
from grokforget.runtime import expected, paths, preflight
from snakemake.exceptions import WorkflowError

# Every job is the same command: what it is to do stands in its spec file.
RUN = "exec python -m grokforget run {input.spec} --record {output.record} --log {log}"


def load_study_of(workflow):
    """The study's file, and the study in it, as --config changes it."""
    try:
        path = study_file(workflow.configfiles, workflow.basedir)
        return path, load_study(path, workflow.config_settings.config)
    except ConfigError as error:
        raise WorkflowError(f"This study cannot be run; nothing was started.\n{error}") from None


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "|".join(map(re.escape, names)) or "(?!)"


def look_after(check, *arguments):
    """See to the surroundings; what is wrong with them stops Snakemake with a message and nothing else."""
    try:
        check(*arguments)
    except preflight.CannotRun as error:
        raise WorkflowError(f"Nothing was started.\n{error}") from None


def at(pattern):
    """A path below the study's results."""
    return f"{RESULTS}/{pattern}"


def log_of(key):
    """A job's log."""
    return at(paths.log_of(key))


def record_of(key):
    """A job's record, which is an output of every rule: it goes wherever the results go."""
    return at(paths.record_of(key))


def job(rule, key, build):
    """The inputs of a rule's job ``key``, whose item or items ``build`` makes of its wildcards: its spec file, and what it reads."""

    @cache
    def planned(wildcards):
        values = dict(wildcards)
        built = build(STUDY, **values)
        items = built if isinstance(built, dict) else {"": built}
        spec = preflight.plan(Path(RESULTS), key.format(**values), items, rule)
        # Files of the user's lie where they lie, also where all others come from a storage.
        files = (local(file) if os.path.isabs(file) else at(paths.product_of(file)) for file in read_from_others(items))
        return {"spec": local(str(spec)), "files": list(dict.fromkeys(files))}

    def get_inputs(wildcards):
        return planned(tuple(wildcards.items()))

    return get_inputs


def of_setting(amount):
    """A resource by the setting, or the most of a grid's, times the attempt: a job that failed gets as much again."""

    def amount_of(wildcards, attempt):
        names = STUDY.together[wildcards.grid] if "grid" in wildcards.keys() else [wildcards.setting]
        return max(amount(STUDY.settings[name].resources) for name in names) * attempt

    return amount_of


def more(amount):
    """A resource of which each further try of a job that failed gets as much again."""

    def amount_of(wildcards, attempt):
        return amount * attempt

    return amount_of


def get_choice(wildcards):
    """What there is to choose; where the study names nothing to try, that is said and nothing is made."""
    if "tuning" in TABLES:
        return [at("tuning/choice.csv")]
    print(f"The study {STUDY.study!r} names no `tuning: candidates:`; there is nothing to choose.", file=sys.stderr)
    return []
