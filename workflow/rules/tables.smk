"""The tidy tables of the study, its paper table, and who made them."""


rule collect:
    input:
        inputs(paths.COLLECTION, get_collected),
    output:
        table=report(
            at(paths.TABLE),
            caption="../report/collected.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        record=record_of(paths.COLLECTION),
    log:
        log_of(paths.COLLECTION),
    wildcard_constraints:
        table=one_of(PLAN.tables),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        task=lambda w: canonical(PLAN.collect(w.table)),
        root=lambda w, input: root_of(input),
    message:
        "Collect the table {wildcards.table}"
    shell:
        "exec python -m grokforget collect-{wildcards.table} --task {params.task:q} --input root {params.root} --output table {output.table}"
        " --record {output.record} --log {log}"


rule summarise:
    input:
        unlearning=inputs("tables/summary", made(paths.TABLE, table="unlearning")),
    output:
        summary=report(at(paths.TABLE, table="summary"), caption="../report/summary.rst", category="Tables"),
        contrasts=report(at(paths.TABLE, table="contrasts"), caption="../report/contrasts.rst", category="Tables"),
        record=record_of("tables/summary"),
    log:
        log_of("tables/summary"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        task=canonical(PLAN.summarise()),
    message:
        "Means and paired differences over seeds"
    shell:
        "exec python -m grokforget summarise --task {params.task:q} --input unlearning {input.unlearning}"
        " --output summary {output.summary} --output contrasts {output.contrasts} --record {output.record} --log {log}"


rule table1:
    input:
        summary=inputs("paper/table1", made(paths.TABLE, table="summary")),
    output:
        csv=report(f"{RESULTS}/paper/table1.csv", caption="../report/table1.rst", category="Paper"),
        md=report(f"{RESULTS}/paper/table1.md", caption="../report/table1.rst", category="Paper"),
        tex=f"{RESULTS}/paper/table1.tex",
        record=record_of("paper/table1"),
    log:
        log_of("paper/table1"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=canonical(PLAN.table1()),
    message:
        "Table 1: accuracies after unlearning, in the paper's layout"
    shell:
        "exec python -m grokforget table1 --task {params.task:q} --input summary {input.summary}"
        " --output csv {output.csv} --output md {output.md} --output tex {output.tex}"
        " --record {output.record} --log {log}"


rule provenance:
    input:
        results=inputs(paths.PROVENANCE, get_products),
    output:
        provenance=f"{RESULTS}/provenance.json",
        record=record_of(paths.PROVENANCE),
    log:
        log_of(paths.PROVENANCE),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=canonical(PLAN.provenance()),
        root=lambda w, input: root_of(input),
    message:
        "Note who made what, when and with what"
    shell:
        "exec python -m grokforget provenance --task {params.task:q} --input root {params.root} --output provenance {output.provenance}"
        " --record {output.record} --log {log}"
