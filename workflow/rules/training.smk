"""Training in segments, of short runs many to a job, and the selection of checkpoints."""


rule train:
    input:
        unpack(job("train", paths.SEGMENT, runs.train)),
    output:
        state=at(paths.STATE),
        snapshots=at(paths.SNAPSHOTS),
        curve=at(paths.CURVE),
        record=record_of(paths.SEGMENT),
    log:
        log_of(paths.SEGMENT),
    conda:
        "../../envs/training.yaml"
    threads: lambda wildcards: STUDY.threads * STUDY.processes_of(wildcards.setting)
    resources:
        gpu=lambda wildcards: GPUS * STUDY.processes_of(wildcards.setting),
        mem_mb=lambda wildcards, attempt: MEMORY(wildcards, attempt) * STUDY.processes_of(wildcards.setting),
        runtime=MINUTES,
    message:
        "Train {wildcards.setting}, seed {wildcards.seed}, on {wildcards.train_set}: segment {wildcards.segment}"
    shell:
        RUN


rule together:
    input:
        unpack(job("together", paths.TOGETHER, runs.together)),
    output:
        runs=directory(at(paths.TOGETHER)),
        record=record_of(paths.TOGETHER),
    log:
        log_of(paths.TOGETHER),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=MEMORY,
        runtime=MINUTES,
    message:
        "Train all runs of the grid {wildcards.grid}, seed {wildcards.seed}"
    shell:
        RUN


rule select:
    input:
        unpack(job("select", paths.SELECTION, runs.select)),
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
    message:
        "Select the checkpoints of {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN
