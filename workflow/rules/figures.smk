"""The paper's figures, from the tables alone."""

# Figure → the tables it reads.
FIGURES = {
    "figure1a": ["training", "checkpoints"],
    "figure1b": ["sweep", "checkpoints"],
    "figure2": ["trajectories", "unlearning"],
}


rule figure:
    input:
        tables=lambda w: expand(at(paths.TABLE), table=FIGURES[w.figure]),
    output:
        svg=report(
            at(f"{paths.FIGURE}.svg"),
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        pdf=at(f"{paths.FIGURE}.pdf"),
        png=at(f"{paths.FIGURE}.png"),
    log:
        log_of("figures/{figure}"),
    wildcard_constraints:
        figure=one_of(FIGURES),
    conda:
        "../../envs/figures.yaml"
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        spec=lambda w: canonical(
            {
                "settings": list(STUDY.settings),
                "forget_sets": list(STUDY.forget_sets),
                "checkpoints": STUDY.checkpoints,
                "methods": list(STUDY.methods),
                "sweep_method": STUDY.sweep.method,
                "retrain": STUDY.name_of("retrain"),
            }
        ),
        code=lambda w: code(w.figure),
        versions=libraries(*PLOTS),
    message:
        "Draw {wildcards.figure}"
    shell:
        "python -m grokforget {wildcards.figure} --spec {params.spec:q} --input tables {input.tables}"
        " --output svg {output.svg} --output pdf {output.pdf} --output png {output.png} --log {log}"
