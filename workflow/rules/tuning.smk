"""The candidates of the methods' hyper-parameters, and the choice among them on a seed that no table reports: `snakemake tuning`."""


rule tune:
    input:
        unpack(job("tune", paths.TUNING_JOB, unlearning.tune)),
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
        mem_mb=MEMORY,
        runtime=TWICE_THE_MINUTES,
    message:
        "Try the candidates of every method: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule choose:
    input:
        unpack(job("choose", paths.CHOICE, collecting.choose)),
    output:
        choice=at("tuning/choice.csv"),
        candidates=at("tuning/candidates.csv"),
        record=record_of(paths.CHOICE),
    log:
        log_of(paths.CHOICE),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    message:
        "Choose the hyper-parameters"
    shell:
        RUN


rule tuning:
    input:
        get_choice,
