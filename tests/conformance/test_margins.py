"""In float32, at margins where p(y|x) is 1 to the last bit: what methods form from logits keeps its direction."""

from __future__ import annotations

from decimal import Decimal, getcontext

import pytest
import torch
from torch import Tensor, nn

from conformance import plain
from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.relative_ascent import RelativeAscent
from grokforget.training.classification import Classification
from grokforget.training.distillation import distillation

getcontext().prec = 120
CLASSES = 4
MARGINS = [5.0, 17.0, 25.0, 60.0]


def exact_softmax(row: Tensor, temperature: float) -> list[Decimal]:
    powers = [(Decimal(value) / Decimal(temperature)).exp() for value in row.tolist()]
    return [power / sum(powers) for power in powers]


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = (value / value.abs().max() for value in (a.double().flatten(), b.double().flatten()))
    return (a @ b / (a.norm() * b.norm())).item()


@pytest.mark.parametrize("apart", [1.0, 1e-3])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("margin", MARGINS)
def test_the_gradient_of_distillation_is_exact(margin: float, temperature: float, apart: float) -> None:
    """Teacher and student are sure of the same class, and differ in how sure; also where they differ by little."""
    student = torch.tensor([[margin, 0.0, 1.0, 0.5], [0.25, margin + 1, 0.0, 0.0]], requires_grad=True)
    teacher = student.detach() - apart * torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.25, 2.0, -0.5, 0.0]])
    (got,) = torch.autograd.grad(distillation(student, teacher, temperature), student)
    assert got.dtype == torch.float32
    rows = []
    for mine, theirs in zip(student.detach(), teacher, strict=True):
        pairs = zip(exact_softmax(mine, temperature), exact_softmax(theirs, temperature), strict=True)
        rows.append([float(Decimal(temperature) / 2 * (q - p)) for q, p in pairs])
    expected = torch.tensor(rows, dtype=torch.float64)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("margin", MARGINS)
def test_the_gradient_of_distillation_is_exact_where_the_teacher_rules_a_class_out(margin: float) -> None:
    """As DELETE's does: the class that the student is sure of."""
    student = torch.tensor([[margin, 0.0, 1.0, 0.5], [0.25, margin + 1, 0.0, margin]], requires_grad=True)
    teacher = student.detach().scatter(1, torch.tensor([[0], [1]]), -torch.inf)
    (got,) = torch.autograd.grad(distillation(student, teacher, 1.0), student)
    rows = []
    for mine, theirs in zip(student.detach(), teacher, strict=True):
        known = [k for k, value in enumerate(theirs.tolist()) if value > -torch.inf]
        p = dict(zip(known, exact_softmax(theirs[known], 1.0), strict=True))
        rows.append([float((q - p.get(k, Decimal(0))) / 2) for k, q in enumerate(exact_softmax(mine, 1.0))])
    torch.testing.assert_close(got.double(), torch.tensor(rows, dtype=torch.float64), rtol=1e-5, atol=0)


def sure(margin: float) -> nn.Sequential:
    """A net that gives class 1 a logit of about ``margin`` over the others, by its last bias."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, CLASSES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)
        model[2].bias.copy_(torch.tensor([0.0, margin, 0.5, -0.5]))
    return model


@pytest.mark.parametrize("margin", [*MARGINS, 200.0, 600.0])
def test_relative_ascent_goes_uphill_at_every_margin(margin: float) -> None:
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    forget = Examples(x, torch.ones(7, dtype=torch.int64))
    model = sure(margin)
    before = plain.weights_of(model)
    problem = Problem(model, forget, forget, forget, Classification(loss="mse"), seed=0)
    method = RelativeAscent(share=0.1, epochs=1, batch_size=7, batch_statistics="moving")
    assert len(list(method.run(problem))) == 1
    assert method.diagnostics == {"updates_without_direction": 0}

    def logits(w: plain.Weights) -> Tensor:
        return (x.double() @ w["0.weight"].T + w["0.bias"]).tanh() @ w["2.weight"].T + w["2.bias"]

    wide = {name: value.double() for name, value in before.items()}
    gradient = plain.gradient(lambda w: plain.cross_entropy(logits(w), forget.y), wide)
    moved = {name: value.double() - wide[name] for name, value in plain.weights_of(model).items()}
    together = [torch.cat([part[name].flatten() for name in wide]) for part in (moved, gradient)]
    assert cosine(*together) == pytest.approx(1, abs=1e-8)
    norm = torch.cat([value.flatten() for value in wide.values()]).norm()
    assert together[0].norm().item() == pytest.approx(0.1 * norm.item(), rel=1e-5)


@pytest.mark.parametrize("margin", MARGINS)
def test_the_gradient_that_methods_ascend_is_that_of_float64(margin: float) -> None:
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    y, objective, gradients = torch.ones(7, dtype=torch.int64), Classification(loss="mse"), []
    for dtype in (torch.float32, torch.float64):
        model = sure(margin).to(dtype)
        loss = objective.unlearning_loss(model(x.to(dtype)), y)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]))
    assert gradients[0].double().norm() > 0
    torch.testing.assert_close(
        gradients[0].double(), gradients[1], rtol=1e-3, atol=1e-5 * gradients[1].abs().max().item()
    )
    assert cosine(*gradients) == pytest.approx(1, abs=1e-8)
