"""The figures, from the tables alone."""


rule figure:
    input:
        unpack(job("figure", paths.FIGURE, drawing.figure_item)),
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
        figure=one_of(FIGURES),
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=more(1500),
        runtime=more(10),
    params:
        caption=lambda w: drawing.FIGURES[w.figure].caption,
    message:
        "Draw {wildcards.figure}"
    shell:
        RUN
