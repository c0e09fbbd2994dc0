"""The choice of hyper-parameters, on a seed that no table reports. Not part of `all`: `snakemake tuning`."""


rule tune:
    input:
        examples=inputs(paths.TUNING_JOB, get_examples),
        split=inputs(paths.TUNING_JOB, get_tuning_split),
        forget=inputs(paths.TUNING_JOB, made(paths.FORGETTING, seed=STUDY.tuning.seed)),
        checkpoints=inputs(paths.TUNING_JOB, made(paths.SELECTION, seed=STUDY.tuning.seed)),
    output:
        table=at(paths.TUNING),
        record=record_of(paths.TUNING_JOB),
    log:
        log_of(paths.TUNING_JOB),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_twice_the_minutes,
    params:
        task=lambda w: canonical(PLAN.tune(w.setting, w.method)),
        forget=lambda w, input: " ".join(f"{input.forget}/{name}.safetensors" for name in STUDY.forget_sets),
    message:
        "Try the candidates of {wildcards.method} on {wildcards.setting}"
    shell:
        "exec python -m grokforget tune --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {params.forget} --input checkpoints {input.checkpoints}/full.safetensors"
        " --output table {output.table} --record {output.record} --log {log}"


rule choose:
    input:
        inputs(paths.CHOICE, get_tuned),
    output:
        choice=f"{RESULTS}/tuning/choice.csv",
        candidates=f"{RESULTS}/tuning/candidates.csv",
        record=record_of(paths.CHOICE),
    log:
        log_of(paths.CHOICE),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=canonical(PLAN.choose()),
        root=lambda w, input: root_of(input),
    message:
        "Choose the hyper-parameters"
    shell:
        "exec python -m grokforget choose --task {params.task:q} --input root {params.root}"
        " --output choice {output.choice} --output candidates {output.candidates} --record {output.record} --log {log}"


rule tuning:
    input:
        f"{RESULTS}/tuning/choice.csv",
