"""Analyses of the models, and attacks on them."""


rule analyse:
    input:
        examples=inputs(paths.INSPECTION, get_examples),
        split=inputs(paths.INSPECTION, get_split),
        forget=inputs(paths.INSPECTION, made(paths.FORGETTING)),
        checkpoints=inputs(paths.INSPECTION, made(paths.SELECTION)),
        snapshots=inputs(paths.INSPECTION, get_full_snapshots),
        unlearned=inputs(paths.INSPECTION, get_unlearned),
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
        mem_mb=get_memory,
        runtime=get_twice_the_minutes,
    params:
        task=lambda w: canonical(PLAN.analyse(w.setting, int(w.seed))),
        unlearned=lambda w, input: os.path.dirname(str(input.unlearned[0])),
    message:
        "Analyse the models of {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "exec python -m grokforget analyse --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints} --input snapshots {input.snapshots}"
        " --input unlearned {params.unlearned}"
        " --output table {output.tables}/@.parquet --record {output.record} --log {log}"


rule shadow:
    input:
        examples=inputs(paths.SHADOWS, get_examples),
        split=inputs(paths.SHADOWS, get_split),
        forget=inputs(paths.SHADOWS, made(paths.FORGETTING)),
        checkpoints=inputs(paths.SHADOWS, made(paths.SELECTION)),
    output:
        losses=directory(at(paths.SHADOWS)),
        record=record_of(paths.SHADOWS),
    log:
        log_of(paths.SHADOWS),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        gpu=GPUS,
        mem_mb=get_memory,
        runtime=get_minutes,
    params:
        task=lambda w: canonical(PLAN.shadow(w.setting, int(w.seed))),
    message:
        "Ask the runs of {wildcards.setting}, seed {wildcards.seed}, about every example"
    shell:
        "exec python -m grokforget shadow --task {params.task:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints}/@.safetensors"
        " --output losses {output.losses}/@.safetensors --record {output.record} --log {log}"


rule attack:
    input:
        unlearned=inputs(paths.ATTACK, get_attacked_runs(paths.REQUEST)),
        shadows=inputs(paths.ATTACK, get_attacked_runs(paths.SHADOWS)),
        forget=inputs(paths.ATTACK, get_attacked_runs(paths.FORGETTING)),
        split=inputs(paths.ATTACK, get_attacked_runs(paths.SPLIT)),
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
    params:
        task=lambda w: canonical(PLAN.attack(w.setting)),
        root=lambda w, input: root_of(input),
    message:
        "Attack the cells of {wildcards.setting} with other seeds' runs"
    shell:
        "exec python -m grokforget attack --task {params.task:q} --input root {params.root}"
        " --output table {output.tables}/@.parquet --record {output.record} --log {log}"
