"""The candidates of the methods' hyper-parameters, and the choice among them on a seed that no table reports: `snakemake tuning`."""


rule tune:
    input:
        examples=inputs(paths.TUNING_JOB, get_examples),
        split=inputs(paths.TUNING_JOB, get_split),
        forget=inputs(paths.TUNING_JOB, made(paths.FORGETTING)),
        checkpoints=inputs(paths.TUNING_JOB, made(paths.SELECTION)),
    output:
        tables=directory(at(paths.TUNING_JOB)),
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
        task=lambda w: canonical(PLAN.tune(w.setting, int(w.seed))),
        forget=get_forget_files,
    message:
        "Try the candidates of every method: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget tune --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {params.forget} --input checkpoints {input.checkpoints}/full.safetensors"
        " --output table {output.tables}/@.parquet --record {output.record} --log {log}"


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
