"""The choice of hyper-parameters, on a seed that no table reports. Not part of `all`: `snakemake tuning`."""


rule tune:
    input:
        examples=get_examples,
        split=lambda w: at(paths.SPLIT, data=STUDY.settings[w.setting].data, seed=STUDY.tuning.seed),
        forget=lambda w: expand(
            at(paths.FORGET), setting=w.setting, seed=STUDY.tuning.seed, forget_set=list(STUDY.forget_sets)
        ),
        checkpoints=lambda w: at(paths.CHECKPOINT_WEIGHTS, setting=w.setting, seed=STUDY.tuning.seed, train_set="full"),
    output:
        table=at(paths.TUNING),
    log:
        log_of(paths.TUNING),
    conda:
        "../../envs/training.yaml"
    threads: STUDY.threads
    resources:
        mem_mb=1500,
        runtime=60,
    params:
        spec=lambda w: get_tuning_spec(SimpleNamespace(setting=w.setting, method=w.method, seed=STUDY.tuning.seed)),
        code=lambda w: code("tune", get_model(w), STUDY.methods[w.method]),
        versions=libraries(*NUMERICS),
    message:
        "Try the candidates of {wildcards.method} on {wildcards.setting}"
    shell:
        "python -m grokforget tune --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --input forget {input.forget} --input checkpoints {input.checkpoints} --output table {output.table} --log {log}"


rule choose:
    input:
        expand(at(paths.TUNING), setting=list(STUDY.settings), method=get_tuned_methods()),
    output:
        choice=f"{RESULTS}/tuning/choice.csv",
        candidates=f"{RESULTS}/tuning/candidates.csv",
    log:
        log_of("tuning/choice"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=canonical({"settings": list(STUDY.settings), "methods": get_tuned_methods(), "root": RESULTS}),
        code=code("choose"),
        versions=libraries(*TABLES),
    message:
        "Choose the hyper-parameters"
    shell:
        "python -m grokforget choose --spec {params.spec:q}"
        " --output choice {output.choice} --output candidates {output.candidates} --log {log}"


rule tuning:
    input:
        f"{RESULTS}/tuning/choice.csv",
