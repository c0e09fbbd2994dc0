"""The paper's module model (Appendix D): does E[corr(∇ℓ(x), ∇ℓ(x'))] = p·ρ hold, module by module?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, joined, nan_where_diverged
from grokforget.analyses.modules import hidden_layers, pieces
from grokforget.data.loader import Examples
from grokforget.training.objective import Objective

HELD_FLOATS = 2**25
"""Numbers of single examples' gradients that are in memory at once, but for one layer's: a quarter of a gigabyte."""


class Fit(NamedTuple):
    """The module model's quantities for one kind of pairs; see ``fit``."""

    p: float
    rho: float
    predicted: float
    measured: float
    overlap: float


@nan_where_diverged
def module_model(probe: Probe, *, module: Literal["unit", "layer"], examples: int, active_share: float) -> list[Value]:
    """p, ρ, p·ρ and the measured mean cosine, for pairs of examples.

    A module is what ``modules.py`` says: a unit, or with ``layer`` all units of a layer together. Gradients are those of
    one example's unlearning loss (of a text the mean over its own answer), whatever the training loss, in float64, for up
    to ``examples`` of either set. Parts are the kinds of pairs, always of different examples: ``forget-retain``,
    ``retain-retain``, ``forget-forget``. Measures:
    ``module_p``, ``module_rho``, ``module_predicted``, ``module_measured`` and ``module_overlap`` as in ``fit``;
    ``module_whole``, the mean cosine of the gradients with the weights that belong to no module; and with an empty part
    ``module_count``, ``module_held``, the share of the squared gradient norm that lies in modules (mean over examples),
    and ``module_vanished``, the share of examples left out because nothing of their gradient is in a module.
    """
    forget, retain = (as_double(probe.some(split, examples)) for split in ("forget", "retain"))
    both = joined([forget, retain])
    is_forget = torch.arange(len(both), device=both.y.device) < len(forget)
    products, rest = gradient_products(probe.double(), both, probe.objective, module == "layer")
    inside = products.sum(0)
    whole = inside + rest
    kept = inside.diagonal() > 0
    held = (inside.diagonal() / whole.diagonal())[whole.diagonal() > 0].mean().item()
    values = [
        Value("module_count", "", float(len(products))),
        Value("module_held", "", held),
        Value("module_vanished", "", 1 - kept.double().mean().item()),
    ]
    if not kept.all():
        products, whole, is_forget = products[:, kept][:, :, kept], whole[kept][:, kept], is_forget[kept]
    sides = {"forget": is_forget, "retain": ~is_forget}
    for a, b in (("forget", "retain"), ("retain", "retain"), ("forget", "forget")):
        fitted = fit(products, sides[a], sides[b], active_share)
        values += [Value(f"module_{name}", f"{a}-{b}", value) for name, value in fitted._asdict().items()]
        values.append(Value("module_whole", f"{a}-{b}", _mean(_cosines(whole), _pairs(sides[a], sides[b]))))
    return values


def fit(products: Tensor, a: Tensor, b: Tensor, active_share: float) -> Fit:
    """The module model on pairs (x in ``a``, x' in ``b``), x ≠ x', of N examples.

    ``products`` (M, N, N): scalar products of the M modules' gradients (``inner_products``); every example's are not all
    zero. ``a`` and ``b`` (N,) bool. A module is active on an example where its gradient is longer than ``active_share`` of
    that example's longest: relative to the example, because the size of its loss scales all its modules alike and leaves
    the cosine as it is.

    - ``p``: share of modules active on an example; over two sets √(p_a·p_b)
    - ``rho``: mean cosine of a module's gradients over all (module, pair) where it is active on both
    - ``predicted``: p·ρ
    - ``measured``: mean over pairs of the cosine of all modules' gradients together
    - ``overlap``: mean over pairs of the number of modules active on both / √(number active on x · number on x')

    Why p·ρ: with n and n' modules active, c of them on both, all active ones of equal norm in an example, and ρ the
    expected cosine whichever they are, the cosine of the whole is ρ·c/√(n·n') in expectation. Where modules are active
    independently of each other and of the example, all with probability p (p_a and p_b), c/√(n·n') is close to
    √(p_a·p_b) for many modules, = p for one set. ``overlap`` tells the assumptions apart: rho·overlap is what remains of
    the prediction without independent, equally likely activity, and differs from ``measured`` by norms alone.

    NaN where there is no such pair.
    """
    pairs = _pairs(a, b)
    norms = products.diagonal(dim1=1, dim2=2).sqrt()  # (M, N)
    active = (norms > active_share * norms.amax(0)).to(products.dtype)
    together = active.T @ active  # (N, N): modules active on both
    # The sum of cosines over all of a and b as one bilinear form a module, less an example's with itself, which are 1:
    # no array as large as the products.
    scaled = torch.where(active > 0, active / norms, 0)
    sums = (scaled * a)[:, None, :] @ products @ (scaled * b)[:, :, None]
    n_both = together[pairs].sum().item()
    rho = (sums.sum().item() - active[:, a & b].sum().item()) / n_both if n_both else math.nan
    counts = active.sum(0)
    p = math.sqrt(counts[a].mean().item() * counts[b].mean().item()) / len(products)
    overlap = _mean(together / (counts[:, None] * counts).sqrt(), pairs)
    return Fit(p, rho, p * rho, _mean(_cosines(products.sum(0)), pairs), overlap)


def inner_products(gradients: Tensor) -> Tensor:
    """Gradients (N, M, size) → scalar products between examples in each module, (M, N, N)."""
    by_module = gradients.transpose(0, 1)
    return by_module @ by_module.mT


def gradient_products(
    model: nn.Module, examples: Examples, objective: Objective, whole_layers: bool
) -> tuple[Tensor, Tensor]:
    """Scalar products of per-example gradients of the unlearning loss: in each module (M, N, N), and in what is in none (N, N).

    As many layers at a time as ``HELD_FLOATS`` has room for their gradients.
    """
    layers = hidden_layers(model)
    inside = {part.parameter for layer in layers for part in layer.parts}
    groups = [[part.parameter for part in layer.parts] for layer in layers]
    groups.append([name for name, _ in model.named_parameters() if name not in inside])
    sizes = [len(examples) * sum(model.get_parameter(name).numel() for name in group) for group in groups]
    found: list[Tensor] = []
    rest = torch.zeros(len(examples), len(examples), dtype=torch.float64, device=examples.y.device)
    first = 0
    while first < len(groups):
        fitting = sum(sum_ <= HELD_FLOATS for sum_ in accumulate(sizes[first:]))
        last = first + max(fitting, 1)
        names = [name for group in groups[first:last] for name in group]
        gradients = per_example_gradients(model, examples, objective, names)
        for layer in layers[first:last]:
            product = torch.zeros(
                layer.units, len(examples), len(examples), dtype=torch.float64, device=examples.y.device
            )
            # One parameter after the other: put together, a layer's gradients would be held twice.
            for of_units in pieces(layer, gradients):
                product += inner_products(of_units)
            found.append(product.sum(0, keepdim=True) if whole_layers else product)
        if last == len(groups):
            others = [inner_products(gradients[name].flatten(1)[:, None])[0] for name in groups[-1]]
            rest = torch.stack(others).sum(0)
        first = last
    return torch.cat(found), rest


@torch.enable_grad()
def per_example_gradients(
    model: nn.Module, examples: Examples, objective: Objective, names: Sequence[str]
) -> dict[str, Tensor]:
    """Gradients (N, *shape) of every example's unlearning loss by the named parameters.

    One backward pass an example: for the few examples of this analysis ``torch.func`` saves less time than importing it
    takes (2 s and 80 MB a process, torch 2.13).
    """
    forward: Callable[[Tensor], Tensor] = getattr(model, "per_example_forward", model)
    parameters = [model.get_parameter(name) for name in names]
    found = {
        name: parameter.new_empty(len(examples), *parameter.shape)
        for name, parameter in zip(names, parameters, strict=True)
    }
    for n in range(len(examples)):
        example = examples[n : n + 1]
        loss = objective.unlearning_loss(forward(example.x), example.y)
        for name, gradient in zip(names, torch.autograd.grad(loss, parameters), strict=True):
            found[name][n] = gradient
    return found


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    """Which (x, x') with x in a and x' in b are different examples, (N, N) bool."""
    return a[:, None] & b & ~torch.eye(len(a), dtype=torch.bool, device=a.device)


def _cosines(products: Tensor) -> Tensor:
    """Scalar products (N, N) → cosines; 0 where a vector is zero."""
    norms = products.diagonal().sqrt()
    return products / (norms[:, None] * norms).clamp(min=torch.finfo(products.dtype).tiny)


def _mean(values: Tensor, chosen: Tensor) -> float:
    return values[chosen].mean().item()
