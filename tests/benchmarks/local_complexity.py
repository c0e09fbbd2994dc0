"""Local complexity: points together, mostly in float32, against plain loops in float64 and the published procedure."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmarks.timing import fastest, processor_seconds
from grokforget.analyses.local_complexity import cross_polytope, crossings
from grokforget.data.digits import Digits
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.points import continuous
from grokforget.models.transformer import Transformer

POINTS, VERTICES, RADIUS = 64, 40, 0.005


def run() -> str:
    """Medians of the processor time of 9 calls, of one each in turn; 3 of the loop over points and vertices; and the least
    of 15 against the published procedure.

    That loop is the plain one, which must take five times as long or longer. For the loop over points that forwards a
    point's vertices together no bound is set: it does the same products in float64, so that what is left to gain is little
    more than what float32 gives.
    """
    torch.manual_seed(0)
    table = Digits(train=300, validation=500).examples()
    images, tokens = torch.from_numpy(table.inputs[:POINTS]), torch.randint(97, (POINTS, 2))
    pairs = DataShape((2,), 97, 97)
    models: dict[str, tuple[nn.Module, Tensor]] = {
        "digits MLP": (
            MLP(table.shape, hidden=[200, 200], activation="relu", bias=True, initialisation="default"),
            images,
        ),
        "digits CNN": (CNN(table.shape, channels=[32, 32], kernel_size=3, hidden=128), images),
        "transformer, p = 97": (Transformer(pairs, layers=1, width=128, heads=4, mlp_width=512), tokens),
    }
    lines = []
    for name, (model, inputs) in models.items():
        encoded = model.encode(inputs)  # type: ignore[operator]
        model.double().eval()
        x, forward = continuous(model, encoded.double() if encoded.is_floating_point() else encoded)
        if forward is not model:
            model.forward = forward
        offsets = cross_polytope(x[0].numel(), VERTICES, RADIUS, torch.Generator().manual_seed(0))
        offsets = offsets.unflatten(1, x.shape[1:])
        counts = torch.stack(list(crossings(model, model, x, offsets).values()))
        same = all(torch.equal(counts, looped(model, x, offsets, size)) for size in (1, VERTICES))
        batched, by_point = processor_seconds(
            [
                lambda m=model, x=x, o=offsets: crossings(m, m, x, o),
                lambda m=model, x=x, o=offsets: looped(m, x, o, VERTICES),
            ],
            9,
        )
        (single,) = processor_seconds([lambda m=model, x=x, o=offsets: looped(m, x, o, 1)], 3)
        lines.append(
            f"local complexity, {name}, {POINTS} points, {VERTICES} vertices: {1e3 * batched:.0f} ms; loop over points and "
            f"vertices {1e3 * single:.0f} ms, {single / batched:.1f} times as long (at least 5); loop over points "
            f"{1e3 * by_point:.0f} ms, {by_point / batched:.1f} times; the same counts: {same} ({counts.sum().item()} neurons)"
        )
        if x.dim() > 2 and forward is model:
            single_precision, near, shifts = copy.deepcopy(model).float(), x.float(), offsets.float()
            ours, *theirs = fastest(
                [
                    lambda m=model, x=x, o=offsets: crossings(m, m, x, o),
                    *(
                        lambda m=single_precision, x=near, o=shifts, size=size: published(m, x, o, size)
                        for size in (POINTS, 16, 4)
                    ),
                ],
                15,
            )
            tried = ", ".join(
                f"{size} points at once {1e3 * took:.0f} ms, ratio {took / ours:.2f}"
                for size, took in zip((POINTS, 16, 4), theirs, strict=True)
            )
            lines.append(
                f"  against the published procedure, float32 alone, whose signs nothing checks: {1e3 * ours:.0f} ms; {tried}"
            )
    return "\n".join(lines)


@torch.no_grad()
def published(model: nn.Module, x: Tensor, offsets: Tensor, size: int) -> Tensor:
    """(layers, N): all vertices of ``size`` points together through the whole network, and where the signs of a neuron add
    up to less than all of them, it has changed."""
    seen: list[Tensor] = []
    handles = [
        module.register_forward_pre_hook(lambda _, entering: seen.append(entering[0]))
        for module in model.modules()
        if isinstance(module, nn.ReLU)
    ]
    rows = []
    for some in x.split(size):
        seen.clear()
        model((some[:, None] + offsets).flatten(0, 1))
        sums = [(z > 0).flatten(1).unflatten(0, (len(some), -1)).sum(1) for z in seen]
        rows.append(torch.stack([(total % len(offsets) != 0).sum(1) for total in sums]))
    for handle in handles:
        handle.remove()
    return torch.cat(rows, dim=1)


@torch.no_grad()
def looped(model: nn.Module, x: Tensor, offsets: Tensor, size: int) -> Tensor:
    """(layers, N): point after point, ``size`` vertices at once."""
    signs: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_pre_hook(lambda _, inputs, name=name: signs[name].append(inputs[0] > 0))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    names = [name for name, module in model.named_modules() if isinstance(module, nn.ReLU)]
    rows = []
    for point in x:
        signs.update({name: [] for name in names})
        for some in offsets.split(size):
            model(point + some)
        all_signs = [torch.cat(signs[name]) for name in names]
        rows.append(torch.stack([(s != s[0]).any(0).sum() for s in all_signs]))
    for handle in handles:
        handle.remove()
    return torch.stack(rows, dim=1)
