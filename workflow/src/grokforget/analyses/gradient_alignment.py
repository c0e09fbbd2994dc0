"""Do the gradients of forget and retain examples point the same way? (Tables 3 and 9.)"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, in_batches, nan_where_diverged
from grokforget.analyses.layer_gradients import Gradients, gradients, layers, mean_gradient
from grokforget.data.loader import Examples
from grokforget.training.objective import Objective

CHUNK = 128
"""Examples whose activations are in memory at once; of texts fewer (``in_batches``)."""
STANDARD_ERRORS = 2.0
"""A mean gradient shorter than this many of its standard errors is noise: sampling alone gives 1 where the true mean is
0, and at 2 a quarter of the squared length is expected to be sampling."""
QUANTILES = {"q10": 0.1, "q50": 0.5, "q90": 0.9}
PAIRS = {
    "pair_cosine": ("forget", "retain"),
    "forget_pair_cosine": ("forget", "forget"),
    "retain_pair_cosine": ("retain", "retain"),
}
CONTROL = "_control"
"""Ends the name of a number of two parts of the retain set."""
EPSILON = torch.finfo(torch.float64).eps
Mean = Callable[[Examples], Tensor]
"""The gradient (P,) of the mean loss of some examples."""


@nan_where_diverged
def gradient_alignment(probe: Probe, *, examples: int, batches: int, batch_size: int, pairs: int) -> list[Value]:
    """Cosines between gradients of forget and retain examples, in float64 and eval mode.

    Gradients are of the cross-entropy, which the unlearning methods ascend and descend, whatever the model was trained
    with. A text is one example: its loss is the mean over its own answer's tokens, so that long answers count as short ones
    do. For the network, and for every layer with its weight and bias together (part: the module's name):

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

    Every number of a forget and a retain set has its control, the same number of two parts of the retain set, under the same
    name and ``_control``: ``gradient_cosine``, ``gradient_angle``, ``gradient_cosine_is_noise``, ``batch_cosine_...`` and
    ``pair_cosine_...``. Without any forget set these fall as well where gradients vanish, for noise is then all that is left
    of them. The retain side stays what it is. As many retained examples as there are forget examples stand in for these,
    whatever their classes, drawn from those that are not on the retain side. Where these are too few the retain side gives
    the others up, and at most half of all stand in. So where the retain set is used whole, the rest of it is the control's
    retain side. NaN for a retain set of one example.
    """
    model = probe.double()
    model.requires_grad_(True)
    objective = probe.objective
    mean = partial(mean_gradient, model, objective=objective, chunk=CHUNK)
    single = partial(gradients, model, objective=objective)
    squared = partial(_squared_norms, model, objective)
    names = [*layers(model), ""]
    sizes = [sum(model.get_parameter(name).numel() for name in group) for group in layers(model).values()]
    sets = {name: as_double(probe.some(name, examples)) for name in ("forget", "retain")}
    sample = probe.sample("retain", examples)

    means = {name: mean(part) for name, part in sets.items()}
    squares = {name: squared(names[:-1], part) for name, part in sets.items()}
    values = []
    for name, part in sets.items():
        norms = _norms(means[name], sizes)
        signal = norms / _standard_error(squares[name], norms)
        digits = norms / (EPSILON * squares[name].sqrt().mean(0))
        for measure, column in (("norm", norms), ("signal_to_noise", signal), ("over_roundoff", digits)):
            values += [
                Value(f"{name}_gradient_{measure}", layer, value)
                for layer, value in zip(names, column.tolist(), strict=True)
            ]
        values.append(Value(f"{name}_sample_share", "", len(part) / len(probe.examples[name])))
        values.append(Value(f"{name}_zero_gradient_share", "", (squares[name][:, -1] == 0).double().mean().item()))
    values += _compared(names, sizes, means, squares)
    stand_ins, left = apart(probe, sample, len(sets["forget"]), probe.generator("control", "examples"))
    control = {"forget": mean(stand_ins), "retain": means["retain"]}
    if not left.all():
        control["retain"] = mean(sets["retain"][left])
    lengths = {"forget": squared(names[:-1], stand_ins), "retain": squares["retain"][left]}
    values += _compared(names, sizes, control, lengths, CONTROL)

    values += _of_batches(probe, mean, sets, sample, batches, batch_size)
    few = {name: single(as_double(probe.some(name, pairs))) for name in sets}
    for measure, (first, second) in PAIRS.items():
        values += _distribution(measure, _pair_cosines(few[first], few[second]))
    side = probe.sample("retain", pairs)
    stand_ins, left = apart(probe, side, len(probe.sample("forget", pairs)), probe.generator("control", "pairs"))
    others = few["retain"]
    if not left.all():
        others = single(as_double(probe.examples["retain"][side[left]]))
    cosines = _pair_cosines(single(stand_ins), others) if len(stand_ins) else torch.zeros(0)
    return values + _distribution("pair_cosine", cosines, CONTROL)


def _compared(
    names: Sequence[str],
    sizes: Sequence[int],
    means: Mapping[str, Tensor],
    squares: Mapping[str, Tensor],
    ending: str = "",
) -> list[Value]:
    """Cosine, angle and noise of two mean gradients, by layer."""
    noise = torch.zeros(len(names), dtype=torch.bool)
    for name, mean in means.items():
        norms = _norms(mean, sizes)
        noise |= ~(norms / _standard_error(squares[name], norms) >= STANDARD_ERRORS).cpu()  # NaN is noise, too
    values = []
    parts = (_by_layer(means[name], sizes) for name in ("forget", "retain"))
    for layer, forget, retain, noisy in zip(names, *parts, noise.tolist(), strict=True):
        values += [
            Value(f"gradient_cosine{ending}", layer, cosine(forget, retain)),
            Value(f"gradient_angle{ending}", layer, angle(forget, retain)),
            Value(f"gradient_cosine_is_noise{ending}", layer, float(noisy)),
        ]
    return values


def _of_batches(
    probe: Probe, mean: Mean, sets: Mapping[str, Examples], sample: Tensor, batches: int, size: int
) -> list[Value]:
    """Over mini-batches, of which the retain set's stand at ``sample`` in it."""
    drawn = {name: list(_batches(probe, name, part, batches, size)) for name, part in sets.items()}
    generator = probe.generator("control", "batches")
    cosines, control = [], []
    for forget, retain in zip(drawn["forget"], drawn["retain"], strict=True):
        side = mean(sets["retain"][retain])
        cosines.append(cosine(mean(sets["forget"][forget]), side))
        stand_ins, left = apart(probe, sample[retain], len(forget), generator)
        if not left.all():
            side = mean(sets["retain"][retain[left]])
        control.append(cosine(mean(stand_ins), side))
    values = _distribution("batch_cosine", torch.tensor(cosines, dtype=torch.float64))
    return values + _distribution("batch_cosine", torch.tensor(control, dtype=torch.float64), CONTROL)


def apart(probe: Probe, side: Tensor, n: int, generator: torch.Generator) -> tuple[Examples, Tensor]:
    """Retained examples to stand in for ``n`` forget examples, and which of the retained examples at ``side`` are not among
    them, a mask."""
    retained = probe.examples["retain"]
    order = torch.randperm(len(retained), generator=generator)
    inside = torch.isin(order, side)
    drawn = torch.cat([order[~inside], order[inside]])[: min(n, len(retained) // 2)].sort().values
    return as_double(retained[drawn]), ~torch.isin(side, drawn)


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


def _by_layer(gradient: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """The layers' parts of a gradient (P,), and the whole."""
    return [*gradient.split(list(sizes)), gradient]


def _norms(gradient: Tensor, sizes: Sequence[int]) -> Tensor:
    return torch.stack([_norm(part) for part in _by_layer(gradient, sizes)])


def _squared_norms(model: nn.Module, objective: Objective, names: Sequence[str], examples: Examples) -> Tensor:
    """Of single examples' gradients: (n, layers + 1), the last column of the whole network."""
    if not len(examples):
        return torch.zeros(0, len(names) + 1, dtype=torch.float64)
    rows = []
    for some in in_batches(examples, CHUNK):
        parts = gradients(model, some, objective)
        by_layer = torch.stack([parts[name].squared_norms() for name in names], dim=1)
        rows.append(torch.cat([by_layer, by_layer.sum(1, keepdim=True)], dim=1))
    return torch.cat(rows)


def _standard_error(squares: Tensor, norms: Tensor) -> Tensor:
    """√(tr Σ / n) from the n squared lengths and the length of the mean; at least what round-off makes of it."""
    n = len(squares)
    if n < 2:
        return norms * math.nan
    trace = (squares.sum(0) - n * norms**2) / (n - 1)
    return (torch.maximum(trace, EPSILON * squares.mean(0)) / n).sqrt()


def _batches(probe: Probe, name: str, examples: Examples, batches: int, size: int) -> Iterator[Tensor]:
    generator = probe.generator("batches", name)
    for _ in range(batches):
        yield torch.randperm(len(examples), generator=generator)[:size]


def _pair_cosines(a: Mapping[str, Gradients], b: Mapping[str, Gradients]) -> Tensor:
    """Cosines of all pairs in a row, NaN for a gradient of 0; of one set with itself each pair once, none with itself."""
    products = sum((a[name].products(b[name]) for name in a), start=torch.zeros(()))
    norms = [sum((part.squared_norms() for part in x.values()), start=torch.zeros(())).sqrt() for x in (a, b)]
    cosines = (products / norms[0][:, None] / norms[1]).clamp(-1, 1)
    if a is b:
        return cosines[torch.ones_like(cosines, dtype=torch.bool).triu(1)]
    return cosines.flatten()


def _distribution(measure: str, values: Tensor, ending: str = "") -> list[Value]:
    values = values[~values.isnan()]
    keys = ("mean", "sd", *QUANTILES)
    found = [math.nan] * len(keys)
    if len(values):
        sd = values.std().item() if len(values) > 1 else math.nan
        quantiles = np.quantile(values.cpu().numpy(), list(QUANTILES.values()))
        found = [values.mean().item(), sd, *map(float, quantiles)]
    return [Value(f"{measure}_{key}{ending}", "", value) for key, value in zip(keys, found, strict=True)]
