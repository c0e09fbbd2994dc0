"""Training in segments, and the selection of checkpoints."""


rule train:
    input:
        examples=inputs(paths.SEGMENT, get_examples),
        split=inputs(paths.SEGMENT, get_split),
        forget=inputs(paths.SEGMENT, get_forgotten),
        state=inputs(paths.SEGMENT, get_previous_state),
    output:
        state=at(paths.STATE),
        snapshots=at(paths.SNAPSHOTS),
        curve=at(paths.CURVE),
        record=record_of(paths.SEGMENT),
    log:
        log_of(paths.SEGMENT),
    cache: SHARED
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_minutes,
    params:
        task=lambda w: canonical(PLAN.train(w.setting, int(w.seed), w.train_set, w.segment)),
        forget=get_forget_name,
    message:
        "Train {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}: segment {wildcards.segment}"
    shell:
        "exec python -m grokforget train --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget}{params.forget} --input state {input.state}"
        " --output state {output.state} --output snapshots {output.snapshots} --output curve {output.curve}"
        " --record {output.record} --log {log}"


rule select:
    input:
        examples=inputs(paths.SELECTION, get_examples),
        curves=inputs(paths.SELECTION, get_curves),
        snapshots=inputs(paths.SELECTION, get_snapshots),
        reference=inputs(paths.SELECTION, get_reference),
    output:
        checkpoints=directory(at(paths.SELECTION)),
        record=record_of(paths.SELECTION),
    log:
        log_of(paths.SELECTION),
    conda:
        "../../envs/training.yaml"
    resources:
        mem_mb=more(1500),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.select(w.setting, int(w.seed))),
        curves=lambda w, input: get_segment_files(w, input, paths.CURVE),
        snapshots=lambda w, input: get_segment_files(w, input, paths.SNAPSHOTS),
        reference=lambda w, input: f"{input.reference}/@.parquet" if input.reference else "",
    message:
        "Select the checkpoints of {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget select --task {params.task:q} --input examples {input.examples}"
        " --input curves {params.curves} --input snapshots {params.snapshots} --input reference {params.reference}"
        " --output table {output.checkpoints}/@.parquet --output weights {output.checkpoints}/@.safetensors"
        " --record {output.record} --log {log}"
