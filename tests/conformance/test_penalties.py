"""The penalties of training against plain calculations, and what they draw."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.loop import start, train
from grokforget.training.penalties.jacobian import Jacobian
from grokforget.training.penalties.template_orthogonality import TemplateOrthogonality
from grokforget.training.snapshots import InMemory

N, FEATURES, CLASSES = 9, 5, 4


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlp() -> MLP:
    torch.manual_seed(0)
    model = MLP(DataShape((FEATURES,), CLASSES), hidden=[6], activation="relu", bias=True, initialisation="default")
    return model.double()


def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(DataShape((2,), CLASSES, 7), layers=1, width=8, heads=2, mlp_width=12).double()


IMAGES = Examples(gaussian(N, FEATURES), torch.arange(N) % CLASSES)
PAIRS = Examples(torch.randint(7, (N, 2), generator=torch.Generator().manual_seed(0)), torch.arange(N) % CLASSES)


def jacobians(model: MLP, x: Tensor) -> Tensor:
    """(N, K, inputs), by hand: J = V diag(active) W."""
    w = plain.weights_of(model)
    active = (x @ w["features.0.weight"].T + w["features.0.bias"] > 0).double()
    return torch.einsum("kh,nh,hi->nki", w["output.weight"], active, w["features.0.weight"])


# Template orthogonality.
def test_template_orthogonality_is_the_sum_of_squared_inner_products_of_different_rows() -> None:
    model = mlp()
    rows = model.output.weight.tolist()
    expected = sum(
        sum(a * b for a, b in zip(rows[i], rows[j], strict=True)) ** 2
        for i in range(CLASSES)
        for j in range(CLASSES)
        if i != j
    )
    got = TemplateOrthogonality(strength=0.7)(model, IMAGES, seed=0, step=0)
    assert got.item() == pytest.approx(0.7 * expected, rel=1e-12)


def test_template_orthogonality_by_hand() -> None:
    model = MLP(DataShape((1,), 3), hidden=[2], activation="relu", bias=True, initialisation="default")
    with torch.no_grad():
        model.output.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0], [2.0, 1.0]]))
    value = TemplateOrthogonality(strength=1.0)(model, Examples(torch.zeros(1, 1), torch.zeros(1)), seed=0, step=0)
    assert value.item() == 2 * (0 + 2**2 + 3**2)
    (gradient,) = torch.autograd.grad(value, model.output.weight)
    # 4 Σ_{j≠i} ⟨w_i, w_j⟩ w_j
    assert gradient.tolist() == [[4 * 2 * 2, 4 * 2 * 1], [4 * 3 * 2, 4 * 3 * 1], [4 * 2 * 1, 4 * 3 * 3]]
    bias = torch.autograd.grad(
        TemplateOrthogonality(strength=1.0)(model, IMAGES, seed=0, step=0), model.output.bias, allow_unused=True
    )
    assert bias == (None,)


# Jacobian.
def directions(model: nn.Module, batch: Examples, seed: int, step: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """The directions that the penalty projects on: what autograd is given as outer gradients."""
    seen: list[Tensor] = []
    grad = torch.autograd.grad

    def spy(outputs: Any, inputs: Any, grad_outputs: Any = None, **more: Any) -> Any:
        seen.append(grad_outputs)
        return grad(outputs, inputs, grad_outputs, **more)

    monkeypatch.setattr(torch.autograd, "grad", spy)
    Jacobian(strength=1.0)(model, batch, seed=seed, step=step)
    monkeypatch.undo()
    (v,) = seen
    return v


def test_jacobian_penalty_is_the_mean_norm_of_its_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    v = directions(model, IMAGES, 3, 5, monkeypatch)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(N).double())
    full = jacobians(model, IMAGES.x)
    expected = sum(math.sqrt(CLASSES * float(((v[n] @ full[n]) ** 2).sum())) for n in range(N)) / N
    assert Jacobian(strength=0.3)(model, IMAGES, seed=3, step=5).item() == pytest.approx(0.3 * expected, rel=1e-10)


def test_the_gradient_of_the_jacobian_penalty_is_that_of_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    v = directions(model, IMAGES, 3, 5, monkeypatch)
    active = (model.features[0](IMAGES.x) > 0).double()

    def formula(w: plain.Weights) -> Tensor:
        full = torch.einsum("nk,kh,nh,hi->ni", v, w["output.weight"], active, w["features.0.weight"])
        return 0.3 * (CLASSES * (full**2).sum(1)).sqrt().sum() / N

    layers = {name: value for name, value in plain.weights_of(model).items() if name.endswith("weight")}
    expected = plain.gradient(formula, layers)
    Jacobian(strength=0.3)(model, IMAGES, seed=3, step=5).backward()
    for name, value in expected.items():
        torch.testing.assert_close(model.get_parameter(name).grad, value, rtol=1e-9, atol=1e-12)


def test_projections_estimate_the_frobenius_norm() -> None:
    """For one example and an output layer of orthonormal rows, K ‖vᵀJ‖² is ‖J‖²_F whatever v is."""
    model = nn.Linear(6, 3, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(2 * torch.linalg.qr(gaussian(6, 3)).Q.T)
    value = Jacobian(strength=1.0)(model, Examples(gaussian(5, 6), torch.zeros(5)), seed=0, step=0)
    assert value.item() == pytest.approx(math.sqrt(3 * 2**2), rel=1e-10)


def test_squares_of_projections_have_the_square_of_the_frobenius_norm_as_their_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = mlp()
    many = Examples(IMAGES.x[:1].repeat(20_000, 1), IMAGES.y[:1].repeat(20_000))
    v = directions(model, many, 0, 0, monkeypatch)
    full = jacobians(model, IMAGES.x[:1])[0]
    squares = CLASSES * ((v @ full) ** 2).sum(1)
    deviation = squares.std().item() / math.sqrt(len(squares))
    assert abs(squares.mean().item() - (full**2).sum().item()) < 4 * deviation


def test_directions_depend_on_seed_and_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp()
    torch.manual_seed(1)
    first = directions(model, IMAGES, 0, 7, monkeypatch)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(directions(model, IMAGES, 0, 7, monkeypatch), first)
    assert torch.equal(torch.get_rng_state(), before), "the run's random state is left alone"
    assert not torch.equal(directions(model, IMAGES, 1, 7, monkeypatch), first)
    assert not torch.equal(directions(model, IMAGES, 0, 8, monkeypatch), first)


def test_the_examples_are_left_as_they_were() -> None:
    x = IMAGES.x.clone()
    Jacobian(strength=1.0)(mlp(), IMAGES, seed=0, step=0).backward()
    assert not IMAGES.x.requires_grad
    assert IMAGES.x.grad is None
    assert torch.equal(IMAGES.x, x)


def test_an_example_whose_jacobian_is_zero_gives_a_finite_gradient() -> None:
    model = mlp()
    with torch.no_grad():
        model.features[0].bias.fill_(-100.0)
    value = Jacobian(strength=1.0)(model, IMAGES, seed=0, step=0)
    value.backward()
    assert value.item() == pytest.approx(1e-4)
    assert all(p.grad is None or bool((p.grad == 0).all()) for p in model.parameters())


def test_tokens_are_looked_at_as_embeddings(monkeypatch: pytest.MonkeyPatch) -> None:
    model = transformer()
    v = directions(model, PAIRS, 0, 0, monkeypatch)
    points = model.embed(PAIRS.x).detach()
    full = torch.stack(
        [torch.autograd.functional.jacobian(lambda p: model.from_embedding(p[None])[0], p) for p in points]
    )
    expected = sum(math.sqrt(CLASSES * float(((v[n] @ full[n].flatten(1)) ** 2).sum())) for n in range(N)) / N
    value = Jacobian(strength=1.0)(model, PAIRS, seed=0, step=0)
    assert value.item() == pytest.approx(expected, rel=1e-9)
    value.backward()
    assert model.token.weight.grad is None, "the points are given"
    assert model.output.weight.grad.abs().max() > 0


def test_the_extra_pass_leaves_batch_norm_statistics_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, CLASSES)).double()
    Jacobian(strength=1.0)(model, IMAGES, seed=0, step=0)
    assert model[1].num_batches_tracked == 0
    assert torch.equal(model[1].running_mean, torch.zeros(4).double())
    assert model[1].track_running_stats


# In the loop.
@pytest.mark.parametrize("kind", ["template-orthogonality", "jacobian"])
@pytest.mark.parametrize("rho", [0.0, 0.2])
def test_an_update_descends_the_loss_and_the_penalty_of_its_step(kind: str, rho: float) -> None:
    settings = TrainingSettings.model_validate(
        {
            "loss": "mse",
            "optimizer": {"name": "sgd", "learning_rate": 0.1, "sam_rho": rho},
            "penalty": {"kind": kind, "strength": 0.5},
            "steps": 3,
            "segment_steps": 3,
            "evaluate_every": 1,
            "snapshots_per_decade": 100,
        }
    )
    recipe, objective = settings.recipe(), settings.objective().build()
    model, snapshots = mlp(), InMemory()
    penalty = recipe.penalty.build()
    splits = dict.fromkeys(("train", "validation", "test"), IMAGES)
    state = start(model, recipe.optimizer)
    segment = train(state, splits, recipe, objective, seed=4, stop=3, on_snapshot=snapshots.keep)
    target = torch.eye(CLASSES, dtype=torch.float64)[IMAGES.y]

    def gradient(weights: plain.Weights, step: int) -> plain.Weights:
        at = mlp()
        at.load_state_dict(weights)
        (((at(IMAGES.x) - target) ** 2).mean() + penalty(at, IMAGES, seed=4, step=step)).backward()
        return {name: p.grad.clone() for name, p in at.named_parameters()}

    for step in range(3):
        weights = snapshots.states[step]
        g = gradient(weights, step)
        norm = math.sqrt(sum(float((value**2).sum()) for value in g.values()))
        g = gradient({name: weights[name] + rho * g[name] / norm for name in g}, step)
        for name, value in g.items():
            torch.testing.assert_close(
                snapshots.states[step + 1][name], weights[name] - 0.1 * value, rtol=0, atol=1e-11
            )
    assert segment.curve[-1]["train_loss"] == pytest.approx(
        ((plain.mlp(snapshots.states[3], IMAGES.x) - target) ** 2).mean().item()
    ), "the curve shows the loss alone"
