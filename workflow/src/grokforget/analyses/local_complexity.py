"""Local complexity: how many neurons change sign in a small neighbourhood of a point (Humayun et al. 2024, arXiv
2402.15555; Table 4 of the paper)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, nan_where_diverged
from grokforget.analyses.relu_inputs import ReluInputs, in_float32
from grokforget.models.points import continuous

SPLITS = ("retain", "test", "forget")
CHUNK_FLOATS = 3 * 2**17
"""Largest number of floats that a ReLU is given at once, but for a single point's: 1.5 MB, near which a CNN, that has many calls
for little, and an MLP, that leaves the cache, are both within a tenth of their best."""
CHECKED = 64
"""Smallest number of vertices at which float32's error is measured."""
MARGIN = 64
"""How many measured errors from 0 a sign is trusted; on trained models no error reaches a tenth of that."""


@nan_where_diverged
def local_complexity(probe: Probe, *, points: int, vertices: int, radius: float) -> list[Value]:
    """Neurons whose sign is not the same at all vertices of a cross-polytope around a point; mean over points.

    The vertices of a point are x ± ``radius``·u_j for ``vertices``/2 random orthonormal directions u_j (as many as there
    are where the inputs have fewer dimensions), the same for all points. A neuron is one element of the input of an
    ``nn.ReLU``, positive or not. Inputs are images, one-hot vectors or embeddings (``continuous``), ``radius`` in their
    units. Gives, for each of ``retain``, ``test`` and, of a request, ``forget``: ``local_complexity`` (sum over layers),
    ``local_complexity_sd`` (over points, n - 1; NaN for one point) and ``local_complexity_layer`` with part
    ``<split>/<layer>``. No rows for a model without ReLU. The signs are those of float64, where a sum's round-off,
    which depends on how many points are computed at once, is too small to turn one.
    """
    model = probe.double()
    if not any(isinstance(module, nn.ReLU) for module in model.modules()):
        return []
    values: list[Value] = []
    for split in (name for name in SPLITS if name in probe.examples):
        x, forward = continuous(model, as_double(probe.some(split, points)).x)
        offsets = cross_polytope(x[0].numel(), vertices, radius, probe.generator("frame")).to(x)
        by_layer = crossings(model, forward, x, offsets.unflatten(1, x.shape[1:]))
        total = torch.stack(list(by_layer.values())).sum(0).double()
        values.append(Value("local_complexity", split, total.mean().item()))
        values.append(Value("local_complexity_sd", split, total.std().item() if len(total) > 1 else float("nan")))
        for layer, counts in by_layer.items():
            values.append(Value("local_complexity_layer", f"{split}/{layer}", counts.double().mean().item()))
    return values


def cross_polytope(dimension: int, vertices: int, radius: float, generator: torch.Generator) -> Tensor:
    """Offsets ±radius·u_j, float64 (at most ``vertices``, dimension), of random orthonormal u_j; on the CPU."""
    gaussian = torch.randn(dimension, min(vertices // 2, dimension), generator=generator, dtype=torch.float64)
    frame = torch.linalg.qr(gaussian).Q.T
    return radius * torch.cat([frame, -frame])


@torch.no_grad()
def crossings(
    model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor, offsets: Tensor, chunk_floats: int = CHUNK_FLOATS
) -> dict[str, Tensor]:
    """By name of the ReLU: for each point of x (N, ...) how many of its neurons change sign among x + offsets (V, ...).

    int64 (N,). ``model``, x and offsets are float64, and so are the signs: all vertices are computed in float32, and once more
    in float64 those where float32's rounding might have turned one (``tolerances``). ``chunk_floats`` bounds memory and
    changes nothing else. Weights and hooks are again what they were when it returns or fails.
    """
    with ReluInputs(model, forward) as inputs:
        near = tolerances(inputs, x, offsets)
        size = max(chunk_floats // (max(tolerance.numel() for tolerance in near) * len(offsets)), 1)
        with in_float32(model):
            counts, doubts, close = tally(inputs, x.float(), offsets.float(), near, size)
        settle(inputs, x, offsets, doubts, close, size)
    for doubt in (doubt for of_call in doubts for doubt in of_call):
        counts[doubt.name][doubt.points] += (doubt.unsure & doubt.falls & doubt.rises).sum(1)
    return counts


def tolerances(inputs: ReluInputs, x: Tensor, offsets: Tensor) -> list[Tensor]:
    """For each ReLU in its turn, how near 0 a neuron's value in float32 does not tell its sign; float32, a layer's shape.

    Float32's error is measured, so that this holds for any model: at one vertex of every point, and at ``CHECKED`` vertices
    at the least. The distance is ``MARGIN`` times the sum of the neuron's largest error and a sixteenth of its layer's: a
    neuron without error at these vertices may have some at others.
    """
    single, shifts = x.float(), offsets.float()
    errors: list[Tensor] = []
    for rows in torch.arange(max(len(x), CHECKED), device=x.device).split(CHECKED):
        point, vertex = rows % len(x), rows % len(offsets)
        exact: list[Tensor] = []
        rough: list[Tensor] = []
        inputs(x[point] + offsets[vertex], lambda _, z, seen=exact: seen.append(z.clone()))  # type: ignore[misc]
        with in_float32(inputs.model):
            inputs(single[point] + shifts[vertex], lambda _, z, seen=rough: seen.append(z.clone()))  # type: ignore[misc]
        found = [(a - b).abs().amax(0) for a, b in zip(exact, rough, strict=True)]
        errors = [a.maximum(b) for a, b in zip(errors or found, found, strict=True)]
    return [(MARGIN * (error + error.max() / 16)).float() for error in errors]


class Doubt(NamedTuple):
    """Points (p,) some of whose neurons are unsure at one ReLU: ``axes`` of its input in the order in which its neurons are
    laid out here, which of them are unsure, and which are known to be 0 or below at some vertex (``falls``) and above 0 at
    one (``rises``), all (p, neurons) bool."""

    name: str
    axes: list[int]
    points: Tensor
    unsure: Tensor
    falls: Tensor
    rises: Tensor


def tally(
    inputs: ReluInputs, x: Tensor, offsets: Tensor, near: Sequence[Tensor], size: int
) -> tuple[dict[str, Tensor], list[list[Doubt]], Tensor]:
    """By name of the ReLU how many neurons change sign for sure, int64 (N,); the doubts, by the ReLU's turn; and whether a
    vertex of a point is close to changing the sign of an unsure neuron, bool (V, N).

    A neuron changes sign if it is at most -near at one vertex and above near at another; it does not if it is the one or
    the other at all of them; else, and if it is NaN, it is unsure. ``size`` points at once.
    """
    counts: dict[str, list[Tensor]] = {}
    doubts: list[list[Doubt]] = [[] for _ in near]
    close = torch.zeros(len(offsets), len(x), dtype=torch.bool, device=x.device)
    for first in range(0, len(x), size):
        found: dict[str, Tensor] = {}
        turn = enumerate(near)

        def see(name: str, z: Tensor) -> None:
            # As it lies in memory (channels last, say), and the vertices first: twenty times as fast as `aminmax`.
            axes = sorted(range(1, z.dim()), key=z.stride, reverse=True)
            values = z.permute(0, *axes).flatten(1).unflatten(0, (len(offsets), -1))
            low, high = values.amin(0), values.amax(0)
            number, tolerance = next(turn)  # noqa: B023
            margin = tolerance.permute([axis - 1 for axis in axes]).flatten()
            falls, rises = low <= -margin, high > margin
            turns = falls & rises
            found[name] = found.get(name, 0) + turns.sum(1)  # noqa: B023
            unsure = ~(turns | (low > margin) | (high <= -margin))
            rows = unsure.any(1).nonzero().flatten()
            if len(rows):
                values, unsure, points = values[:, rows], unsure[rows], first + rows  # noqa: B023
                close[:, points] |= (unsure & ~((values <= -margin) | (values > margin))).any(2)
                doubts[number].append(Doubt(name, axes, points, unsure, falls[rows], rises[rows]))

        inputs((x[first : first + size] + offsets[:, None]).flatten(0, 1), see)
        for name, counted in found.items():
            counts.setdefault(name, []).append(counted)
    return {name: torch.cat(parts) for name, parts in counts.items()}, doubts, close


def settle(
    inputs: ReluInputs, x: Tensor, offsets: Tensor, doubts: Sequence[Sequence[Doubt]], close: Tensor, size: int
) -> None:
    """Complete ``falls`` and ``rises`` of all doubts by the signs in float64 at the close vertices."""
    for vertex, point in (pairs.unbind(1) for pairs in close.nonzero().split(size * len(offsets))):
        turn = iter(doubts)

        def see(_: str, z: Tensor) -> None:
            for doubt in next(turn):  # noqa: B023
                row, rows = (point[:, None] == doubt.points).nonzero().unbind(1)  # noqa: B023
                positive = z[row].permute(0, *doubt.axes).flatten(1) > 0
                for known, here in ((doubt.rises, positive), (doubt.falls, ~positive)):
                    known |= torch.zeros_like(known, dtype=torch.int32).index_add_(0, rows, here.int()) > 0

        inputs(x[point] + offsets[vertex], see)
