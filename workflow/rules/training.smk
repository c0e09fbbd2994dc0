"""Training in segments, and the selection of checkpoints."""


rule train:
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
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        spec=get_training_spec,
        code=lambda w: code("train", get_model(w)),
        versions=libraries(*NUMERICS),
    message:
        "Train {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}: segment {wildcards.segment}"
    shell:
        "python -m grokforget train --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input state {input.state}"
        " --output state {output.state} --output snapshots {output.snapshots} --output curve {output.curve} --log {log}"


rule select:
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
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        spec=get_selection_spec,
        code=code("select"),
        versions=libraries(*TABLES),
    message:
        "Select the checkpoints of {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}"
    shell:
        "python -m grokforget select --spec {params.spec:q} --input examples {input.examples}"
        " --input curves {input.curves} --input snapshots {input.snapshots}"
        " --output table {output.table} --output weights {output.weights} --log {log}"
