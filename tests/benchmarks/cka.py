"""Linear CKA of matched rows: a pass for all layers and the smaller side's products, against the published procedure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.timing import fastest
from grokforget.analyses.base import Probe, as_double
from grokforget.analyses.cka import cka, match, match_halves
from grokforget.analyses.features import layers
from grokforget.data.digits import Digits
from grokforget.data.loader import Examples
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.training.classification import Classification

ROWS, MATCHINGS = 512, 10


def run() -> str:
    """Of a digits MLP and CNN, with few forget examples and with many."""
    torch.manual_seed(0)
    table = Digits(train=900, validation=500).examples()
    models = {
        "MLP": MLP(table.shape, hidden=[200, 200], activation="relu", bias=True, initialisation="default"),
        "CNN": CNN(table.shape, channels=[32, 32], kernel_size=3, hidden=128),
    }
    lines = []
    for name, model in models.items():
        data = Examples(model.eval().encode(torch.from_numpy(table.inputs)), torch.from_numpy(table.labels))
        for n, retain in ((20, 40), (20, 880), (400, 500)):
            probe = Probe(
                model, {"forget": data[:n], "retain": data[n : n + retain]}, Classification(loss="mse"), 0, None
            )
            expected = published(probe)
            got = {(v.measure, v.part): v.value for v in cka(probe, examples=ROWS, matchings=MATCHINGS)}
            error = max(abs(got[key] - value) for key, value in expected.items())
            ours, theirs = fastest(
                [lambda p=probe: cka(p, examples=ROWS, matchings=MATCHINGS), lambda p=probe: published(p)], 5
            )
            sizes = f"{n} forget and {retain} retain examples"
            lines.append(
                f"CKA, digits {name}, {sizes}: {1e3 * ours:.0f} ms, published procedure {1e3 * theirs:.0f} ms, "
                f"ratio {theirs / ours:.2f} (at least 1.2), largest difference {error:.0e}"
            )
    return "\n".join(lines)


def published(probe: Probe) -> dict[tuple[str, str], float]:
    """The same means with every matching's features compared from scratch: Gram matrices where there are fewer rows than
    features, centred, and their normalised product; unbiased as Song et al. write it, from Gram matrices without diagonal."""
    model = probe.double()
    names = layers(model)
    sets = {name: as_double(part) for name, part in probe.examples.items()}
    features = {name: passed(model, names, part) for name, part in sets.items()}
    found: dict[tuple[str, str], float] = {}
    for kind, (a, b, within) in {
        "cka": ("forget", "retain", False),
        "retain_cka": ("retain", "retain", True),
        "forget_cka": ("forget", "forget", True),
    }.items():
        generator = probe.generator("matching", kind)
        draw = match_halves if within else match
        pairs = [draw(sets[a].y, sets[b].y, ROWS, generator) for _ in range(MATCHINGS)]
        for layer in names:
            values = torch.stack([compared(features[a][layer][i], features[b][layer][j]) for i, j in pairs])
            found[kind, layer], found[f"{kind}_unbiased", layer] = values.mean(0).tolist()
    return found


@torch.no_grad()
def passed(model: nn.Module, names: list[str], examples: Examples) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}
    handles = []
    for name in names[:-1]:
        hook = lambda _, args, output, name=name: seen.update({name: output.flatten(1)})  # noqa: E731
        handles.append(model.get_submodule(name).register_forward_hook(hook))
    last = lambda _, args: seen.update({names[-1]: args[0].flatten(1)})  # noqa: E731
    handles.append(model.get_submodule(model.output_layer).register_forward_pre_hook(last))
    model(examples.x)
    for handle in handles:
        handle.remove()
    return seen


def compared(x: Tensor, y: Tensor) -> Tensor:
    n = len(x)
    k, m = x @ x.T, y @ y.T

    def centred(gram: Tensor) -> Tensor:
        return gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()

    def unbiased(a: Tensor, b: Tensor) -> Tensor:
        a, b = a - a.diagonal().diag(), b - b.diagonal().diag()
        total = a.sum() * b.sum() / ((n - 1) * (n - 2))
        return (a * b).sum() + total - 2 / (n - 2) * (a.sum(0) @ b.sum(0))

    if n < min(x.shape[1], y.shape[1]):
        a, b = centred(k), centred(m)
        biased = (a * b).sum() / (a.norm() * b.norm())
    else:
        a, b = x - x.mean(0), y - y.mean(0)
        biased = (b.T @ a).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())
    return torch.stack([biased, unbiased(k, m) / (unbiased(k, k).sqrt() * unbiased(m, m).sqrt())])
