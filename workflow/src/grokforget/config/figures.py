"""The registry of the figures: one row each says which code draws it, and what of a study that code is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grokforget.config.specs.base import PLOTS


@dataclass(frozen=True)
class FigureRow:
    """One figure. A study has it where it has all the tables, the first kind of analyses, and what the figure needs."""

    implementation: str
    """``package.module:figure``, a function ``(tables, spec)`` → ``matplotlib.figure.Figure``."""
    tables: tuple[str, ...]
    """The tables that it reads."""
    shows: tuple[str, ...]
    """The fields of ``config.specs.figures.FigureSpec`` that it is given."""
    caption: str
    """One sentence for the report."""
    analyses: tuple[str, ...] = ()
    """The kinds of analyses that it shows; of other analyses it is not told, so they do not invalidate it."""
    needs: (
        Literal[
            "controls",
            "designs",
            "groups",
            "induced",
            "laboratory",
            "numbers",
            "fractions",
            "planes",
            "schedules",
            "levers",
        ]
        | None
    ) = None
    """What the study must have: a control; a setting with more than two forget sets; forget sets that are groups of examples by
    how their losses went; a control ``induced-...``; settings that are only looked at, or have labels; a grid of a label of
    numbers, of train fractions, or of two labels; recipes that change on the way; levers."""
    every_setting: bool = False
    """Whether ``settings`` are all, those from which nothing is unlearned and controls among them."""
    libraries: tuple[str, ...] = PLOTS
    """The libraries whose locked versions decide what it looks like."""


FIGURES: dict[str, FigureRow] = {
    "figure1a": FigureRow(
        "grokforget.figures.figure1a:figure",
        tables=("training", "checkpoints"),
        shows=("settings", "checkpoints"),
        caption="Training dynamics: train and test accuracy against steps, mean and standard deviation over seeds, "
        "checkpoints of each seed marked.",
    ),
    "figure1b": FigureRow(
        "grokforget.figures.figure1b:figure",
        tables=("unlearning_along", "checkpoints"),
        shows=("settings", "along_forget_sets", "along_method"),
        caption="One method applied to snapshots along training: forget and retain accuracy after it, against the "
        "snapshot's step.",
    ),
    "figure2": FigureRow(
        "grokforget.figures.figure2:figure",
        tables=("trajectories", "unlearning"),
        shows=("settings", "forget_sets", "checkpoints", "methods", "retrain"),
        caption="Forget accuracy against unlearning updates from each checkpoint, mean and standard deviation over "
        "seeds; level lines: retrained models.",
    ),
    "alignment": FigureRow(
        "grokforget.figures.alignment:figure",
        tables=("along", "checkpoints"),
        shows=("settings", "along_forget_sets", "study"),
        analyses=("gradient-alignment",),
        caption="Cosine between forget and retain gradients and, as its control, between those of two parts of the retain "
        "set, and the gradients' lengths, along training.",
    ),
    "alignment-pairs": FigureRow(
        "grokforget.figures.alignment_pairs:figure",
        tables=("analysis",),
        shows=("settings", "forget_sets", "study"),
        analyses=("gradient-alignment",),
        caption="Spread of the cosines between gradients of mini-batches and of pairs of examples, before unlearning.",
    ),
    "cka": FigureRow(
        "grokforget.figures.cka:figure",
        tables=("analysis",),
        shows=("settings", "forget_sets", "study"),
        analyses=("cka",),
        caption="Similarity (CKA) of the representations of forget and retain examples by layer, before unlearning; grey: the "
        "control, two parts of the retain set of as many classes and rows.",
    ),
    "complexity": FigureRow(
        "grokforget.figures.complexity:figure",
        tables=("along", "checkpoints"),
        shows=("settings", "along_forget_sets", "study"),
        analyses=("local-complexity",),
        caption="Local complexity near forget, retain and test examples along training.",
    ),
    "complexity-methods": FigureRow(
        "grokforget.figures.complexity_methods:figure",
        tables=("analysis",),
        shows=("settings", "forget_sets", "methods", "study"),
        analyses=("local-complexity",),
        caption="Local complexity before and after every method, from every checkpoint and control.",
    ),
    "modules": FigureRow(
        "grokforget.figures.modules:figure",
        tables=("along", "analysis"),
        shows=("settings", "forget_sets", "study"),
        analyses=("module-model",),
        caption="Correlation of gradients as the paper's module model predicts it, against the measured one.",
    ),
    "ablation": FigureRow(
        "grokforget.figures.ablation:figure",
        tables=("analysis",),
        shows=("settings", "forget_sets", "checkpoints", "study"),
        analyses=("ablation",),
        caption="Accuracy on forget, retain and test set without the most forget-specific units, and without random ones.",
    ),
    "pareto": FigureRow(
        "grokforget.figures.pareto:figure",
        tables=("tuning", "tuned"),
        shows=("settings", "methods", "study"),
        caption="Forget accuracy against lost retain accuracy of every candidate hyper-parameter of every method.",
    ),
    "matched": FigureRow(
        "grokforget.figures.matched:figure",
        tables=("matched",),
        shows=("settings", "methods", "study"),
        caption="Retain and test accuracy that every method and checkpoint has lost where as much is forgotten.",
    ),
    "batch-norm": FigureRow(
        "grokforget.figures.batch_norm:figure",
        tables=("batch_norm",),
        shows=("settings", "forget_sets", "methods", "study"),
        caption="Forget and retain accuracy of every method and checkpoint with the running statistics of its batch norms as the "
        "method left them, frozen during unlearning, and recalibrated on retained data.",
    ),
    "designs": FigureRow(
        "grokforget.figures.designs:figure",
        tables=("unlearning",),
        shows=("settings", "methods", "study"),
        needs="designs",
        caption="Differences in accuracy after unlearning between checkpoints, by the design of the forget set.",
        # Its intervals are Student's.
        libraries=(*PLOTS, "scipy"),
    ),
    "groups": FigureRow(
        "grokforget.figures.groups:figure",
        tables=("unlearning",),
        shows=("settings", "methods", "study"),
        needs="groups",
        caption="Extraction strength on the forget and the retain set after unlearning locally grokked and ungrokked examples, "
        "as they are and alike in length.",
        # Its intervals are Student's.
        libraries=(*PLOTS, "scipy"),
    ),
    "group-losses": FigureRow(
        "grokforget.figures.group_losses:figure",
        tables=("group_losses", "training"),
        shows=("settings", "study"),
        needs="groups",
        caption="Loss of locally grokked and ungrokked examples along training, of the right answers to their paraphrased "
        "questions, and of held-out questions about the same authors.",
    ),
    "controls": FigureRow(
        "grokforget.figures.controls:figure",
        tables=("unlearning",),
        shows=("settings", "methods", "study"),
        needs="controls",
        caption="Accuracy after unlearning from the controls, beside that from the checkpoints of the same setting.",
    ),
    "induced": FigureRow(
        "grokforget.figures.induced:figure",
        tables=("unlearning",),
        shows=("settings", "methods", "study"),
        needs="induced",
        caption="Forget and retain accuracy after unlearning from models that a lever has brought to grok, less those from "
        "grokked, by seed, mean with its 95 % interval.",
        # Its intervals are Student's.
        libraries=(*PLOTS, "scipy"),
    ),
    "attacks": FigureRow(
        "grokforget.figures.attacks:figure",
        tables=("unlearning", "membership"),
        shows=("settings", "forget_sets", "methods", "study"),
        caption="Membership attacks on the models after unlearning, with the retrained model as the ideal.",
    ),
    "robustness": FigureRow(
        "grokforget.figures.robustness:figure",
        tables=("analysis",),
        shows=("settings", "methods", "study"),
        analyses=("robustness",),
        caption="Accuracy without and under adversarial attack, before and after unlearning.",
    ),
    "relearning": FigureRow(
        "grokforget.figures.relearning:figure",
        tables=("analysis",),
        shows=("settings", "methods", "study"),
        analyses=("relearning", "distance"),
        caption="Updates until the forget set is relearned, and the distance of the outputs from the retrained model's.",
    ),
    "progress": FigureRow(
        "grokforget.figures.progress:figure",
        tables=("along", "runs", "training"),
        shows=("settings", "study"),
        analyses=("weights", "fourier", "hessian", "active-units", "local-complexity", "sharpness"),
        every_setting=True,
        caption="Progress measures of the runs themselves on one clock, a row a measure: accuracy, norms, ranks, active units, "
        "local complexity, sharpness, top eigenvalue of the Hessian and Fourier measures.",
    ),
    "explanations": FigureRow(
        "grokforget.figures.explanations:figure",
        tables=("explanations",),
        shows=("settings",),
        caption="What goes with the collateral at matched forgetting: rank correlation of every candidate (filled), and given "
        "train and test accuracy (open), with intervals over seeds; below, what is left for being past t_grok.",
    ),
    "law": FigureRow(
        "grokforget.figures.law:figure",
        tables=("runs", "laws"),
        shows=(),
        needs="numbers",
        caption="Steps until a run groks against what a grid varies, a mark a seed; triangles: runs that did not within their "
        "budget; line: the fitted power law with its 95 % band.",
    ),
    "fraction": FigureRow(
        "grokforget.figures.fraction:figure",
        tables=("runs", "rates"),
        shows=(),
        needs="fractions",
        caption="Grok rate (Wilson's 95 % interval) and median times of memorising and grokking against the share of the data "
        "that is trained on, with the boundaries.",
    ),
    "phase": FigureRow(
        "grokforget.figures.phase:figure",
        tables=("runs",),
        shows=(),
        needs="planes",
        caption="The kind of curve of most seeds over two labels of a grid, hatched where seeds differ; numbers: log10 of the "
        "median gap in steps.",
    ),
    "rates": FigureRow(
        "grokforget.figures.rates:figure",
        tables=("rates",),
        shows=(),
        needs="laboratory",
        caption="How many seeds of every task, lever and setting grokked, with Wilson's 95 % intervals.",
    ),
    "late-decay": FigureRow(
        "grokforget.figures.late_decay:figure",
        tables=("training",),
        shows=("schedules",),
        needs="schedules",
        caption="Train and test accuracy of runs whose weight decay or learning rate is switched on the way, beside those "
        "without.",
    ),
    "gallery": FigureRow(
        "grokforget.figures.gallery:figure",
        tables=("training", "runs"),
        shows=(),
        needs="laboratory",
        caption="An example of every kind of curve that occurs: train and test accuracy of one run.",
    ),
    "levers": FigureRow(
        "grokforget.figures.levers:figure",
        tables=("runs",),
        shows=("study",),
        needs="levers",
        caption="Steps until a run groks with every lever and without, and their ratio by seed, geometric mean with its 95 % "
        "interval.",
        # Its intervals are Student's.
        libraries=(*PLOTS, "scipy"),
    ),
    "claims": FigureRow(
        "grokforget.figures.claims:figure",
        tables=("claims",),
        shows=("claims",),
        caption="The deciding tests of every claim: effect, 95 % interval and verdict, beside what the claim predicts; "
        "small above it: the same against memorised, which tells grokking from having fitted at all.",
    ),
}
"""By name, in the order of the report."""
