"""Do the gradients of forget and retain examples point the same way? (Tables 3 and 9.)"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.analyses.layer_gradients import Gradients, gradients, layers, mean_gradient
from grokforget.data.loader import Examples

CHUNK = 128
"""Examples whose activations are in memory at once."""
STANDARD_ERRORS = 2.0
"""A mean gradient shorter than this many of its standard errors is noise: sampling alone gives 1 where the true mean is
0, and at 2 a quarter of the squared length is expected to be sampling."""
QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
PAIRS = {
    "pair_cosine": ("forget", "retain"),
    "forget_pair_cosine": ("forget", "forget"),
    "retain_pair_cosine": ("retain", "retain"),
}
EPSILON = torch.finfo(torch.float64).eps


@nan_where_diverged
def gradient_alignment(probe: Probe, *, examples: int, batches: int, batch_size: int, pairs: int) -> list[Value]:
    """Cosines between gradients of forget and retain examples, in float64 and eval mode.

    Gradients are of the cross-entropy, which the unlearning methods ascend and descend, whatever the model was trained
    with. For the network, and for every layer with its weight and bias together (part: the module's name):

    - ``gradient_cosine``, ``gradient_angle`` (degrees): between the mean gradients of the two sets; NaN where one is 0.
    - ``{set}_gradient_norm``: the mean gradient's length, ``set`` being ``forget`` or ``retain``.
    - ``{set}_gradient_signal_to_noise``: that length over its standard error √(tr Σ / n), with Σ the covariance of the n
      single examples' gradients: does the sample settle the direction? NaN for one example. The n examples count as
      drawn from a large population; where they are the whole set, its mean gradient is exact, and this says how far it
      would carry over to other examples like them.
    - ``{set}_gradient_over_roundoff``: that length over round-off of what is summed: ε = 2^-52 times the mean length of
      single examples' gradients.
    - ``gradient_cosine_is_noise``: 1, unless both mean gradients are at least 2 standard errors long. (One that is only
      round-off is always shorter: single gradients that cancel to n digits have a standard error 10^n times as long.)

    For the network alone:

    - ``{set}_sample_share``: examples used, as a share of the set.
    - ``{set}_zero_gradient_share``: examples whose gradient is 0 (its squared length in float64 is), as a share of those
      used.
    - ``batch_cosine_...`` over ``batches`` draws of a mini-batch of either set (the whole set where it is no larger), and
      ``pair_cosine_...`` over pairs of a forget and a retain example, ``forget_pair_cosine_...`` and
      ``retain_pair_cosine_...`` over pairs of two examples of one set: ``mean``, ``sd`` (n - 1) and the quantiles ``q10``,
      ``q50``, ``q90``. A gradient of 0 has no direction and is left out.
    """
    model = probe.double()
    model.requires_grad_(True)
    names = [*layers(model), ""]
    sizes = [sum(model.get_parameter(name).numel() for name in group) for group in layers(model).values()]
    sets = {name: as_double(probe.some(name, examples)) for name in ("forget", "retain")}

    means = {name: mean_gradient(model, part, CHUNK) for name, part in sets.items()}
    by_layer = {name: [*mean.split(sizes), mean] for name, mean in means.items()}
    noise = torch.zeros(len(names), dtype=torch.bool)
    values = []
    for name, part in sets.items():
        squares = torch.cat([_squared_norms(gradients(model, chunk), names[:-1]) for chunk in _chunks(part)])
        norms = torch.stack([_norm(gradient) for gradient in by_layer[name]])
        signal = norms / _standard_error(squares, norms)
        digits = norms / (EPSILON * squares.sqrt().mean(0))
        noise |= ~(signal >= STANDARD_ERRORS).cpu()  # NaN is noise, too
        for measure, column in (("norm", norms), ("signal_to_noise", signal), ("over_roundoff", digits)):
            values += [
                Value(f"{name}_gradient_{measure}", layer, value)
                for layer, value in zip(names, column.tolist(), strict=True)
            ]
        values.append(Value(f"{name}_sample_share", "", len(part) / len(probe.examples[name])))
        values.append(Value(f"{name}_zero_gradient_share", "", (squares[:, -1] == 0).double().mean().item()))
    for layer, forget, retain, noisy in zip(names, by_layer["forget"], by_layer["retain"], noise.tolist(), strict=True):
        values += [
            Value("gradient_cosine", layer, cosine(forget, retain)),
            Value("gradient_angle", layer, angle(forget, retain)),
            Value("gradient_cosine_is_noise", layer, float(noisy)),
        ]

    drawn = zip(*(_batches(probe, name, part, batches, batch_size) for name, part in sets.items()), strict=True)
    cosines = [cosine(mean_gradient(model, a, CHUNK), mean_gradient(model, b, CHUNK)) for a, b in drawn]
    values += _distribution("batch_cosine", torch.tensor(cosines, dtype=torch.float64))
    few = {name: gradients(model, as_double(probe.some(name, pairs))) for name in sets}
    for measure, (first, second) in PAIRS.items():
        values += _distribution(measure, _pair_cosines(few[first], few[second]))
    return values


def _chunks(examples: Examples) -> Iterator[Examples]:
    for x, y in zip(examples.x.split(CHUNK), examples.y.split(CHUNK), strict=True):
        yield Examples(x, y)


def cosine(a: Tensor, b: Tensor) -> float:
    """Of the angle between two vectors; NaN where one is 0."""
    return (_unit(a) @ _unit(b)).clamp(-1, 1).item()


def angle(a: Tensor, b: Tensor) -> float:
    """In degrees. From the lengths of sum and difference: the arc cosine loses half the digits of a small angle."""
    a, b = _unit(a), _unit(b)
    return 2 * math.degrees(torch.atan2((a - b).norm(), (a + b).norm()).item())


def _unit(vector: Tensor) -> Tensor:
    vector = vector / vector.abs().max()  # squares of tiny gradients would underflow
    return vector / vector.norm()


def _norm(vector: Tensor) -> Tensor:
    largest = vector.abs().max()
    return largest * (vector / largest).norm() if largest > 0 else largest


def _squared_norms(parts: Mapping[str, Gradients], names: Sequence[str]) -> Tensor:
    """(n, layers + 1), the last column of the whole network."""
    by_layer = torch.stack([parts[name].squared_norms() for name in names], dim=1)
    return torch.cat([by_layer, by_layer.sum(1, keepdim=True)], dim=1)


def _standard_error(squares: Tensor, norms: Tensor) -> Tensor:
    """√(tr Σ / n) from the n squared lengths and the length of the mean; at least what round-off makes of it."""
    n = len(squares)
    if n < 2:
        return norms * math.nan
    trace = (squares.sum(0) - n * norms**2) / (n - 1)
    return (torch.maximum(trace, EPSILON * squares.mean(0)) / n).sqrt()


def _batches(probe: Probe, name: str, examples: Examples, batches: int, size: int) -> Iterator[Examples]:
    generator = probe.generator("batches", name)
    for _ in range(batches):
        yield examples[torch.randperm(len(examples), generator=generator)[:size].to(examples.y.device)]


def _pair_cosines(a: Mapping[str, Gradients], b: Mapping[str, Gradients]) -> Tensor:
    """Cosines of all pairs in a row, NaN for a gradient of 0; of one set with itself each pair once, none with itself."""
    products = sum((a[name].products(b[name]) for name in a), start=torch.zeros(()))
    norms = [sum((part.squared_norms() for part in x.values()), start=torch.zeros(())).sqrt() for x in (a, b)]
    cosines = (products / norms[0][:, None] / norms[1]).clamp(-1, 1)
    if a is b:
        return cosines[torch.ones_like(cosines, dtype=torch.bool).triu(1)]
    return cosines.flatten()


def _distribution(measure: str, values: Tensor) -> list[Value]:
    values = values[~values.isnan()]
    if not len(values):
        return [Value(f"{measure}_{key}", "", math.nan) for key in ("mean", "sd", *QUANTILES)]
    sd = values.std().item() if len(values) > 1 else math.nan
    quantiles = np.quantile(values.cpu().numpy(), list(QUANTILES.values()))
    return [
        Value(f"{measure}_mean", "", values.mean().item()),
        Value(f"{measure}_sd", "", sd),
        *(Value(f"{measure}_{key}", "", float(q)) for key, q in zip(QUANTILES, quantiles, strict=True)),
    ]
