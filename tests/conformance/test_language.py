"""The objective of language models against plain loops over tokens, and evaluation of it batch by batch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.training import OptimizerSettings, RecipeSpec, TrainingSettings
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples, lengths_of, training_loader
from grokforget.data.shape import DataShape
from grokforget.metrics.language.answers import without_end
from grokforget.metrics.language.extraction_strength import extraction_strength
from grokforget.models.phi import Phi
from grokforget.training.data_parallel import Group
from grokforget.training.evaluate import MOST_TEXTS, accuracy_of, digests_of, evaluate
from grokforget.training.gradient import Gradient
from grokforget.training.language import Language
from grokforget.training.loop import start, train
from grokforget.training.outputs import per_example
from grokforget.training.state import load_training, save_training

OBJECTIVE = Language()
VOCABULARY = 11


def texts(n: int, longest: int = 9, seed: int = 0) -> Examples:
    """Random tokens with a prompt of 1 to 3 and an answer of 1 token and more, the end of the text among it."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(VOCABULARY, (n, longest), generator=generator)
    y = torch.full_like(x, IGNORED)
    for row in range(n):
        prompt, length = (int(torch.randint(*ends, (), generator=generator)) for ends in ((1, 4), (5, longest + 1)))
        y[row, prompt - 1 : length - 1] = x[row, prompt:length]
    return Examples(x, y)


def logits(n: int, longest: int = 9, seed: int = 1) -> Tensor:
    return 3 * torch.randn(n, longest, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def plain(outputs: Tensor, targets: Tensor) -> list[list[float]]:
    """-log p of the answer tokens of every example, in float64."""
    found = []
    for rows, wanted in zip(outputs.double(), targets.tolist(), strict=True):
        found.append(
            [
                math.log(sum(math.exp(z) for z in row)) - float(row[k])
                for row, k in zip(rows, wanted, strict=True)
                if k >= 0
            ]
        )
    return found


def plain_extraction_strength(outputs: Tensor, targets: Tensor) -> list[float]:
    """The longest end of the answer, as a share of it, that the model says right word by word; the end of the text is left
    out."""
    found = []
    for rows, wanted in zip(outputs, targets.tolist(), strict=True):
        right = [int(row.argmax()) == k for row, k in zip(rows, wanted, strict=True) if k >= 0][:-1]
        said = 0
        for one in reversed(right):
            if not one:
                break
            said += 1
        found.append(said / len(right) if right else 0.0)
    return found


def test_losses_are_those_of_the_answers_tokens() -> None:
    outputs, targets = logits(40), texts(40).y
    tokens = plain(outputs, targets)
    everything = [loss for of_example in tokens for loss in of_example]
    means = [sum(of_example) / len(of_example) for of_example in tokens]
    for loss in (OBJECTIVE.training_loss, OBJECTIVE.unlearning_loss):
        assert loss(outputs, targets).item() == pytest.approx(sum(everything) / len(everything), rel=1e-6)
    torch.testing.assert_close(OBJECTIVE.example_losses(outputs, targets), torch.tensor(means))
    torch.testing.assert_close(OBJECTIVE.sequence_losses(outputs, targets), torch.tensor([sum(t) for t in tokens]))
    by_token = OBJECTIVE.token_losses(outputs, targets)
    assert by_token.shape == targets.shape
    assert (by_token[targets == IGNORED] == 0).all()
    torch.testing.assert_close(by_token[targets != IGNORED], torch.tensor(everything))
    confidences = OBJECTIVE.confidences(outputs, targets)
    assert confidences.dtype is torch.float64
    expected = [math.log(math.exp(-mean) / (1 - math.exp(-mean))) for mean in means]
    torch.testing.assert_close(confidences, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_a_long_answer_weighs_by_its_tokens_in_the_mean_of_a_batch_and_once_among_examples() -> None:
    """The trap of two means: (3 + 1 + 1 + 1) / 4 of tokens, (3 + 1) / 2 of examples."""
    targets = torch.tensor([[0, IGNORED, IGNORED], [0, 0, 0]])
    # Of two classes, p(0) = e^-loss.
    loss = torch.tensor([3.0, 1.0]).view(2, 1, 1).expand(2, 3, 1)
    outputs = torch.cat([-loss, torch.log1p(-torch.exp(-loss))], dim=2)
    assert OBJECTIVE.training_loss(outputs, targets).item() == pytest.approx(1.5)
    assert OBJECTIVE.example_losses(outputs, targets).mean().item() == pytest.approx(2)


def test_extraction_strength_is_the_share_of_the_end_that_is_said_right() -> None:
    targets = texts(300).y
    outputs = logits(300)
    # Right more often than by chance, so that all lengths occur.
    outputs.scatter_add_(2, targets.clamp(min=0)[..., None], torch.full((300, 9, 1), 5.0))
    expected = plain_extraction_strength(outputs, targets)
    found = OBJECTIVE.correct(outputs, targets)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, torch.tensor(expected))
    assert {0.0, 1.0} < set(expected)


@pytest.mark.parametrize(
    ("right", "expected"),
    [("1111x", 1.0), ("0111x", 0.75), ("1101x", 0.25), ("1110x", 0.0), ("0000x", 0.0), ("0101x", 0.25), ("x", 0.0)],
)
@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("prompt", [0, 3])
@pytest.mark.parametrize("pads", [0, 2])
def test_extraction_strength_by_hand(right: str, expected: float, end: bool, prompt: int, pads: int) -> None:
    """The end of the text is no token of the answer, whether it is right or not, nor are prompt and pads."""
    answer = torch.tensor([[mark == "1" or (mark == "x" and end) for mark in right]])
    beside = [torch.full((1, n), value) for n, value in ((prompt, False), (pads, False))]
    targets = torch.cat(
        [torch.full((1, prompt), IGNORED), torch.ones_like(answer).long(), torch.full((1, pads), IGNORED)], 1
    )
    right_there = torch.cat([beside[0], answer, beside[1]], 1)
    assert extraction_strength(right_there, without_end(targets != IGNORED)).tolist() == [expected]


class Table(nn.Module):
    """A model whose logits of the next token depend on the last one alone; it notes the shapes that it is given."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=generator))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        return self.weight[x]


def test_evaluation_in_trimmed_batches_says_what_the_whole_set_would() -> None:
    model, given = Table().train(), texts(3 * MOST_TEXTS + 5)
    whole = model(given.x)
    model.shapes.clear()
    loss = OBJECTIVE.of_digests.training_loss
    row = evaluate(model, {"train": given, "test": given[:2]}, OBJECTIVE, loss)
    assert row["train_loss"] == pytest.approx(OBJECTIVE.training_loss(whole, given.y).item(), rel=1e-6)
    assert row["train_accuracy"] == pytest.approx(OBJECTIVE.correct(whole, given.y).mean().item(), rel=1e-6)
    assert row["test_accuracy"] == pytest.approx(OBJECTIVE.correct(whole, given.y)[:2].mean().item(), rel=1e-6)
    assert model.training
    assert max(n for n, _ in model.shapes) == MOST_TEXTS
    # By length: together no more positions than the longest of each batch.
    lengths = lengths_of(given.y).sort().values.split(MOST_TEXTS)
    assert model.shapes[:4] == [(len(part), int(part.max())) for part in lengths]
    columns = per_example(model, given, OBJECTIVE)
    torch.testing.assert_close(torch.tensor(columns["loss"]).float(), OBJECTIVE.example_losses(whole, given.y))
    torch.testing.assert_close(torch.tensor(columns["correct"]), OBJECTIVE.correct(whole, given.y))
    torch.testing.assert_close(
        torch.tensor(columns["confidence"]), OBJECTIVE.confidences(whole, given.y), rtol=1e-6, atol=1e-6
    )


def test_digests_keep_the_digits_of_a_model_that_is_sure() -> None:
    margin = 25.0
    outputs = torch.zeros(1, 2, 2)
    outputs[..., 0] = margin
    targets = torch.zeros(1, 2, dtype=torch.int64)
    losses = OBJECTIVE.of_digests.example_losses(OBJECTIVE.digest(outputs, targets), targets)
    assert losses.item() == pytest.approx(math.log1p(math.exp(-margin)), rel=1e-6)
    assert OBJECTIVE.confidences(outputs, targets).item() == pytest.approx(margin, rel=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_answer_with_an_output_that_is_not_finite_has_no_loss(value: float) -> None:
    outputs, targets = logits(3), texts(3).y
    place = int((targets[1] != IGNORED).nonzero()[0])
    outputs[1, place, VOCABULARY - 1] = value
    digests = OBJECTIVE.digest(outputs, targets)
    assert digests.isfinite().all(1).tolist() == [True, False, True]


def test_no_texts_have_no_extraction_strength() -> None:
    assert math.isnan(accuracy_of(Table(), texts(0), OBJECTIVE))
    assert digests_of(Table(), [texts(0)], OBJECTIVE)[0].shape == (0, 3)


def test_what_is_taken_out_of_texts_is_trimmed_to_its_longest() -> None:
    given = texts(6)
    lengths = lengths_of(given.y)
    assert lengths.tolist() == [max(t for t in range(9) if row[t] >= 0) + 1 for row in given.y.tolist()]
    for index in (slice(1, 3), torch.tensor([5, 0])):
        part = given[index]
        longest = int(lengths[index].max())
        assert torch.equal(part.x, given.x[index][:, :longest])
        assert torch.equal(part.y, given.y[index][:, :longest])
    # Neither labels nor distributions over classes are tokens.
    for targets in (torch.arange(6), torch.full((6, 9), -1.0)):
        assert torch.equal(Examples(given.x, targets)[:2].x, given.x[:2])


def recipe(**optimizer: float) -> RecipeSpec:
    settings = OptimizerSettings(name="adamw", learning_rate=0.05, weight_decay=0.1, **optimizer)
    training = TrainingSettings(
        loss="next-token", optimizer=settings, batch_size=4, steps=6, segment_steps=6, evaluate_every=6
    )
    return training.recipe()


@pytest.mark.parametrize("clip", [None, 0.3, 1e6])
def test_training_is_a_plain_loop_with_warm_up_and_clipping(clip: float | None) -> None:
    given, ours, theirs = texts(10), Table(), Table()
    splits = dict.fromkeys(("train", "validation", "test"), given)
    given_recipe = recipe(warmup_steps=3, clip=clip)
    train(start(ours, given_recipe.optimizer), splits, given_recipe, OBJECTIVE, seed=0, stop=6)
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.05, weight_decay=0.1)
    loader, clipped = training_loader(given, 4, 0), 0
    for step in range(6):
        optimizer.param_groups[0]["lr"] = 0.05 * min((step + 1) / 3, 1)
        batch = loader.batch(step)
        optimizer.zero_grad()
        tokens = [loss for of_example in differentiable(theirs(batch.x), batch.y) for loss in of_example]
        torch.stack(tokens).mean().backward()
        length = theirs.weight.grad.norm()
        if clip is not None and length > clip:
            theirs.weight.grad *= clip / length
            clipped += 1
        optimizer.step()
    assert (0 < clipped < 6) == (clip == 0.3), "or the test says nothing"
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)


def differentiable(outputs: Tensor, targets: Tensor) -> list[list[Tensor]]:
    """-log p of the answer tokens of every example."""
    return [
        [row.logsumexp(0) - row[k] for row, k in zip(rows, wanted, strict=True) if k >= 0]
        for rows, wanted in zip(outputs, targets.tolist(), strict=True)
    ]


class Part(Group):
    """One of two processes, whose gradients are summed by the test."""

    def sum_gradients(self, model: nn.Module) -> None:
        pass


def test_the_parts_of_a_batch_weigh_by_their_tokens() -> None:
    """So several processes take the step of one, although the loss is a mean over tokens."""
    given, model = texts(7), Table()
    gradients = []
    for group, part in ((Group(), slice(None)), (Part(0, 2), slice(3)), (Part(1, 2), slice(3, None))):
        gradient = Gradient(model, OBJECTIVE, recipe(), 0, len(given), group)
        gradient(given[part], 0, OBJECTIVE.terms(given.y))
        assert model.weight.grad is not None
        gradients.append(model.weight.grad.clone())
    torch.testing.assert_close(gradients[1] + gradients[2], gradients[0])
    assert OBJECTIVE.terms(given.y) == sum(len(tokens) for tokens in plain(logits(7), given.y))


def test_a_run_in_two_segments_is_one_run_to_the_bit(tmp_path: Path) -> None:
    def new() -> Phi:
        torch.manual_seed(4)
        return Phi(DataShape((9,), 3, VOCABULARY), layers=2, width=8, heads=2, mlp_width=12, partial_rotary=0.5)

    given_recipe, splits = recipe(warmup_steps=4, clip=0.3), dict.fromkeys(("train", "validation", "test"), texts(10))
    whole, first = (start(new(), given_recipe.optimizer) for _ in range(2))
    segment = train(whole, splits, given_recipe, OBJECTIVE, seed=0, stop=6)
    parts = train(first, splits, given_recipe, OBJECTIVE, seed=0, stop=3)
    save_training(tmp_path / "state.safetensors", first)
    second = load_training(tmp_path / "state.safetensors", new(), given_recipe.optimizer)
    rows = parts.curve[:-1] + train(second, splits, given_recipe, OBJECTIVE, seed=0, stop=6).curve
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True))
    steps = {row["step"]: row for row in segment.curve}
    assert all(row == steps[row["step"]] for row in rows if row["step"] in steps)
