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


rule forget:
    input:
        examples=inputs(paths.FORGETTING, get_examples),
        split=inputs(paths.FORGETTING, get_split),
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
    message:
        "Draw the forget sets for {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget forget --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --output forget {output.forget}/@.safetensors --record {output.record} --log {log}"
