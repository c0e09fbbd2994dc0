"""The tidy tables of the study, its paper table, and who made them."""


rule collect_training:
    input:
        get_curves,
    output:
        table=report(at(paths.TABLE, table="training"), caption="../report/training.rst", category="Tables"),
    log:
        log_of("tables/training"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("train_sets", "segments"),
        code=code("collect-training"),
        versions=libraries(*TABLES),
    message:
        "Collect the training curves"
    shell:
        "python -m grokforget collect-training --spec {params.spec:q} --output table {output.table} --log {log}"


rule collect_checkpoints:
    input:
        expand(at(paths.CHECKPOINT_TABLE), setting=list(STUDY.settings), seed=STUDY.seeds, train_set=STUDY.train_sets()),
    output:
        table=report(at(paths.TABLE, table="checkpoints"), caption="../report/checkpoints.rst", category="Tables"),
    log:
        log_of("tables/checkpoints"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("train_sets"),
        code=code("collect-checkpoints"),
        versions=libraries(*TABLES),
    message:
        "Collect the checkpoints"
    shell:
        "python -m grokforget collect-checkpoints --spec {params.spec:q} --output table {output.table} --log {log}"


rule collect_unlearning:
    input:
        over_requests(paths.MEASURES),
    output:
        table=report(at(paths.TABLE, table="unlearning"), caption="../report/unlearning.rst", category="Tables"),
    log:
        log_of("tables/unlearning"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("forget_sets"),
        code=code("collect-unlearning"),
        versions=libraries(*TABLES),
    message:
        "Collect the measures of all cells"
    shell:
        "python -m grokforget collect-unlearning --spec {params.spec:q} --output table {output.table} --log {log}"


rule collect_trajectories:
    input:
        over_requests(paths.TRAJECTORY, method=list(STUDY.methods)),
    output:
        table=at(paths.TABLE, table="trajectories"),
    log:
        log_of("tables/trajectories"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("forget_sets", "methods"),
        code=code("collect-trajectories"),
        versions=libraries(*TABLES),
    message:
        "Collect the unlearning trajectories"
    shell:
        "python -m grokforget collect-trajectories --spec {params.spec:q} --output table {output.table} --log {log}"


rule collect_sweep:
    input:
        over_requests(paths.SWEEP),
    output:
        table=at(paths.TABLE, table="sweep"),
    log:
        log_of("tables/sweep"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("forget_sets"),
        code=code("collect-sweep"),
        versions=libraries(*TABLES),
    message:
        "Collect the sweep over snapshots"
    shell:
        "python -m grokforget collect-sweep --spec {params.spec:q} --output table {output.table} --log {log}"


rule collect_analysis:
    input:
        over_requests(paths.DIAGNOSTICS, method=list(STUDY.methods)),
    output:
        table=at(paths.TABLE, table="analysis"),
    log:
        log_of("tables/analysis"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=get_collection_spec("forget_sets", "methods", "original"),
        code=code("collect-analysis"),
        versions=libraries(*TABLES),
    message:
        "Collect what the methods report of themselves"
    shell:
        "python -m grokforget collect-analysis --spec {params.spec:q} --output table {output.table} --log {log}"


rule summarise:
    input:
        unlearning=at(paths.TABLE, table="unlearning"),
    output:
        summary=report(at(paths.TABLE, table="summary"), caption="../report/summary.rst", category="Tables"),
        contrasts=report(at(paths.TABLE, table="contrasts"), caption="../report/contrasts.rst", category="Tables"),
    log:
        log_of("tables/summary"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=canonical({}),
        code=code("summarise"),
        versions=libraries(*TABLES),
    message:
        "Means and paired differences over seeds"
    shell:
        "python -m grokforget summarise --input unlearning {input.unlearning}"
        " --output summary {output.summary} --output contrasts {output.contrasts} --log {log}"


rule table1:
    input:
        summary=at(paths.TABLE, table="summary"),
    output:
        csv=report(f"{RESULTS}/paper/table1.csv", caption="../report/table1.rst", category="Paper"),
        md=report(f"{RESULTS}/paper/table1.md", caption="../report/table1.rst", category="Paper"),
        tex=f"{RESULTS}/paper/table1.tex",
    log:
        log_of("paper/table1"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=canonical({"methods": list(STUDY.methods), "checkpoints": STUDY.checkpoints}),
        code=code("table1"),
        versions=libraries(*TABLES),
    message:
        "Table 1: accuracies after unlearning, in the paper's layout"
    shell:
        "python -m grokforget table1 --spec {params.spec:q} --input summary {input.summary}"
        " --output csv {output.csv} --output md {output.md} --output tex {output.tex} --log {log}"


rule provenance:
    input:
        tables=expand(
            at(paths.TABLE),
            table=[
                "training",
                "checkpoints",
                "unlearning",
                "trajectories",
                "sweep",
                "analysis",
                "summary",
                "contrasts",
            ],
        ),
    output:
        provenance=f"{RESULTS}/provenance.json",
    log:
        log_of("provenance"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=canonical({"study": STUDY.model_dump(mode="json"), "root": RESULTS}),
        code=code("provenance"),
    message:
        "Note who made the tables, when and with what"
    shell:
        "python -m grokforget provenance --spec {params.spec:q} --input tables {input.tables}"
        " --output provenance {output.provenance} --log {log}"
