"""Training in segments, and the selection of checkpoints."""


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


rule train:
    message:
        "Train {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}: segment {wildcards.segment}"
    input:
        examples=get_examples,
        split=get_split,
        forget=get_forgotten,
        state=get_previous_state,
    output:
        state=at(paths.STATE),
        snapshots=at(paths.SNAPSHOTS),
        curve=at(paths.CURVE),
    log:
        log_of(paths.SEGMENT),
    conda:
        "../../envs/training.yaml"
    params:
        spec=get_training_spec,
        code=lambda w: code("train", get_model(w)),
        versions=libraries(*NUMERICS),
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    shell:
        "python -m grokforget train --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input state {input.state}"
        " --output state {output.state} --output snapshots {output.snapshots} --output curve {output.curve} --log {log}"


rule select:
    message:
        "Select the checkpoints of {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}"
    input:
        examples=get_examples,
        curves=lambda w: expand(at(paths.CURVE), segment=get_segments(w.setting), **w),
        snapshots=lambda w: expand(at(paths.SNAPSHOTS), segment=get_segments(w.setting), **w),
    output:
        table=at(paths.CHECKPOINT_TABLE),
        weights=at(paths.CHECKPOINT_WEIGHTS),
    log:
        log_of(paths.CHECKPOINT_TABLE),
    conda:
        "../../envs/tables.yaml"
    params:
        spec=get_selection_spec,
        code=code("select"),
        versions=libraries(*TABLES),
    resources:
        mem_mb=1500,
        runtime=10,
    shell:
        "python -m grokforget select --spec {params.spec:q} --input examples {input.examples}"
        " --input curves {input.curves} --input snapshots {input.snapshots}"
        " --output table {output.table} --output weights {output.weights} --log {log}"
