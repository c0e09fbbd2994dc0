"""The tidy tables of the study, its paper table, and who made them."""


rule collect:
    input:
        lambda w: COLLECTED[w.table].inputs(),
    output:
        table=report(
            at(paths.TABLE),
            caption="../report/collected.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
    log:
        log_of("tables/{table}"),
    wildcard_constraints:
        table=one_of(COLLECTED),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=lambda w: get_collection_spec(*COLLECTED[w.table].labels),
        code=lambda w: code(f"collect-{w.table}"),
        versions=libraries(*TABLES),
    message:
        "Collect the table {wildcards.table}"
    shell:
        "python -m grokforget collect-{wildcards.table} --spec {params.spec:q} --output table {output.table} --log {log}"


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
        tables=expand(at(paths.TABLE), table=ALL_TABLES),
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
