"""When a gradient is recorded as a CUDA graph, and what that leaves as it was; torch.cuda is a stand-in, whose graphs
only count their replays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grokforget.config.training import RecipeSpec, TrainingSettings
from grokforget.data.loader import Examples
from grokforget.models.states import state_of
from grokforget.training import cuda_graph
from grokforget.training.classification import Classification
from grokforget.training.cuda_graph import RecordedGradient
from grokforget.training.gradient import Gradient

OBJECTIVE = Classification(loss="cross-entropy")


class Recording:
    """Stands for torch.cuda: what is recorded is run at once, and a replay counted."""

    def __init__(self) -> None:
        self.random = torch.zeros(1)
        self.replays = 0

    def CUDAGraph(self) -> SimpleNamespace:
        return SimpleNamespace(replay=self.replay)

    @contextmanager
    def graph(self, graph: object) -> Iterator[None]:
        yield

    @contextmanager
    def stream(self, stream: object) -> Iterator[None]:
        yield

    def Stream(self) -> SimpleNamespace:
        return SimpleNamespace(wait_stream=lambda other: None)

    def current_stream(self) -> SimpleNamespace:
        return self.Stream()

    def set_stream(self, stream: object) -> None:
        pass

    def get_rng_state(self) -> Tensor:
        return self.random.clone()

    def set_rng_state(self, state: Tensor) -> None:
        self.random = state

    def replay(self) -> None:
        self.replays += 1


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Recording:
    stand_in = Recording()
    graphs, random = ("CUDAGraph", "Stream", "graph", "stream", "current_stream", "set_stream"), ("get", "set")
    for name in (*graphs, *(f"{way}_rng_state" for way in random)):
        monkeypatch.setattr(torch.cuda, name, getattr(stand_in, name))
    return stand_in


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).train()


def batch(n: int = 8) -> Examples:
    return Examples(torch.randn((n, 4), generator=torch.Generator().manual_seed(n)), torch.arange(n) % 3)


def test_a_recording_leaves_weights_statistics_and_random_state_as_they_were(cuda: Recording) -> None:
    network, given = model(), batch()
    before = state_of(network)
    passes = 0

    def loss(examples: Examples) -> Tensor:
        nonlocal passes
        passes += 1
        cuda.random = cuda.random + 1
        return OBJECTIVE.training_loss(network(examples.x), examples.y)

    recorded = RecordedGradient(network, loss, given)
    assert passes == cuda_graph.WARM_UP + 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert cuda.random == 0
    assert all(parameter.grad is None for parameter in network.parameters())
    recorded(given)
    expected = model()
    OBJECTIVE.training_loss(expected(given.x), given.y).backward()
    for got, wanted in zip(network.parameters(), expected.parameters(), strict=True):
        assert got.grad is not None
        assert torch.equal(got.grad, wanted.grad)


def test_a_replay_is_of_the_batch_that_it_is_given_and_its_gradients_are_there_again(cuda: Recording) -> None:
    network = model()
    recorded = RecordedGradient(network, lambda e: OBJECTIVE.training_loss(network(e.x), e.y), batch())
    other = Examples(batch().x + 1, (batch().y + 1) % 3)
    network.zero_grad()
    recorded(other)
    assert torch.equal(recorded.x, other.x)
    assert torch.equal(recorded.y, other.y)
    assert cuda.replays == 1
    assert all(p.grad is g for p, g in zip(network.parameters(), recorded.gradients, strict=True))


def recipe(**changes: Any) -> RecipeSpec:
    optimizer = {"name": "sgd", "learning_rate": 0.1} | changes.pop("optimizer", {})
    settings = {"loss": "cross-entropy", "optimizer": optimizer, "steps": 100, "segment_steps": 100}
    return TrainingSettings.model_validate(settings | changes).recipe()


class _Cuda(torch.Tensor):
    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        return True


def on_gpu(n: int = 8) -> Examples:
    given = batch(n)
    return Examples(given.x.as_subclass(_Cuda), given.y)


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, True),
        ({"precision": "bfloat16"}, True),
        ({"cuda_graph": False}, False),
        ({"optimizer": {"sam_rho": 0.1}}, False),
        ({"penalty": {"kind": "jacobian", "strength": 0.1}}, False),
    ],
)
def test_what_is_recorded(changes: dict[str, Any], recorded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr("grokforget.training.gradient.RecordedGradient", lambda *given: made.append(given))
    gradient = Gradient(model(), OBJECTIVE, recipe(**changes), 0, whole=8)
    monkeypatch.setattr(gradient, "passes", lambda batch, step: None)
    monkeypatch.setattr("grokforget.training.gradient.sharpness_aware", lambda *given: None)
    gradient(batch(), 0)
    assert not made, "on a CPU nothing is"
    for step in range(3):
        gradient(on_gpu(), step)
    assert len(made) == recorded


def test_batches_of_another_size_run_kernel_by_kernel(cuda: Recording) -> None:
    network = model()
    gradient = Gradient(network, OBJECTIVE, recipe(), 0, whole=8)
    sizes = []
    plain = gradient.passes
    gradient.passes = lambda batch, step: (sizes.append(len(batch)), plain(batch, step))[1]  # type: ignore[method-assign]
    for step, n in enumerate((5, 8, 8, 5, 8, 9)):
        gradient(on_gpu(n), step)
    assert sizes == [5, 5, 9]
    assert cuda.replays == 3


def test_a_model_that_cannot_be_recorded_is_trained_all_the_same(
    cuda: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(graph: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "graph", refuse)
    network = model()
    before = state_of(network)
    gradient = Gradient(network, OBJECTIVE, recipe(), 0, whole=8)
    monkeypatch.setattr(gradient, "passes", lambda batch, step: None)
    for step in range(2):
        gradient(on_gpu(), step)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    (said,) = caplog.messages
    assert "no CUDA graph of this model" in said
    assert "operation not permitted" in said
