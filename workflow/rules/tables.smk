"""The tidy tables of the study, the paper's tables, the claims, and who made them."""


rule collect:
    input:
        unpack(job("collect", paths.COLLECTION, collecting.collect)),
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
        table=one_of(collecting.collected(STUDY)),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    params:
        caption=lambda w: collecting.COLLECTED[w.table].caption,
    message:
        "Collect the table {wildcards.table}"
    shell:
        RUN


rule summarise:
    input:
        unpack(job("summarise", "tables/summary", deriving.summarise_item)),
    output:
        summary=report(
            at("tables/summary.parquet"),
            caption="../report/summary.rst",
            category="Tables",
        ),
        contrasts=report(
            at("tables/contrasts.parquet"),
            caption="../report/contrasts.rst",
            category="Tables",
        ),
        record=record_of("tables/summary"),
    log:
        log_of("tables/summary"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    message:
        "Means and paired differences over seeds"
    shell:
        RUN


rule tuned:
    input:
        unpack(job("tuned", "tables/tuned", deriving.tuned_item)),
    output:
        table=report(
            at("tables/tuned.parquet"),
            caption="../report/tuned.rst",
            category="Tables",
        ),
        record=record_of("tables/tuned"),
    log:
        log_of("tables/tuned"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    message:
        "Every checkpoint at its own best hyper-parameters"
    shell:
        RUN


rule match:
    input:
        unpack(job("match", "tables/matched", deriving.matched_item)),
    output:
        matched=report(
            at("tables/matched.parquet"),
            caption="../report/matched.rst",
            category="Tables",
        ),
        fronts=report(
            at("tables/fronts.parquet"),
            caption="../report/fronts.rst",
            category="Tables",
        ),
        record=record_of("tables/matched"),
    log:
        log_of("tables/matched"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    message:
        "What is lost where as much is forgotten"
    shell:
        RUN


rule outcomes:
    input:
        unpack(job("outcomes", "tables/runs", deriving.outcomes_item)),
    output:
        runs=report(
            at("tables/runs.parquet"),
            caption="../report/runs.rst",
            category="Tables",
        ),
        rates=report(
            at("tables/rates.parquet"),
            caption="../report/rates.rst",
            category="Tables",
        ),
        record=record_of("tables/runs"),
    log:
        log_of("tables/runs"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    message:
        "What became of every run, and how often"
    shell:
        RUN


rule fit_laws:
    input:
        unpack(job("fit_laws", "tables/laws", deriving.laws_item)),
    output:
        laws=report(
            at("tables/laws.parquet"),
            caption="../report/laws.rst",
            category="Tables",
        ),
        record=record_of("tables/laws"),
    log:
        log_of("tables/laws"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    message:
        "Power laws of the times of grokking"
    shell:
        RUN


rule claims:
    input:
        unpack(job("claims", "paper/claims", lambda study: deriving.claims_item(study, TABLES))),
    output:
        tests=report(
            at("tables/claims.parquet"),
            caption="../report/claims.rst",
            category="Claims",
        ),
        csv=report(
            at("paper/claims.csv"),
            caption="../report/claims.rst",
            category="Claims",
        ),
        md=report(
            at("paper/claims.md"),
            caption="../report/claims.rst",
            category="Claims",
        ),
        record=record_of("paper/claims"),
    log:
        log_of("paper/claims"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    message:
        "A verdict on every claim"
    shell:
        RUN


rule explain:
    input:
        unpack(job("explain", "paper/explanations", lambda study: deriving.explanations_item(study, TABLES))),
    output:
        table=report(
            at("tables/explanations.parquet"),
            caption="../report/explanations.rst",
            category="Tables",
        ),
        csv=report(
            at("paper/explanations.csv"),
            caption="../report/explanations.rst",
            category="Claims",
        ),
        md=report(
            at("paper/explanations.md"),
            caption="../report/explanations.rst",
            category="Claims",
        ),
        record=record_of("paper/explanations"),
    log:
        log_of("paper/explanations"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(30),
    message:
        "What else explains what is lost"
    shell:
        RUN


rule published:
    input:
        unpack(job("published", "paper/published", deriving.published_item)),
    output:
        csv=report(
            at("paper/published.csv"),
            caption="../report/published.rst",
            category="Paper",
        ),
        md=report(
            at("paper/published.md"),
            caption="../report/published.rst",
            category="Paper",
        ),
        record=record_of("paper/published"),
    log:
        log_of("paper/published"),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(2000),
        runtime=more(10),
    message:
        "The paper's numbers beside this study's"
    shell:
        RUN


rule paper_table:
    input:
        unpack(job("paper_table", paths.PAPER, lambda study, table: deriving.paper_table_item(study, table, TABLES))),
    output:
        csv=report(
            at(f"{paths.PAPER}.csv"),
            caption="../report/paper_table.rst",
            category="Paper",
        ),
        md=report(
            at(f"{paths.PAPER}.md"),
            caption="../report/paper_table.rst",
            category="Paper",
        ),
        tex=at(f"{paths.PAPER}.tex"),
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
        caption=lambda w: deriving.PAPER_TABLES[w.table].caption,
    message:
        "{wildcards.table}, in the paper's layout"
    shell:
        RUN


rule provenance:
    input:
        unpack(job("provenance", paths.PROVENANCE, lambda study: collecting.provenance(study, PRODUCTS))),
    output:
        provenance=at("provenance.json"),
        record=record_of(paths.PROVENANCE),
    log:
        log_of(paths.PROVENANCE),
    conda:
        "../../envs/tables.yaml"
    resources:
        mem_mb=more(1000),
        runtime=more(10),
    message:
        "Note who made what, when and with what"
    shell:
        RUN
