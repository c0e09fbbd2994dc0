"""Unlearning, the sweep over snapshots, and the measures."""


def get_checkpoints(wildcards):
    """The checkpoints of the run on the full train set."""
    return at(paths.CHECKPOINT_WEIGHTS, setting=wildcards.setting, seed=wildcards.seed, train_set="full")


def get_retrained(wildcards):
    """The checkpoints of the run without the forget set, for the retrained reference alone."""
    if STUDY.methods[wildcards.method].kind != "retrain":
        return []
    where = {"setting": wildcards.setting, "seed": wildcards.seed, "train_set": f"without-{wildcards.forget_set}"}
    return at(paths.CHECKPOINT_WEIGHTS, **where)


def get_unlearning_spec(wildcards):
    """One method on one request, from every checkpoint."""
    return canonical(
        {
            **compute_spec(wildcards),
            "method": get_method(wildcards).spec(),
            "checkpoints": STUDY.checkpoints,
            "forget_set": wildcards.forget_set,
            "stride": STUDY.trajectory_stride,
        }
    )


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


rule unlearn:
    message:
        "Unlearn {wildcards.forget_set} by {wildcards.method}: {wildcards.setting}, seed {wildcards.seed}"
    input:
        examples=get_examples,
        split=get_split,
        forget=at(paths.FORGET),
        checkpoints=get_checkpoints,
        retrained=get_retrained,
    output:
        models=at(paths.MODELS),
        trajectory=at(paths.TRAJECTORY),
        outputs=at(paths.OUTPUTS),
        diagnostics=at(paths.DIAGNOSTICS),
    log:
        log_of(paths.UNLEARNED),
    conda:
        "../../envs/training.yaml"
    params:
        spec=get_unlearning_spec,
        code=lambda w: code("unlearn", get_model(w), get_method(w)),
        versions=libraries(*NUMERICS),
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    shell:
        "python -m grokforget unlearn --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints} --input retrained {input.retrained}"
        " --output models {output.models} --output trajectory {output.trajectory}"
        " --output outputs {output.outputs} --output diagnostics {output.diagnostics} --log {log}"


rule sweep:
    message:
        "Unlearn {wildcards.forget_set} along training: {wildcards.setting}, seed {wildcards.seed}"
    input:
        examples=get_examples,
        split=get_split,
        forget=at(paths.FORGET),
        snapshots=get_snapshots,
    output:
        table=at(paths.SWEEP),
    log:
        log_of(paths.SWEEP),
    conda:
        "../../envs/training.yaml"
    params:
        spec=get_sweep_spec,
        code=lambda w: code("sweep", get_model(w), STUDY.methods[STUDY.sweep.method]),
        versions=libraries(*NUMERICS),
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    shell:
        "python -m grokforget sweep --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input snapshots {input.snapshots} --output table {output.table} --log {log}"


rule measure:
    message:
        "Measure {wildcards.setting}, seed {wildcards.seed}, {wildcards.forget_set}"
    input:
        examples=get_examples,
        outputs=lambda w: expand(at(paths.OUTPUTS), method=list(STUDY.methods), **w),
        trajectories=lambda w: expand(at(paths.TRAJECTORY), method=list(STUDY.methods), **w),
        diagnostics=lambda w: expand(at(paths.DIAGNOSTICS), method=list(STUDY.methods), **w),
    output:
        table=at(paths.MEASURES),
    log:
        log_of(paths.MEASURES),
    conda:
        "../../envs/tables.yaml"
    params:
        spec=get_measure_spec,
        code=code("measure", *STUDY.measures.values()),
        versions=libraries(*TABLES, "scikit-learn"),
    resources:
        mem_mb=1500,
        runtime=30,
    shell:
        "python -m grokforget measure --spec {params.spec:q} --input examples {input.examples}"
        " --input outputs {input.outputs} --input trajectories {input.trajectories}"
        " --input diagnostics {input.diagnostics} --output table {output.table} --log {log}"
