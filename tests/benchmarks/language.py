"""The stand-in language model, Phi of 2 layers and width 128 with a vocabulary of 4,096: a training step against a plain loop
over the same model, and extraction strength of 400 pairs."""

from __future__ import annotations

import time

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.timing import fastest
from grokforget.config.training import OptimizerSettings, TrainingSettings
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, lengths_of
from grokforget.data.shape import DataShape
from grokforget.models.phi import Phi
from grokforget.training.evaluate import evaluate
from grokforget.training.language import Language
from grokforget.training.loop import start, train

PAIRS, VOCABULARY, BATCH, STEPS = 400, 4096, 16, 20
LENGTHS, PROMPT, LONGEST = (24, 89), 18, 110
"""From and below of most pairs' tokens, 56 in the mean; of the question, and of the longest pair."""


def pairs() -> Examples:
    """Random tokens, of lengths as of questions and answers about authors: 56 in the mean, of them 38 the answer's."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(2, VOCABULARY, (PAIRS, LONGEST), generator=generator)
    y = torch.full_like(x, IGNORED)
    lengths = torch.randint(*LENGTHS, (PAIRS,), generator=generator)
    lengths[0] = LONGEST
    for row, length in enumerate(lengths.tolist()):
        y[row, PROMPT - 1 : length - 1] = x[row, PROMPT:length]
        x[row, length:] = 1
    return Examples(x, y)


def new_model() -> Phi:
    torch.manual_seed(0)
    shape = DataShape((LONGEST,), 20, VOCABULARY)
    return Phi(shape, layers=2, width=128, heads=4, mlp_width=512, partial_rotary=0.5)


def run() -> str:
    """The least of 5 times, in turn."""
    given, objective, model = pairs(), Language(), new_model()
    training = TrainingSettings(
        loss="next-token",
        optimizer=OptimizerSettings(name="adamw", learning_rate=1e-3, weight_decay=0.01, warmup_steps=50, clip=1.0),
        batch_size=BATCH,
        steps=10**6,
        segment_steps=10**6,
        evaluate_every=10**6,
        evaluations_per_decade=1,
        snapshots_per_decade=1,
    )
    recipe = training.recipe()
    state = start(new_model(), recipe.optimizer)
    splits = {name: given[:1] for name in ("validation", "test")} | {"train": given}
    # Past the evaluations of the first steps: one at 10^4 is the next.
    state.step = 1001

    def ours() -> float:
        """Seconds of processor time of ``STEPS`` steps: the segment's end, with which its evaluation comes, is left out."""
        times: list[float] = []
        stop = state.step + STEPS + 2
        train(
            state,
            splits,
            recipe,
            objective,
            seed=0,
            stop=stop,
            on_step=lambda segment: times.append(time.process_time()),
        )
        return times[STEPS] - times[0]

    mine = new_model()
    optimizer = torch.optim.AdamW(mine.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    lengths = lengths_of(given.y)

    def plain() -> float:
        began = time.process_time()
        for index in torch.randperm(PAIRS).split(BATCH)[:STEPS]:
            longest = int(lengths[index].max())
            x, y = given.x[index, :longest], given.y[index, :longest]
            optimizer.zero_grad()
            functional.cross_entropy(mine(x).flatten(0, 1), y.flatten(), ignore_index=IGNORED).backward()
            torch.nn.utils.clip_grad_norm_(mine.parameters(), 1.0)
            optimizer.step()
        return time.process_time() - began

    @torch.no_grad()
    def at_once() -> list[Tensor]:
        """Of all pairs, as long as the longest, by their definition."""
        outputs = model(given.x)
        return [objective.correct(outputs, given.y), objective.example_losses(outputs, given.y)]

    taken = [(ours(), plain()) for _ in range(5)]
    step, other = (min(each) / STEPS for each in zip(*taken, strict=True))
    evaluated, whole = fastest(
        [lambda: evaluate(model, {"all": given}, objective, objective.of_digests.unlearning_loss), at_once], 3
    )
    return (
        f"language: a training step of {BATCH} pairs {1e3 * step:.1f} ms, a plain loop {1e3 * other:.1f} ms, ratio "
        f"{step / other:.2f} (at most 1.2); extraction strength and loss of {PAIRS} pairs {evaluated:.2f} s (at most 2), all at "
        f"once {whole:.2f} s, ratio {evaluated / whole:.2f}"
    )
