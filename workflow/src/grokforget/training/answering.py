"""What a language model says by itself: greedy generation of many answers at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, lengths_of
from grokforget.training.answer_logits import answer_logits
from grokforget.training.evaluate import MOST_TEXTS
from grokforget.training.modes import in_eval_mode

AHEAD = 8
"""Tokens that are guessed beyond what is known of an answer, to be looked at in the same pass: 4 to 16 take about as long."""


@torch.no_grad()
def greedy_answers(model: nn.Module, pairs: Examples, end: int, longest: int) -> list[list[int]]:
    """Of each pair the tokens that the model says after the prompt, each time the likeliest, up to the token ``end`` (without
    it) or to ``longest`` tokens of prompt and answer. In eval mode; every module's mode is put back.

    The answer is the one text that the likeliest token after each of its beginnings goes on with. It is found from any guess by
    replacing every token by the likeliest after those before it, again and again: each pass makes at least one more token
    final, and all that were guessed rightly at once. The first guess is the right answer, so that a pair that the model knows
    takes one pass, and no other takes more than generating token by token without a cache does.
    """
    answers: dict[int, list[int]] = {}
    with in_eval_mode(model):
        for index in lengths_of(pairs.y).argsort(stable=True).split(MOST_TEXTS):
            batch = pairs[index]
            said = settled(model, batch, end, longest)
            prompts = prompt_lengths(batch.y).tolist()
            for row, prompt, tokens in zip(index.tolist(), prompts, said.tolist(), strict=True):
                answer = tokens[prompt:]
                answers[row] = answer[: answer.index(end)] if end in answer else answer
    return [answers[row] for row in range(len(pairs))]


def prompt_lengths(targets: Tensor) -> Tensor:
    """How many tokens stand before each answer, (N,) int64."""
    return (targets != IGNORED).long().argmax(1) + 1


def settled(model: nn.Module, batch: Examples, end: int, longest: int) -> Tensor:
    """Prompts and what the model says after them, (n, longest) int64; behind an ``end``, anything."""
    said = torch.full((len(batch), longest), end, dtype=torch.int64, device=batch.x.device)
    said[:, : batch.x.shape[1]] = batch.x
    place = torch.arange(1, longest, device=said.device)
    # How many tokens of each text are final: a pass makes the next one so.
    final, rows = prompt_lengths(batch.y), torch.arange(len(batch), device=said.device)
    # First the whole right answers, and what ends the longest.
    reach = min(batch.x.shape[1] + 1, longest)
    while len(rows):
        text, known, places = said[rows, :reach], final[rows, None], place[: reach - 1]
        asked = places >= known
        likeliest = answer_logits(model, text[:, :-1], asked).argmax(1)
        after = text[:, 1:].masked_scatter(asked, likeliest)
        # All up to the first that is another than was guessed, and that one too, follow from final ones.
        wrong = after != text[:, 1:]
        first_wrong = torch.where(wrong.any(1), wrong.long().argmax(1) + 2, reach)
        said[rows, 1:reach] = after
        final[rows] = torch.maximum(first_wrong, known[:, 0])
        ended = ((after == end) & asked & (places < final[rows, None])).any(1)
        rows = rows[~ended & (final[rows] < longest)]
        reach = min(int(final[rows].amax()) + AHEAD, longest) if len(rows) else reach
    return said
