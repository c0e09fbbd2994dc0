"""Accuracy without the units that are most specific to the forget set: are modules independent, as Appendix D assumes?"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal

import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe, Value, as_double, in_batches, nan_where_diverged
from grokforget.analyses.modules import Kind, Layer, by_unit, hidden_layers, pieces
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.training.evaluate import BATCH, accuracy_and_loss
from grokforget.training.language import answer_lengths

SPLITS = ("forget", "retain", "test")
MEASURES = ("ablated_accuracy", "ablated_loss")
Judged = dict[str, tuple[float, float]]
"""By split the numbers of ``MEASURES``."""


@nan_where_diverged
def ablation(
    probe: Probe,
    *,
    units: Sequence[Literal["all"] | Kind],
    shares: Sequence[float],
    draws: int,
    examples: int,
    evaluated: int,
) -> list[Value]:
    """Accuracies in [0, 1] and losses after a share of every layer's units is removed: the forget-specific ones, or random
    ones; in eval mode, of up to ``evaluated`` examples of a set.

    Units are those of ``modules.py``, all of them and those of one kind by themselves, as ``units`` says, and how specific
    one is says ``specificity``, from up to ``examples`` of either set. Of every layer the same share goes, rounded to whole
    units: the random ones, ``draws`` times drawn, are then as many in each layer as the specific ones, and units of
    different kinds need not be ranked against each other. Removed means that all weights of a unit are zero, those of a
    norm behind it among them, so that it gives 0.

    ``ablated_accuracy`` has the parts ``<split>/none``, ``<split>/<share>/specific``, ``<split>/<share>/random`` (mean
    over draws) and ``<split>/<share>/random_sd`` (n - 1; not for one draw), for all of ``forget``, ``retain`` and
    ``test``, and so has ``ablated_loss``, the mean of the examples' unlearning losses, nats. ``ablated_units`` with the share
    as its part is the number of units removed. Of one kind of units the part ends with it (``/heads``). If modules were
    independent, ``specific`` would lower the accuracy on the forget set and spare the others. The weights of the probe's
    model are never touched: the units are removed from a copy.
    """
    layers = hidden_layers(probe.model)
    scores = specificity(probe, layers, examples)
    ranked = {name: score.argsort(descending=True, stable=True) for name, score in scores.items()}
    model = copy.deepcopy(probe.model).eval()
    sets = {split: probe.some(split, evaluated) for split in SPLITS}

    def losses(digests: Tensor, targets: Tensor) -> Tensor:
        return probe.objective.of_digests.example_losses(digests, targets).mean()

    def judged() -> Judged:
        return {split: accuracy_and_loss(model, part, probe.objective, losses) for split, part in sets.items()}

    def rows(split: str, what: str, numbers: Sequence[float]) -> list[Value]:
        return [Value(measure, f"{split}/{what}", n) for measure, n in zip(MEASURES, numbers, strict=True)]

    values = [value for split, numbers in judged().items() for value in rows(split, "none", numbers)]
    for kind, share in product(units, shares):
        end = "" if kind == "all" else f"/{kind}"
        chosen = [layer for layer in layers if kind in ("all", layer.kind)]
        count = {layer.name: int(share * layer.units + 0.5) for layer in chosen}
        values.append(Value("ablated_units", f"{share:g}{end}", float(sum(count.values()))))

        def without(order: Mapping[str, Tensor], count: Mapping[str, int] = count) -> Judged:
            model.load_state_dict(probe.model.state_dict())
            for layer in layers:
                remove(model, layer, order[layer.name][: count.get(layer.name, 0)])
            return judged()

        specific = without(ranked)
        generators = [probe.generator("ablation", draw) for draw in range(draws)]
        random = [
            without({layer.name: torch.randperm(layer.units, generator=g) for layer in layers}) for g in generators
        ]
        for split in SPLITS:
            drawn = torch.tensor([of_draw[split] for of_draw in random], dtype=torch.float64)
            values += rows(split, f"{share:g}/specific{end}", specific[split])
            values += rows(split, f"{share:g}/random{end}", drawn.mean(0).tolist())
            if draws > 1:
                values += rows(split, f"{share:g}/random_sd{end}", drawn.std(0).tolist())
    return values


def specificity(probe: Probe, layers: Sequence[Layer], examples: int) -> dict[str, Tensor]:
    """By layer, how much more each unit holds up the right answers on forget than on retain examples, float64 (units,).

    A unit's support of a set is the derivative, by a common factor c on all its weights, at c = 1, of the mean margin
    (``margins``). It is what the margin loses, to first order, while the unit is shrunk away (the idea of Molchanov et al.
    2017, arXiv 1611.06440, on a margin: a loss that is nearly zero has no gradient to tell units by). Specificity is the
    support of forget less that of retain. In float64, one backward pass a set.
    """
    model = probe.double()
    forget, retain = (_support(model, layers, as_double(probe.some(split, examples))) for split in ("forget", "retain"))
    return {name: forget[name] - retain[name] for name in forget}


def _support(model: nn.Module, layers: Sequence[Layer], examples: Examples) -> dict[str, Tensor]:
    gradients = margin_gradients(model, examples)
    products = {name: (model.get_parameter(name).detach() * gradient)[None] for name, gradient in gradients.items()}
    return {
        layer.name: torch.cat([piece[0] for piece in pieces(layer, products)], dim=1).sum(1).cpu() for layer in layers
    }


@torch.enable_grad()
def margin_gradients(model: nn.Module, examples: Examples) -> dict[str, Tensor]:
    """Gradients, by parameter, of the mean over examples of ``margins``."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for part in in_batches(examples, BATCH):
        margin = margins(model(part.x), part.y).sum()
        for sum_, gradient in zip(total, torch.autograd.grad(margin, parameters), strict=True):
            sum_ += gradient
    return {name: sum_ / len(examples) for name, sum_ in zip(names, total, strict=True)}


def margins(outputs: Tensor, targets: Tensor) -> Tensor:
    """The right class's logit less the mean logit, (N,); of a text the mean of its answer's tokens' logits less theirs."""
    asked = targets != IGNORED
    found = outputs[asked].gather(1, targets[asked][:, None])[:, 0] - outputs[asked].mean(1)
    if targets.dim() == 1:
        return found
    return torch.zeros_like(targets, dtype=found.dtype).masked_scatter(asked, found).sum(1) / answer_lengths(targets)


@torch.no_grad()
def remove(model: nn.Module, layer: Layer, units: Tensor) -> None:
    """Set all weights of some units (their numbers, int64) to zero."""
    for part in layer.parts:
        parameter = model.get_parameter(part.parameter)
        by_unit(parameter, part, layer.units)[units.to(parameter.device)] = 0
