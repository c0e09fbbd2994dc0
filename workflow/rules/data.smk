"""Data sets, splits and forget sets."""


rule prepare:
    output:
        examples=at(paths.EXAMPLES),
    log:
        log_of(paths.EXAMPLES),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda w: canonical({"data": STUDY.data[w.data].spec()}),
        code=lambda w: code("prepare", STUDY.data[w.data]),
        versions=libraries("numpy", "scikit-learn"),
    message:
        "Prepare the data set {wildcards.data}"
    shell:
        "python -m grokforget prepare --spec {params.spec:q} --output examples {output.examples} --log {log}"


rule split:
    input:
        examples=at(paths.EXAMPLES),
    output:
        split=at(paths.SPLIT),
    log:
        log_of(paths.SPLIT),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda w: canonical({"data": STUDY.data[w.data].spec(), "seed": int(w.seed)}),
        code=lambda w: code("split", STUDY.data[w.data]),
        versions=libraries("numpy"),
    message:
        "Split {wildcards.data} for seed {wildcards.seed}"
    shell:
        "python -m grokforget split --spec {params.spec:q} --input examples {input.examples}"
        " --output split {output.split} --log {log}"


rule forget:
    input:
        examples=get_examples,
        split=get_split,
    output:
        forget=at(paths.FORGET),
    log:
        log_of(paths.FORGET),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=lambda w: canonical(
            {
                "forget_set": STUDY.forget_sets[w.forget_set].spec(),
                "name": w.forget_set,
                "seed": int(w.seed),
            }
        ),
        code=lambda w: code("forget", STUDY.forget_sets[w.forget_set]),
        versions=libraries("numpy"),
    message:
        "Draw the forget set {wildcards.forget_set} for {wildcards.setting}, seed {wildcards.seed}"
    shell:
        "python -m grokforget forget --spec {params.spec:q} --input examples {input.examples} --input split {input.split}"
        " --output forget {output.forget} --log {log}"
