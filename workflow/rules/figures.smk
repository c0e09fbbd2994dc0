"""The paper's figures, from the tables alone."""


rule figure:
    input:
        tables=inputs(paths.FIGURE, get_figure_tables),
    output:
        svg=report(
            at(f"{paths.FIGURE}.svg"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf=at(f"{paths.FIGURE}.pdf"),
        png=at(f"{paths.FIGURE}.png"),
        record=record_of(paths.FIGURE),
    log:
        log_of(paths.FIGURE),
    wildcard_constraints:
        figure=one_of(PLAN.figures),
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=more(1500),
        runtime=more(10),
    params:
        task=lambda w: canonical(PLAN.figure(w.figure)),
    message:
        "Draw {wildcards.figure}"
    shell:
        "exec python -m grokforget figure-{wildcards.figure} --task {params.task:q} --input tables {input.tables}"
        " --output svg {output.svg} --output pdf {output.pdf} --output png {output.png}"
        " --record {output.record} --log {log}"
