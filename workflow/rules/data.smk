"""Data sets, splits and forget sets."""


rule prepare:
    input:
        inputs(paths.DATA, get_nothing),
    output:
        examples=at(paths.EXAMPLES),
        record=record_of(paths.DATA),
    log:
        log_of(paths.DATA),
    cache: SHARED
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.prepare(w.data)),
    message:
        "Prepare the data set {wildcards.data}"
    shell:
        "exec python -m grokforget prepare --task {params.task:q} --output examples {output.examples}"
        " --record {output.record} --log {log}"


rule split:
    input:
        examples=inputs(paths.SPLIT_JOB, made(paths.EXAMPLES)),
    output:
        split=at(paths.SPLIT),
        record=record_of(paths.SPLIT_JOB),
    log:
        log_of(paths.SPLIT_JOB),
    cache: SHARED
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.split(w.data, int(w.seed))),
    message:
        "Split {wildcards.data} for seed {wildcards.seed}"
    shell:
        "exec python -m grokforget split --task {params.task:q} --input examples {input.examples}"
        " --output split {output.split} --record {output.record} --log {log}"


rule difficulty:
    input:
        examples=inputs(paths.SCORING, get_examples),
        split=inputs(paths.SCORING, get_split),
        snapshots=inputs(paths.SCORING, get_full_snapshots),
    output:
        scores=directory(at(paths.SCORING)),
        record=record_of(paths.SCORING),
    log:
        log_of(paths.SCORING),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_minutes,
    params:
        task=lambda w: canonical(PLAN.difficulty(w.setting, int(w.seed))),
    message:
        "Score how hard the examples were: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget difficulty --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input snapshots {input.snapshots} --output difficulty {output.scores}/@.safetensors"
        " --record {output.record} --log {log}"


rule forget:
    input:
        examples=inputs(paths.FORGETTING, get_examples),
        split=inputs(paths.FORGETTING, get_split),
        difficulty=inputs(paths.FORGETTING, get_difficulty),
    output:
        forget=directory(at(paths.FORGETTING)),
        record=record_of(paths.FORGETTING),
    log:
        log_of(paths.FORGETTING),
    cache: SHARED
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.forget(w.setting, int(w.seed))),
        scores=lambda w, input: f"{input.difficulty}/@.safetensors" if input.difficulty else "",
    message:
        "Draw the forget sets for {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget forget --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input difficulty {params.scores} --output forget {output.forget}/@.safetensors --record {output.record} --log {log}"
