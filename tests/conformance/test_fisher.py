"""The exact Fisher diagonal against one backward pass an example and class, and the noise that follows from it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.methods import fisher_diagonal as module
from grokforget.methods.base import Problem
from grokforget.methods.fisher import FisherForgetting, noise, saturated_share, whole_class
from grokforget.methods.fisher_diagonal import fisher_diagonal
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.training.classification import Classification

OBJECTIVE = Classification(loss="cross-entropy")

CLASSES = 4


def randomised(model: nn.Module, scale: float = 0.5) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return model.double()


def mlp(activation: str = "relu", bias: bool = True) -> nn.Module:
    shape = DataShape((5,), CLASSES)
    return randomised(MLP(shape, hidden=[6, 5], activation=activation, bias=bias, initialisation="default"))


def cnn() -> nn.Module:
    # 64, then 16 positions: the chunked path.
    return randomised(CNN(DataShape((1, 8, 8), CLASSES), channels=[3, 2], kernel_size=3, hidden=5))


def small_cnn() -> nn.Module:
    # 16, then 4 positions: the second convolution is expanded.
    return randomised(CNN(DataShape((2, 4, 4), CLASSES), channels=[3, 2], kernel_size=3, hidden=5))


def transformer(layers: int) -> nn.Module:
    shape = DataShape((2,), CLASSES, 5)
    return randomised(Transformer(shape, layers=layers, width=6, heads=2, mlp_width=7))


class Odd(nn.Module):
    """A convolution with stride, dilation and no padding, and a linear layer at more positions than are expanded."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False)
        self.rows = nn.Linear(6, 3)
        self.output = nn.Linear(2 * 4 * 3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.rows(self.convolution(x)).tanh().flatten(1))


class InPlace(nn.Module):
    """Activations and a residual sum that overwrite what the layers gave out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 6)
        self.activation, self.output = nn.ReLU(inplace=True), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.first(x))
        after = self.second(input=hidden)
        after += hidden
        return self.output(self.activation(after))


class BatchNormed(nn.Module):
    """A small residual net as ResNets are built, in place where they are."""

    def __init__(self, normalise: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm, self.other, self.last = normalise(4), normalise(4), nn.BatchNorm1d(4)
        self.activation, self.output = nn.ReLU(inplace=True), nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.first(x)))
        after = self.other(self.second(x))
        after += x
        return self.output(self.last(self.activation(after).mean((2, 3))))


def batch_normed(normalise: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    model, generator = randomised(BatchNormed(normalise)), torch.Generator().manual_seed(1)
    for name, value in model.named_buffers():
        if name.endswith(("mean", "var")):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return model.eval()


class Merged(nn.Module):
    """Rows of an image, merged into the batch for one layer and put first for another: as many rows as examples, 5."""

    def __init__(self) -> None:
        super().__init__()
        self.merged, self.first, self.norm = nn.Linear(8, 6), nn.Linear(6, 6), nn.LayerNorm(6)
        self.output = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.merged(x[:, 0, :5].flatten(0, 1)).tanh().unflatten(0, (len(x), 5))
        return self.output(self.norm(self.first(rows.transpose(0, 1)).tanh()).sum(0))


class Normed(nn.Module):
    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.output = nn.Linear(8, 6), nn.LayerNorm((8, 6)), nn.Linear(6, CLASSES)
        self.each = nn.LayerNorm(6, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.each(self.norm(self.first(x[:, 0]))).tanh().sum(1))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale, self.output = nn.Parameter(torch.ones(5)), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x * self.scale)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.same, self.output = nn.Linear(5, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.same(self.same(x)))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3, groups=2, padding="same", padding_mode="circular")
        self.output = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.convolution(x).tanh().flatten(1))


class ReadsItsWeights(nn.Module):
    """One layer whose weights are used without calling it, and one that is called and whose weight serves once more."""

    output_layer = "output"

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.linear(x, self.first.weight, self.first.bias).tanh()
        return self.output(self.second(hidden).tanh() @ self.second.weight)


class Attending(nn.Module):
    """torch's own attention, positions first, and a class token, as vision transformers have."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.attention = nn.Parameter(torch.zeros(1, 1, 8)), nn.MultiheadAttention(8, 2)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        rows = torch.cat([self.token.expand(1, len(x), 8), x[:, 0].transpose(0, 1)])
        return self.output(self.attention(rows, rows, rows)[0][0])


def shared() -> nn.Module:
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, CLASSES))
    model[2].weight = model[0].weight
    return randomised(model)


def gaussian(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


PAIRS = torch.tensor([[1, 1], [2, 3], [3, 2], [0, 0], [1, 4], [1, 1], [4, 0]])
MODELS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "mlp": (mlp, gaussian(7, 5)),
    "quadratic without bias": (lambda: mlp("quadratic", bias=False), gaussian(7, 5)),
    "cnn": (cnn, gaussian(6, 1, 8, 8)),
    "small cnn": (small_cnn, gaussian(6, 2, 4, 4)),
    "transformer": (lambda: transformer(1), PAIRS),
    "two layers": (lambda: transformer(2), PAIRS),
    "odd": (lambda: randomised(Odd()), gaussian(5, 1, 8, 8)),
    "in place": (lambda: randomised(InPlace()), gaussian(7, 5)),
    "batch norm": (batch_normed, gaussian(5, 1, 4, 4)),
    "group norm": (lambda: batch_normed(lambda width: nn.GroupNorm(2, width)), gaussian(5, 1, 4, 4)),
    "layer norm": (lambda: randomised(Normed()), gaussian(5, 1, 8, 8)),
    "merged positions": (lambda: randomised(Merged()), gaussian(5, 1, 8, 8)),
    "bare parameter": (lambda: randomised(Bare()), gaussian(7, 5)),
    "layer used twice": (lambda: randomised(Twice()), gaussian(7, 5)),
    "grouped convolution": (lambda: randomised(Grouped()), gaussian(5, 2, 4, 4)),
    "layers whose weights are read": (lambda: randomised(ReadsItsWeights()), gaussian(7, 5)),
    "attention": (lambda: randomised(Attending()), gaussian(5, 1, 8, 8)),
    "shared weights": (shared, gaussian(7, 5)),
}


def examples(x: Tensor) -> Examples:
    return Examples(x, torch.arange(len(x)) % CLASSES)


def one_by_one(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """1/N Σ_x Σ_y p(y|x) (∂[-log p(y|x)])², a backward pass for every x and y."""
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for example in x:
        for y in range(CLASSES):
            model.zero_grad()
            p = model(example[None])[0].exp()
            p = p / p.sum()
            (-p[y].log()).backward()
            for name, parameter in model.named_parameters():
                total[name] += p[y].item() * parameter.grad**2 / len(x)
    model.zero_grad()
    return total


def assert_same(got: dict[str, Tensor], expected: dict[str, Tensor], rtol: float = 1e-5) -> None:
    assert got.keys() == expected.keys()
    for name in expected:
        assert expected[name].max() > 0, f"{name}: zeros test nothing"
        atol = 1e-7 * expected[name].max().item()
        torch.testing.assert_close(got[name], expected[name], rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("name", MODELS)
def test_the_diagonal_is_the_sum_over_single_examples_and_classes(name: str) -> None:
    build, x = MODELS[name]
    model = build()
    assert_same(fisher_diagonal(model, examples(x)), one_by_one(model, x))


@pytest.mark.parametrize("name", MODELS)
def test_the_diagonal_does_not_depend_on_batches_or_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    build, x = MODELS[name]
    model = build()
    whole = fisher_diagonal(model, examples(x))
    assert_same(fisher_diagonal(model, examples(x), batch_size=3), whole, rtol=1e-10)
    monkeypatch.setattr(module, "CHUNK_FLOATS", 40)
    assert_same(fisher_diagonal(model, examples(x)), whole, rtol=1e-10)
    monkeypatch.setattr(module, "EXPANDED_POSITIONS", 0)
    assert_same(fisher_diagonal(model, examples(x)), whole, rtol=1e-10)


def test_the_diagonal_in_float32_is_that_in_float64() -> None:
    for build, x in (MODELS["cnn"], MODELS["two layers"]):
        model = build()
        expected = one_by_one(model, x)
        got = fisher_diagonal(model.float(), examples(x.float() if x.is_floating_point() else x))
        for name, value in expected.items():
            assert (got[name].double() - value).norm() <= 1e-5 * value.norm()


@pytest.mark.parametrize("name", ["mlp", "transformer"])
def test_the_diagonal_is_that_of_the_gauss_newton_matrix(name: str) -> None:
    build, x = MODELS[name]
    model = build()
    parameters = {key: parameter.detach() for key, parameter in model.named_parameters()}
    expected = {key: torch.zeros_like(value) for key, value in parameters.items()}
    for example in x:
        p = model(example[None])[0].softmax(0).detach()
        inner = p.diag() - p.outer(p)

        def logits(values: dict[str, Tensor], example: Tensor = example) -> Tensor:
            return torch.func.functional_call(model, values, (example[None],))[0]

        for key, jacobian in torch.func.jacrev(logits)(parameters).items():
            expected[key] += torch.einsum("y...,yz,z...->...", jacobian, inner, jacobian) / len(x)
    assert_same(fisher_diagonal(model, examples(x)), expected)


def test_the_diagonal_does_not_see_the_labels() -> None:
    build, x = MODELS["mlp"]
    model = build()
    other = Examples(x, torch.zeros(len(x), dtype=torch.int64))
    assert_same(fisher_diagonal(model, examples(x)), fisher_diagonal(model, other), rtol=1e-12)


def squared_batch_mean(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The widely copied other quantity: Σ_y mean p(y|x) · (∂ mean_x[-log p(y|x)])²."""
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for y in range(CLASSES):
        log_p = model(x).log_softmax(1)[:, y]
        gradients = torch.autograd.grad(-log_p.mean(), list(model.parameters()))
        for name, gradient in zip(total, gradients, strict=True):
            total[name] += log_p.exp().mean().item() * gradient**2
    return total


def test_opposite_examples_do_not_cancel_as_they_do_in_a_batch_mean() -> None:
    # A linear layer of zeros: p = 1/K, and F of weight (k, j) is p (1 - p) x_j² whatever the sign of x.
    model = MLP(DataShape((3,), CLASSES), hidden=[3], activation="relu", bias=False, initialisation="default").double()
    model.features = nn.Identity()
    nn.init.zeros_(model.output.weight)
    x = torch.tensor([[1.0, 2.0, -3.0], [-1.0, -2.0, 3.0]], dtype=torch.float64)
    expected = {"output.weight": 0.25 * 0.75 * (x[0] ** 2).expand(CLASSES, 3)}
    assert_same(fisher_diagonal(model, examples(x)), expected, rtol=1e-12)
    assert squared_batch_mean(model, x)["output.weight"].abs().max() < 1e-12


@pytest.mark.parametrize("name", [name for name in MODELS if "norm" not in name])  # which make these few inputs alike
def test_the_diagonal_is_not_the_squared_gradient_of_a_batch_mean(name: str) -> None:
    build, x = MODELS[name]
    model = build()
    got, other = fisher_diagonal(model, examples(x)), squared_batch_mean(model, x)
    apart = torch.cat([(got[key] - other[key]).flatten() for key in got])
    assert apart.norm() > 0.1 * torch.cat([value.flatten() for value in got.values()]).norm()


def test_the_diagonal_vanishes_as_a_net_becomes_certain() -> None:
    build, x = MODELS["mlp"]
    model = build()
    before = sum(value.sum() for value in fisher_diagonal(model, examples(x)).values())
    with torch.no_grad():
        model.output.weight.mul_(1000)
    after = sum(value.sum() for value in fisher_diagonal(model, examples(x)).values())
    assert after < 1e-6 * before


# what it refuses, and what it leaves behind


class Branching(nn.Module):
    """A parameter of its own and a way that depends on the example: no two examples share a computation."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.output = nn.Parameter(torch.ones(5)), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x * self.scale if x.sum() > 0 else x)


class Overwriting(nn.Module):
    """A layer whose input is gone after it; only what gradients need of it is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        logits = self.output(self.second(hidden))
        hidden.zero_()
        return logits


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.output = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        raise ArithmeticError("half way through")


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.output = nn.Linear(5, 6), nn.Dropout(0.5), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.drop(self.first(x)))


def hooks(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in model.modules())


def unnormed() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, CLASSES))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Branching, "scale.*data-dependent control flow"),
        (Overwriting, "second.*its input changed in place"),
        (unnormed, "batch norm without running statistics"),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_where_the_squares_cannot_be_known_it_refuses(
    kind: Callable[[], nn.Module], reason: str, training: bool
) -> None:
    model = kind().double().train(training)
    with pytest.raises(TypeError, match=reason):
        fisher_diagonal(model, examples(gaussian(3, 5)))
    assert hooks(model) == 0
    assert model.training == training


def test_activations_in_place_change_nothing() -> None:
    x, diagonals = gaussian(40, 5), []
    for inplace in (True, False):
        model = randomised(nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace), nn.Linear(6, CLASSES)))
        diagonals.append(fisher_diagonal(model, examples(x)))
    assert_same(*diagonals, rtol=0)


def test_frozen_weights_have_a_diagonal_too() -> None:
    model, x = mlp(), gaussian(7, 5)
    expected = one_by_one(model, x)
    model.features.requires_grad_(False)
    assert_same(fisher_diagonal(model, examples(x)), expected)


def test_a_layer_that_the_logits_do_not_depend_on_has_a_diagonal_of_zeros() -> None:
    model = randomised(Broken())
    model.forward = lambda x: (model.first(x), model.output(model.second(x)))[1]
    diagonal = fisher_diagonal(model, examples(gaussian(7, 5)))
    assert not diagonal["first.weight"].any()
    assert diagonal["second.weight"].all()


def test_a_batch_norm_is_frozen_and_its_statistics_stay() -> None:
    model = batch_normed().train()
    x, before = gaussian(5, 1, 4, 4), {key: value.clone() for key, value in model.named_buffers()}
    got = fisher_diagonal(model, examples(x))
    assert all(torch.equal(value, before[key]) for key, value in model.named_buffers())
    assert_same(got, one_by_one(model.eval(), x))


@pytest.mark.parametrize("margin", [5.0, 17.0, 25.0, 60.0])
def test_in_float32_the_diagonal_keeps_its_digits_at_every_margin(margin: float) -> None:
    x = gaussian(6, 5)
    diagonals = {}
    for dtype in (torch.float64, torch.float32):
        model = randomised(nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, CLASSES)))
        with torch.no_grad():
            model[2].weight.mul_(0.01)
            model[2].bias.copy_(torch.tensor([margin, 0.0, 1.0, 2.0]))
        diagonals[dtype] = fisher_diagonal(model.to(dtype), examples(x.to(dtype)))
    for name, value in diagonals[torch.float64].items():
        assert (diagonals[torch.float32][name].double() - value).norm() <= 1e-4 * value.norm()


def test_an_error_half_way_leaves_no_hook_and_the_mode_as_it_was() -> None:
    model = Broken().double().train()
    with pytest.raises(ArithmeticError):
        fisher_diagonal(model, examples(gaussian(3, 5)))
    assert hooks(model) == 0
    assert model.training


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind(name: str, training: bool) -> None:
    build, x = MODELS[name]
    model = build().train(training)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = fisher_diagonal(model, examples(x))
    assert hooks(model) == 0
    assert all(part.training == training for part in model.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(value.requires_grad for value in result.values())
    assert {key: value.shape for key, value in result.items()} == {k: p.shape for k, p in model.named_parameters()}


def test_the_diagonal_is_taken_in_eval_mode() -> None:
    model, x = randomised(Dropping()), gaussian(20, 5)
    expected = one_by_one(model.eval(), x)
    assert_same(fisher_diagonal(model.train(), examples(x)), expected)


# the noise

ALPHA = 1e-3
NOBODY = torch.tensor([], dtype=torch.int64)


def spread(model: nn.Module, seed: int = 5) -> dict[str, Tensor]:
    """A made-up diagonal from 0 over both clamps to 1e4."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (10 ** (torch.rand(p.shape, generator=generator, dtype=torch.float64) * 9 - 5)).masked_fill(
            torch.rand(p.shape, generator=generator) < 0.2, 0.0
        )
        for name, p in model.named_parameters()
    }


def plain_variance(name: str, fisher: Tensor, alpha: float, forgotten: list[int]) -> Tensor:
    """The rule entry by entry; the models here name their last layer output, their embeddings token and position."""
    output = name in ("output.weight", "output.bias")
    v = torch.zeros_like(fisher)
    for index in torch.cartesian_prod(*[torch.arange(n) for n in fisher.shape]).reshape(fisher.numel(), -1).tolist():
        value = min(1 / (fisher[tuple(index)].item() + 1e-8), 1e3)
        v[tuple(index)] = alpha * (min(value, 1e2) if output else value)
    if fisher.dim() > 1:
        inputs = 0 if name in ("token.weight", "position.weight") else 1
        mean = sum(v.unbind(inputs)) / v.shape[inputs]
        v = torch.stack([mean] * v.shape[inputs], inputs)
    if output:
        for row in forgotten:
            v[row] = 1e-4
    return v * 10 if output or fisher.dim() == 1 else v


@pytest.mark.parametrize("forgotten", [[], [2], [0, 3]])
@pytest.mark.parametrize("name", ["mlp", "small cnn", "transformer", "two layers"])
def test_mean_and_variance_follow_the_rule_entry_by_entry(name: str, forgotten: list[int]) -> None:
    model = MODELS[name][0]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    fisher = spread(model)
    for key, parameter in model.named_parameters():
        rows = torch.tensor(forgotten, dtype=torch.int64)
        mean, variance = noise(model, key, fisher[key], ALPHA, rows)
        torch.testing.assert_close(variance, plain_variance(key, fisher[key], ALPHA, forgotten), rtol=1e-10, atol=0)
        expected = parameter.detach().clone()
        if key.startswith("output."):
            expected[forgotten] = 0
        assert torch.equal(mean, expected)
        assert torch.equal(parameter, before[key]), "the rule itself changes nothing"


def test_the_clamps_and_factors_on_numbers() -> None:
    model = randomised(MLP(DataShape((2,), 3), hidden=[2], activation="relu", bias=True, initialisation="default"))

    def variance(name: str, fisher: list) -> list:
        value = torch.tensor(fisher, dtype=torch.float64)
        return noise(model, name, value, 1.0, NOBODY)[1].tolist()

    # Hidden weights: clamp 1e3, mean over the inputs, no factor.
    assert variance("features.0.weight", [[0, 1], [0.5, 0.25]]) == pytest.approx(
        [pytest.approx([500.5, 500.5]), pytest.approx([3, 3])]
    )
    # Hidden bias: clamp 1e3, x10.
    assert variance("features.0.bias", [0, 0.5]) == pytest.approx([1e4, 20])
    # Output weights: clamp 1e2, mean, x10.
    assert variance("output.weight", [[0, 1], [0.5, 0.25], [1e-3, 1e-4]]) == [
        pytest.approx([505, 505]), pytest.approx([30, 30]), pytest.approx([1000, 1000])
    ]  # fmt: skip
    # Output bias: clamp 1e2, x10 once and not twice.
    assert variance("output.bias", [0, 0.5, 1]) == pytest.approx([1000, 20, 10])


def test_alpha_is_outside_the_clamps_and_not_in_the_forgotten_rows() -> None:
    model = mlp()
    zeros = torch.zeros(CLASSES, 5, dtype=torch.float64)
    for alpha in (1e-8, 1e-6, 1e-5):
        _, variance = noise(model, "output.weight", zeros, alpha, torch.tensor([1]))
        assert variance[0].tolist() == pytest.approx([alpha * 1e3] * 5)
        assert variance[1].tolist() == pytest.approx([1e-3] * 5)


def test_the_output_layer_goes_by_name_and_not_by_shape() -> None:
    # Every hidden layer has as many rows as there are classes: by shape they would all be output layers.
    shape = DataShape((CLASSES,), CLASSES)
    hidden = [CLASSES, CLASSES]
    model = randomised(MLP(shape, hidden=hidden, activation="relu", bias=True, initialisation="default"))
    mean, variance = noise(model, "features.0.weight", torch.zeros(CLASSES, CLASSES).double(), 1.0, torch.tensor([1]))
    assert torch.equal(mean, model.features[0].weight)
    assert variance.unique().tolist() == [1e3]


def test_a_class_is_forgotten_only_where_nothing_of_it_is_retained() -> None:
    assert whole_class(torch.tensor([2, 2, 1]), torch.tensor([0, 1, 3])).tolist() == [2]
    assert whole_class(torch.tensor([2, 1]), torch.tensor([0, 1, 2, 3])).tolist() == []
    assert sorted(whole_class(torch.tensor([3, 0, 3]), torch.tensor([1, 2])).tolist()) == [0, 3]


def test_the_saturated_share_counts_weights_at_their_own_clamp() -> None:
    model = randomised(MLP(DataShape((2,), 3), hidden=[2], activation="relu", bias=False, initialisation="default"))
    hidden, output = torch.ones(2, 2).double(), torch.ones(3, 2).double()
    hidden[0, 0] = 0  # at the clamp of 1e3
    hidden[0, 1] = 2e-3  # 1/F = 500: below it
    output[0, 0] = 2e-3  # the same is above the output layer's 1e2
    output[0, 1] = 2e-2
    assert saturated_share(model, {"features.0.weight": hidden, "output.weight": output}) == pytest.approx(2 / 10)


# the method


def fisher_problem(name: str, forget_labels: list[int]) -> Problem:
    build, x = MODELS[name]
    retain = Examples(x, torch.arange(len(x)) % 3)  # class 3 is not retained
    forget = Examples(x[: len(forget_labels)], torch.tensor(forget_labels))
    return Problem(build(), forget, retain, retain, objective=OBJECTIVE, seed=11)


@pytest.mark.parametrize(("forget_labels", "forgotten"), [([0, 1, 2], []), ([3, 3], [3]), ([0, 3, 3], [3])])
@pytest.mark.parametrize("name", ["mlp", "small cnn", "transformer", "two layers"])
def test_fisher_forgetting_adds_the_noise_to_the_mean(
    name: str, forget_labels: list[int], forgotten: list[int]
) -> None:
    problem = fisher_problem(name, forget_labels)
    model, alpha = problem.model, 1e-2
    before = {key: parameter.detach().clone() for key, parameter in model.named_parameters()}
    fisher = one_by_one(model, problem.retain.x)
    method = FisherForgetting(alpha=alpha)
    assert len(list(method.run(problem))) == 1
    saturated = 0
    for key, parameter in model.named_parameters():
        mean = before[key].clone()
        if key.startswith("output."):
            mean[forgotten] = 0
        draw = torch.randn(mean.shape, generator=problem.generator("noise", key))
        expected = mean + plain_variance(key, fisher[key], alpha, forgotten).sqrt() * draw
        torch.testing.assert_close(parameter.detach(), expected, rtol=1e-6, atol=1e-8)
        saturated += int((1 / (fisher[key] + 1e-8) >= (1e2 if key.startswith("output.") else 1e3)).sum())
    total = sum(value.numel() for value in fisher.values())
    assert method.diagnostics == {"fisher_saturated_share": pytest.approx(saturated / total)}


def test_the_fisher_is_that_of_the_retain_set_alone() -> None:
    results = []
    for shift in (0.0, 1.0):
        problem = fisher_problem("mlp", [0, 1])
        problem.forget = Examples(problem.forget.x + shift, problem.forget.y)
        problem.validation = Examples(problem.validation.x + shift, problem.validation.y)
        list(FisherForgetting(alpha=1e-2).run(problem))
        results.append(problem.model.output.weight.detach().clone())
    assert torch.equal(*results)


def test_every_parameter_has_a_draw_of_its_own_from_the_problems_seed() -> None:
    problem = fisher_problem("mlp", [0])
    draws = [torch.randn(4, generator=problem.generator("noise", name)) for name in ("a", "a", "b")]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_it_works_where_gradients_are_off() -> None:
    model, examples = nn.Sequential(nn.Linear(4, 3)), Examples(torch.randn(3, 4), torch.zeros(3, dtype=torch.int64))
    with torch.no_grad():
        assert fisher_diagonal(model, examples)["0.weight"].sum() > 0


@pytest.mark.parametrize("model", [mlp, cnn, lambda: transformer(2)], ids=["mlp", "cnn", "transformer"])
def test_no_model_of_the_project_is_gone_through_example_by_example(
    model: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That would be right too, and take twenty times as long."""

    def refused(of: nn.Module, names: list[str], *rest: object) -> dict[str, Tensor]:
        assert not names, f"formed example by example: {names}"
        return {}

    monkeypatch.setattr(module, "_from_examples", refused)
    built = model()
    shape = (3, 2) if isinstance(built, Transformer) else (3, 1, 8, 8) if isinstance(built, CNN) else (3, 5)
    x = torch.ones(shape, dtype=torch.int64 if isinstance(built, Transformer) else torch.float64)
    assert (
        fisher_diagonal(built, Examples(x, torch.zeros(3, dtype=torch.int64))).keys()
        == dict(built.named_parameters()).keys()
    )
