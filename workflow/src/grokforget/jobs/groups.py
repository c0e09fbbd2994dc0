"""What the examples of a group are like, and how their losses went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from grokforget.data.examples import ExampleTable, ForgetSplit
from grokforget.data.language.encode import IGNORED, prompt_of
from grokforget.data.language.tokenizer import from_array
from grokforget.runtime.files import read_tensors, write_rows
from grokforget.runtime.job import Job

if TYPE_CHECKING:
    from grokforget.config.specs.runs import GroupSpec


def describe(job: Job[GroupSpec]) -> None:
    """Describe the examples of a forget set by how their losses went.

    Reads ``examples``, ``forget`` and ``difficulty`` (of ``jobs/losses.py``). Writes ``examples``, a row an example: ``example``,
    ``label``, ``from_loss`` and ``final_loss`` (at the candidate epoch and at the end of the run on the full train set, nats),
    and of texts ``question_characters``, ``answer_characters`` and ``answer_tokens`` (without the end of the text); and
    ``losses``, a row a ``step``: the mean ``loss`` and its quartiles, ``loss_q25``, ``loss_q50`` and ``loss_q75``; likewise where
    the data have paraphrased questions ``paraphrase_loss``, over the examples that have one.
    """
    table = ExampleTable.read(job.input("examples"))
    forget = np.sort(ForgetSplit.read(job.input("forget")).forget)
    scores, _ = read_tensors(job.input("difficulty"))
    # Of all training examples, which are sorted, as the forgotten ones among them are.
    here = np.isin(scores["index"], forget)
    losses = scores["losses"][:, here]
    write_rows(
        job.outputs["examples"],
        {
            "example": forget,
            "label": table.labels[forget],
            "from_loss": losses[scores["steps"] == scores["from_step"]][0],
            "final_loss": losses[-1],
            **lengths(table, forget),
        },
    )
    columns = {"step": scores["steps"], **over_examples("loss", losses)}
    if "paraphrase_losses" in scores:
        asked = scores["paraphrase_losses"][:, here]
        # An example without a paraphrase has no number at any step.
        columns |= over_examples("paraphrase_loss", asked[:, ~np.isnan(asked).all(0)])
    write_rows(job.outputs["losses"], columns)


def over_examples(name: str, losses: np.ndarray) -> dict[str, np.ndarray]:
    """Mean and quartiles of losses (S, n), (S,) each; NaN of no examples."""
    if not losses.shape[1]:
        losses = np.full((len(losses), 1), np.nan)
    quartiles = np.quantile(losses, [0.25, 0.5, 0.75], axis=1)
    return {name: losses.mean(1), **{f"{name}_q{q}": row for q, row in zip((25, 50, 75), quartiles, strict=True)}}


def lengths(table: ExampleTable, index: np.ndarray) -> dict[str, Any]:
    """Of the questions and answers of these examples, (n,) int64; nothing where they are no texts."""
    if table.targets is None:
        return {}
    tokenizer = from_array(table.extras["tokenizer"])
    around = len(prompt_of(""))
    questions, answers, tokens = [], [], []
    for tokens_, targets in zip(table.inputs[index], table.targets[index], strict=True):
        learned = np.flatnonzero(targets != IGNORED)
        # The output at the prompt's last token is the first that has to predict something; the last target ends the text.
        questions.append(len(tokenizer.decode(tokens_[: learned[0] + 1].tolist())) - around)
        answer = targets[learned[:-1]].tolist()
        answers.append(len(tokenizer.decode(answer).removeprefix(" ")))
        tokens.append(len(answer))
    found = {"question_characters": questions, "answer_characters": answers, "answer_tokens": tokens}
    return {name: np.array(values, dtype=np.int64) for name, values in found.items()}
