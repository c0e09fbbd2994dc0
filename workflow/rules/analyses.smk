"""Analyses of the models, and attacks on them."""


rule analyse:
    input:
        unpack(job("analyse", paths.INSPECTION, inspection.analyse)),
    output:
        tables=directory(at(paths.INSPECTION)),
        record=record_of(paths.INSPECTION),
    log:
        log_of(paths.INSPECTION),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=MEMORY,
        runtime=TWICE_THE_MINUTES,
    message:
        "Analyse the models of {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule shadow:
    input:
        unpack(job("shadow", paths.SHADOWS, inspection.shadow)),
    output:
        shadows=directory(at(paths.SHADOWS)),
        record=record_of(paths.SHADOWS),
    log:
        log_of(paths.SHADOWS),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=MEMORY,
        runtime=MINUTES,
    message:
        "Ask the runs of {wildcards.setting} about every example"
    shell:
        RUN


rule attack:
    input:
        unpack(job("attack", paths.ATTACK, inspection.attack)),
    output:
        tables=directory(at(paths.ATTACK)),
        record=record_of(paths.ATTACK),
    log:
        log_of(paths.ATTACK),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1500),
        runtime=more(60),
    message:
        "Attack the cells of {wildcards.setting} with other seeds' runs"
    shell:
        RUN
