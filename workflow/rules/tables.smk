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
        table=one_of(PLAN.collected),
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


rule tuned:
    input:
        tuning=inputs("tables/tuned", made(paths.TABLE, table="tuning")),
    output:
        table=report(at(paths.TABLE, table="tuned"), caption="../report/collected.rst", category="Tables"),
        record=record_of("tables/tuned"),
    log:
        log_of("tables/tuned"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.tuned()),
    message:
        "Every checkpoint at its own best hyper-parameters"
    shell:
        "exec python -m grokforget tuned --task {params.task:q} --input tuning {input.tuning} --output table {output.table}"
        " --record {output.record} --log {log}"


rule claims:
    input:
        tables=inputs("paper/claims", get_deciding_tables),
    output:
        tests=report(at(paths.TABLE, table=TESTS), caption="../report/claims.rst", category="Claims"),
        csv=report(f"{RESULTS}/paper/claims.csv", caption="../report/claims.rst", category="Claims"),
        md=report(f"{RESULTS}/paper/claims.md", caption="../report/claims.rst", category="Claims"),
        record=record_of("paper/claims"),
    log:
        log_of("paper/claims"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        task=canonical(PLAN.claims()),
        tables=lambda w, input: named(PLAN.decide_claims, input.tables),
    message:
        "A verdict on every claim"
    shell:
        "exec python -m grokforget claims --task {params.task:q} {params.tables}"
        " --output tests {output.tests} --output csv {output.csv} --output md {output.md}"
        " --record {output.record} --log {log}"


rule published:
    input:
        unlearning=inputs("paper/published", made(paths.TABLE, table="unlearning")),
        analysis=inputs("paper/published", made(paths.TABLE, table="analysis")),
    output:
        csv=report(f"{RESULTS}/paper/published.csv", caption="../report/published.rst", category="Paper"),
        md=report(f"{RESULTS}/paper/published.md", caption="../report/published.rst", category="Paper"),
        record=record_of("paper/published"),
    log:
        log_of("paper/published"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    params:
        task=canonical(PLAN.published()),
    message:
        "The paper's numbers beside this study's"
    shell:
        "exec python -m grokforget published --task {params.task:q} --input unlearning {input.unlearning}"
        " --input analysis {input.analysis} --output csv {output.csv} --output md {output.md}"
        " --record {output.record} --log {log}"


rule paper_table:
    input:
        tables=inputs(paths.PAPER, get_paper_tables),
    output:
        csv=report(f"{RESULTS}/paper/{{table}}.csv", caption="../report/paper_table.rst", category="Paper"),
        md=report(f"{RESULTS}/paper/{{table}}.md", caption="../report/paper_table.rst", category="Paper"),
        tex=f"{RESULTS}/paper/{{table}}.tex",
        record=record_of(paths.PAPER),
    log:
        log_of(paths.PAPER),
    wildcard_constraints:
        table=one_of(PAPER_TABLES),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.paper_table(w.table)),
        tables=lambda w, input: named(PLAN.shown_in(w.table), input.tables),
    message:
        "{wildcards.table}, in the paper's layout"
    shell:
        "exec python -m grokforget paper-table --task {params.task:q} {params.tables}"
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
