"""Data sets, splits and forget sets."""


rule prepare:
    input:
        unpack(job("prepare", paths.DATA, runs.prepare)),
    output:
        examples=at(paths.EXAMPLES),
        labels=at(paths.LABELS),
        record=record_of(paths.DATA),
    log:
        log_of(paths.DATA),
    # Before all else: what is wrong with a user's data is said before another data set is trained on.
    priority: 1
    conda:
        "../../envs/data.yaml"
    threads: lambda wildcards: STUDY.data[wildcards.data].threads
    resources:
        mem_mb=more(1000),
        runtime=more(60),
    message:
        "Prepare the data set {wildcards.data}"
    shell:
        RUN


rule split:
    input:
        unpack(job("split", paths.SPLIT_JOB, runs.split)),
    output:
        split=at(paths.SPLIT),
        record=record_of(paths.SPLIT_JOB),
    log:
        log_of(paths.SPLIT_JOB),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    message:
        "Split {wildcards.data} for seed {wildcards.seed}"
    shell:
        RUN


rule difficulty:
    input:
        unpack(job("difficulty", paths.DIFFICULTIES, runs.difficulty)),
    output:
        scores=directory(at(paths.DIFFICULTIES)),
        record=record_of(paths.DIFFICULTIES),
    log:
        log_of(paths.DIFFICULTIES),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=MEMORY,
        runtime=MINUTES,
    message:
        "Score how hard the examples were: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule describe:
    input:
        unpack(job("describe", paths.GROUPING, runs.describe)),
    output:
        tables=directory(at(paths.GROUPING)),
        record=record_of(paths.GROUPING),
    log:
        log_of(paths.GROUPING),
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    message:
        "Describe the groups of examples: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule forget:
    input:
        unpack(job("forget", paths.FORGETTING, runs.forget)),
    output:
        forget=directory(at(paths.FORGETTING)),
        record=record_of(paths.FORGETTING),
    log:
        log_of(paths.FORGETTING),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    message:
        "Draw the forget sets for {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN
