"""Unlearning, the sweep over snapshots, and the measures."""


rule unlearn:
    input:
        examples=get_examples,
        split=get_split,
        forget=at(paths.FORGET),
        checkpoints=get_checkpoints,
    output:
        models=at(paths.MODELS),
        trajectory=at(paths.TRAJECTORY),
        outputs=at(paths.OUTPUTS),
        diagnostics=at(paths.DIAGNOSTICS),
    log:
        log_of(paths.UNLEARNED),
    wildcard_constraints:
        method=one_of(name for name, method in STUDY.methods.items() if method.kind not in REFERENCES),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        spec=get_unlearning_spec,
        code=lambda w: code("unlearn", get_model(w), get_method(w)),
        versions=libraries(*NUMERICS),
    message:
        "Unlearn {wildcards.forget_set} by {wildcards.method}: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "python -m grokforget unlearn --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints}"
        " --output models {output.models} --output trajectory {output.trajectory}"
        " --output outputs {output.outputs} --output diagnostics {output.diagnostics} --log {log}"


rule references:
    input:
        examples=get_examples,
        split=get_split,
        forget=at(paths.FORGET),
        checkpoints=get_checkpoints,
        retrained=get_retrained,
    output:
        original_models=at(paths.MODELS, method=STUDY.name_of("original")),
        original_trajectory=at(paths.TRAJECTORY, method=STUDY.name_of("original")),
        original_outputs=at(paths.OUTPUTS, method=STUDY.name_of("original")),
        original_diagnostics=at(paths.DIAGNOSTICS, method=STUDY.name_of("original")),
        retrain_models=at(paths.MODELS, method=STUDY.name_of("retrain")),
        retrain_trajectory=at(paths.TRAJECTORY, method=STUDY.name_of("retrain")),
        retrain_outputs=at(paths.OUTPUTS, method=STUDY.name_of("retrain")),
        retrain_diagnostics=at(paths.DIAGNOSTICS, method=STUDY.name_of("retrain")),
    log:
        log_of("unlearn/{setting}/seed{seed}/{forget_set}/references"),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        spec=get_references_spec,
        code=lambda w: code("references", get_model(w), *(STUDY.methods[STUDY.name_of(kind)] for kind in REFERENCES)),
        versions=libraries(*NUMERICS),
    message:
        "Evaluate the original and the retrained model: {wildcards.setting}, seed {wildcards.seed}, {wildcards.forget_set}"
    shell:
        "python -m grokforget references --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints} --input retrained {input.retrained}"
        " --output original_models {output.original_models} --output original_trajectory {output.original_trajectory}"
        " --output original_outputs {output.original_outputs}"
        " --output original_diagnostics {output.original_diagnostics}"
        " --output retrain_models {output.retrain_models} --output retrain_trajectory {output.retrain_trajectory}"
        " --output retrain_outputs {output.retrain_outputs} --output retrain_diagnostics {output.retrain_diagnostics}"
        " --log {log}"


rule sweep:
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
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        spec=get_sweep_spec,
        code=lambda w: code("sweep", get_model(w), STUDY.methods[STUDY.sweep.method]),
        versions=libraries(*NUMERICS),
    message:
        "Unlearn {wildcards.forget_set} along training: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "python -m grokforget sweep --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input snapshots {input.snapshots} --output table {output.table} --log {log}"


rule measure:
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
    resources:
        mem_mb=1500,
        runtime=30,
    params:
        spec=get_measure_spec,
        code=code("measure", *STUDY.measures.values()),
        versions=libraries(*TABLES, "scikit-learn"),
    message:
        "Measure {wildcards.setting}, seed {wildcards.seed}, {wildcards.forget_set}"
    shell:
        "python -m grokforget measure --spec {params.spec:q} --input examples {input.examples}"
        " --input outputs {input.outputs} --input trajectories {input.trajectories}"
        " --input diagnostics {input.diagnostics} --output table {output.table} --log {log}"
