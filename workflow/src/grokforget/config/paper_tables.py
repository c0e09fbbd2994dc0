"""The tables in the paper's layout: one row each, with the function that lays it out and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ROWS_OF_ALL = ("study", "checkpoints", "methods")


@dataclass(frozen=True)
class PaperTableRow:
    """A table in the paper's layout. A study without something to show in it does not have it."""

    implementation: str
    """``package.module:name`` of the function that lays it out."""
    tables: tuple[str, ...]
    """The tidy tables that it is made from, where the study has them; the first is needed."""
    caption: str
    analysis: str | None = None
    """The kind of analysis that it shows."""
    needs: Literal["controls", "random", "along", "groups"] | None = None
    """``controls``: settings that are controls of others; ``random``: forget sets drawn from all classes; ``along``: its analysis
    along training; ``groups``: forget sets that are groups of examples by how their losses went."""
    fields: tuple[str, ...] = ROWS_OF_ALL
    """The fields of ``PaperTableSpec`` that it is told."""


PAPER_TABLES = {
    "table1": PaperTableRow(
        "grokforget.tables.paper:table1",
        ("unlearning",),
        "Accuracy in percent after unlearning from each checkpoint, mean ± standard deviation over seeds.",
        fields=("settings", "forget_sets", "methods", "checkpoints"),
    ),
    "table2": PaperTableRow(
        "grokforget.tables.groups:table2",
        ("unlearning",),
        "Extraction strength on forget and retain set after unlearning locally grokked and ungrokked examples.",
        needs="groups",
        fields=(*ROWS_OF_ALL, "settings"),
    ),
    "table3": PaperTableRow(
        "grokforget.tables.paper:table3",
        ("analysis",),
        "Cosine between the mean gradients of forget and retain set, of the checkpoints before unlearning.",
        analysis="gradient-alignment",
    ),
    "table4": PaperTableRow(
        "grokforget.tables.paper:table4",
        ("analysis",),
        "Local complexity around forget, retain and test examples, before and after unlearning.",
        analysis="local-complexity",
    ),
    "table5": PaperTableRow(
        "grokforget.tables.paper:table5",
        ("analysis",),
        "Linear CKA between the representations of forget and retain examples, of the checkpoints before unlearning.",
        analysis="cka",
    ),
    "table8": PaperTableRow(
        "grokforget.tables.paper:table8",
        ("unlearning",),
        "Accuracies after unlearning and distance to the retrained model, with the controls of the settings.",
        needs="controls",
    ),
    "table9": PaperTableRow(
        "grokforget.tables.paper:table9",
        ("analysis",),
        "Cosine and angle between the mean gradients of forget and retain set, with the controls of the settings.",
        analysis="gradient-alignment",
        needs="controls",
    ),
    "table10": PaperTableRow(
        "grokforget.tables.paper:table10",
        ("unlearning",),
        "Accuracies after unlearning examples drawn from all classes.",
        needs="random",
    ),
    "table11": PaperTableRow(
        "grokforget.tables.paper:table11",
        ("unlearning",),
        "Accuracies after unlearning from the early, the grokked and the SAM-trained model.",
        needs="controls",
    ),
    "table12": PaperTableRow(
        "grokforget.tables.groups:table12",
        ("groups",),
        "Length of questions and answers, and losses, of locally grokked and ungrokked examples.",
        needs="groups",
        fields=(*ROWS_OF_ALL, "settings"),
    ),
    "membership": PaperTableRow(
        "grokforget.tables.paper:membership",
        ("unlearning", "membership"),
        "Membership inference after unlearning: loss attack, confidence attack and likelihood-ratio attack.",
    ),
    "robustness": PaperTableRow(
        "grokforget.tables.paper:robustness",
        ("analysis",),
        "Test accuracy before and after unlearning, clean and under adversarial attack.",
        analysis="robustness",
    ),
    "robustness-along": PaperTableRow(
        "grokforget.tables.attacked:robustness_along",
        ("along", "checkpoints"),
        "Whether and when test accuracy, clean and under adversarial attack, rises after the training data are fitted.",
        analysis="robustness",
        needs="along",
    ),
}
"""A table's name → its row."""
