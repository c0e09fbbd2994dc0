"""Unlearning, at checkpoints and along training, and the metrics."""


rule unlearn:
    input:
        unpack(job("unlearn", paths.REQUEST, unlearning.unlearn)),
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
        mem_mb=MEMORY,
        runtime=TWICE_THE_MINUTES,
    message:
        "Unlearn {wildcards.forget_set} by every method: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule unlearn_along_training:
    input:
        unpack(job("unlearn_along_training", paths.ALONG_TRAINING, unlearning.unlearn_along_training)),
    output:
        tables=directory(at(paths.ALONG_TRAINING)),
        record=record_of(paths.ALONG_TRAINING),
    log:
        log_of(paths.ALONG_TRAINING),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=MEMORY,
        runtime=TWICE_THE_MINUTES,
    message:
        "Unlearn along training: {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN


rule measure:
    input:
        unpack(job("measure", paths.MEASUREMENT, unlearning.measure)),
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
    message:
        "Measure {wildcards.setting}, seed {wildcards.seed}"
    shell:
        RUN
