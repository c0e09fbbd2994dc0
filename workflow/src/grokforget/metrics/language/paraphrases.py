"""What a model says of answers to questions in other words."""

from __future__ import annotations

from grokforget.metrics.base import SPLITS, Cell
from grokforget.metrics.language.answers import mean


def measure(cell: Cell) -> dict[str, float]:
    """``{split}_paraphrase_loss``, nats, and ``{split}_paraphrase_strength``, in [0, 1]: mean loss and extraction strength of the
    right answers to the paraphrased questions, over the pairs that have one."""
    columns = {"loss": "paraphrased_question_loss", "strength": "paraphrased_question_strength"}
    return {
        f"{split}_paraphrase_{name}": mean(cell.outputs.column(split, column))
        for split in SPLITS
        for name, column in columns.items()
    }
