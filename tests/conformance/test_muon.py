"""Muon beside AdamW: whose parameters are whose, and what an update is."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.resnet import ResNet
from grokforget.models.transformer import Transformer
from grokforget.training.loop import start, train
from grokforget.training.optimizers import hidden_matrices, make_optimizer, set_rates
from grokforget.training.snapshots import InMemory
from small import STUDY, small

STEPS, RATE, DECAY = 5, 0.02, 0.3
GENERATOR = torch.Generator().manual_seed(1)
EXAMPLES = Examples(torch.randn(12, 5, generator=GENERATOR), torch.arange(12) % 3)
PRECISION = 2.0**-7
"""Relative, of bfloat16, in which the matrices of an update are multiplied."""


def settings(**optimizer: Any) -> TrainingSettings:
    rest = {"loss": "cross-entropy", "steps": STEPS, "segment_steps": STEPS, "evaluate_every": 1}
    own = {"name": "muon", "learning_rate": RATE, "weight_decay": DECAY, **optimizer}
    return TrainingSettings.model_validate({**rest, "snapshots_per_decade": 100, "optimizer": own})


def mlp() -> MLP:
    torch.manual_seed(0)
    return MLP(DataShape((5,), 3), hidden=[6, 9], activation="relu", bias=True, initialisation="default")


def trained(given: TrainingSettings) -> list[plain.Weights]:
    """The weights before the first and after every update."""
    recipe, snapshots = given.recipe(), InMemory()
    splits = dict.fromkeys(("train", "validation", "test"), EXAMPLES)
    objective = given.objective().build()
    train(start(mlp(), recipe.optimizer), splits, recipe, objective, seed=0, stop=STEPS, on_snapshot=snapshots.keep)
    return [snapshots.states[step] for step in range(STEPS + 1)]


def gradient_at(weights: plain.Weights) -> plain.Weights:
    model = mlp()
    model.load_state_dict(weights)
    settings().objective().build().training_loss(model(EXAMPLES.x), EXAMPLES.y).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


# Whose parameters are whose.
def names_of(model: nn.Module) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(one)] for one in hidden_matrices(model)]


def test_hidden_matrices_are_those_of_linear_layers_but_the_last() -> None:
    assert names_of(mlp()) == ["features.0.weight", "features.2.weight"]
    cnn = CNN(DataShape((1, 8, 8), 10), channels=[2, 3], kernel_size=3, hidden=7)
    (name,) = names_of(cnn)
    assert cnn.get_parameter(name).shape[0] == 7
    transformer = Transformer(DataShape((2,), 5, 5), layers=1, width=8, heads=2, mlp_width=12)
    assert names_of(transformer) == [
        *(f"blocks.0.{name}.weight" for name in ("query", "key", "value", "merge", "mlp_in", "mlp_out"))
    ]


def test_a_model_without_any_is_refused_before_and_in_the_job() -> None:
    resnet = ResNet(DataShape((3, 8, 8), 10, mean=(0.5,) * 3, std=(0.2,) * 3), depth=18, width=1, stem="3x3", norm="none",
                    preactivation=False)  # fmt: skip
    with pytest.raises(ValueError, match="ResNet has no linear layer beside its output layer"):
        make_optimizer(resnet, settings().recipe().optimizer)
    given = {
        **STUDY["settings"]["mlp"],
        "data": "digits",
        "model": {"kind": "resnet", "width": 2},
        "training": settings().model_dump(mode="json", exclude={"optimizer"})
        | {"optimizer": {"name": "muon", "learning_rate": RATE}},
    }
    with pytest.raises(ValueError, match="muon for a resnet, which has no hidden matrices"):
        small(data={"digits": {"kind": "digits", "train": 200}}, settings={"mlp": given})


# What an update is.
@pytest.mark.parametrize(
    "own", [{}, {"matrix_learning_rate": 0.5, "momentum": 0.9, "nesterov": False, "betas": [0.8, 0.9]}]
)
def test_every_bit_is_that_of_torchs_two_optimizers(own: dict[str, Any]) -> None:
    given = settings(**own)
    ours, optimizer = mlp(), given.recipe().optimizer
    theirs, one = copy.deepcopy(ours), make_optimizer(ours, optimizer)
    matrices = hidden_matrices(theirs)
    others = [p for p in theirs.parameters() if all(p is not matrix for matrix in matrices)]
    separate = own.get("matrix_learning_rate")
    pair = (
        torch.optim.Muon(
            matrices,
            lr=separate or RATE,
            weight_decay=DECAY,
            momentum=own.get("momentum", 0.95),
            nesterov=own.get("nesterov", True),
            adjust_lr_fn="original" if separate else "match_rms_adamw",
        ),
        torch.optim.AdamW(others, lr=RATE, weight_decay=DECAY, betas=tuple(own.get("betas", (0.9, 0.999))), fused=True),
    )
    for step in range(6):
        set_rates(one, optimizer, step)
        for model in (ours, theirs):
            model.zero_grad()
            nn.functional.cross_entropy(model(EXAMPLES.x), EXAMPLES.y).backward()
        for each in (one, *pair):
            each.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert all(p.requires_grad for p in ours.parameters())


def orthogonalised(matrix: Tensor) -> Tensor:
    """Five steps of X ← a X + (b A + c A²) X with A = X Xᵀ, from the matrix of norm 1, wide rather than high; in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.double().T if matrix.shape[0] > matrix.shape[1] else matrix.double()
    x = x / math.sqrt(sum(value**2 for value in x.flatten().tolist()))
    for _ in range(5):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("matrix_rate", [None, 0.05])
def test_matrices_move_by_orthogonalised_momentum_and_all_else_as_with_adamw(matrix_rate: float | None) -> None:
    """b ← .95 b + .05 g, u = .05 g + .95 b, w ← w - γ λ w - scale · orthogonalised u."""
    got = trained(settings(matrix_learning_rate=matrix_rate))
    reference, buffers = plain.Adam(DECAY, decoupled=True), {}
    for before, after in pairwise(got):
        gradients = gradient_at(before)
        rest = reference.update(before, gradients, RATE)
        for name, w in before.items():
            if name not in ("features.0.weight", "features.2.weight"):
                torch.testing.assert_close(after[name], rest[name], rtol=0, atol=2e-6)
                continue
            buffers[name] = 0.95 * buffers.get(name, 0) + 0.05 * gradients[name]
            direction = orthogonalised(0.05 * gradients[name] + 0.95 * buffers[name])
            rows, columns = w.shape
            rate = matrix_rate or RATE
            scale = (
                rate * math.sqrt(max(1, rows / columns)) if matrix_rate else RATE * 0.2 * math.sqrt(max(rows, columns))
            )
            moved = (after[name] - (1 - rate * DECAY) * w).double() / -scale
            # Five multiplications of three matrices, each of this precision.
            assert (moved - direction).norm() < 15 * PRECISION * direction.norm()
            singular = torch.linalg.svdvals(moved)
            assert singular.max() < 1.3
            assert singular.median() > 0.6, "orthogonal, as far as five steps make it: the smallest may stay small"


def test_both_rates_follow_schedule_and_switches_in_proportion() -> None:
    given = settings(
        matrix_learning_rate=0.2, warmup_steps=4, switches=[{"step": 2, "learning_rate": 0.04, "weight_decay": 0.0}]
    ).recipe().optimizer  # fmt: skip
    optimizer, found = make_optimizer(mlp(), given), []
    for step in range(5):
        set_rates(optimizer, given, step)
        found.append([(group["lr"], group["weight_decay"]) for group in optimizer.param_groups])
    rates = [RATE / 4, RATE / 2, 0.03, 0.04, 0.04]
    assert [[rate for rate, _ in pair] for pair in found] == [pytest.approx([10 * rate, rate]) for rate in rates]
    assert [{decay for _, decay in pair} for pair in found] == [{DECAY}, {DECAY}, {0.0}, {0.0}, {0.0}]


def test_defaults_are_those_that_were_published() -> None:
    spec = settings().recipe().optimizer
    assert (spec.momentum, spec.nesterov, spec.betas, spec.matrix_learning_rate) == (0.95, True, [0.9, 0.999], None)
