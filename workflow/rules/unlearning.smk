"""Unlearning, the sweep over snapshots, and the measures."""


rule unlearn:
    input:
        examples=inputs(paths.REQUEST, get_examples),
        split=inputs(paths.REQUEST, get_split),
        forget=inputs(paths.REQUEST, made(paths.FORGETTING)),
        checkpoints=inputs(paths.REQUEST, made(paths.SELECTION)),
    output:
        cells=directory(at(paths.REQUEST)),
        record=record_of(paths.REQUEST),
    log:
        log_of(paths.REQUEST),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_twice_the_minutes,
    params:
        task=lambda w: canonical(PLAN.unlearn(w.setting, int(w.seed), w.forget_set)),
    message:
        "Unlearn {wildcards.forget_set} by every method: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget unlearn --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget}/{wildcards.forget_set}.safetensors"
        " --input checkpoints {input.checkpoints}/full.safetensors"
        " --input retrained {input.checkpoints}/without-{wildcards.forget_set}.safetensors"
        " --output models {output.cells}/@/models.safetensors --output trajectory {output.cells}/@/trajectory.parquet"
        " --output outputs {output.cells}/@/outputs.parquet --output diagnostics {output.cells}/@/diagnostics.parquet"
        " --record {output.record} --log {log}"


rule sweep:
    input:
        examples=inputs(paths.SWEEPS, get_examples),
        split=inputs(paths.SWEEPS, get_split),
        forget=inputs(paths.SWEEPS, made(paths.FORGETTING)),
        snapshots=inputs(paths.SWEEPS, get_full_snapshots),
    output:
        tables=directory(at(paths.SWEEPS)),
        record=record_of(paths.SWEEPS),
    log:
        log_of(paths.SWEEPS),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_twice_the_minutes,
    params:
        task=lambda w: canonical(PLAN.sweep(w.setting, int(w.seed))),
    message:
        "Unlearn along training: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget sweep --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget}/@.safetensors --input snapshots {input.snapshots}"
        " --output table {output.tables}/@.parquet --record {output.record} --log {log}"


rule measure:
    input:
        examples=inputs(paths.MEASUREMENT, get_examples),
        unlearned=inputs(paths.MEASUREMENT, get_unlearned),
    output:
        tables=directory(at(paths.MEASUREMENT)),
        record=record_of(paths.MEASUREMENT),
    log:
        log_of(paths.MEASUREMENT),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1500),
        runtime=more(30),
    params:
        task=lambda w: canonical(PLAN.measure(w.setting, int(w.seed))),
        unlearned=lambda w, input: f"{root_of(input)}/{paths.REQUEST.format(**w, forget_set=paths.UNIT)}",
    message:
        "Measure {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget measure --task {params.task:q} --input examples {input.examples}"
        " --input unlearned {params.unlearned}"
        " --output table {output.tables}/@.parquet --record {output.record} --log {log}"
