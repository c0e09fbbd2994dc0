"""How far a model is from the retrained reference, in what it says and in its weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor

from grokforget.analyses.base import Probe, Value, nan_where_diverged
from grokforget.training.evaluate import logits_of

SPLITS = ("forget", "retain", "test")


@nan_where_diverged
def distance(probe: Probe) -> list[Value]:
    """Distances, computed in float64 from float32 logits and weights; NaN where the model that it is compared with has a
    weight that is not finite, and where there is no retrained model.

    ``js_divergence`` of a split: mean over its examples of the Jensen-Shannon divergence of the two output distributions,
    nats: 0 where they are the same, ln 2 = 0.693 where they share no class. ``weight_distance``: ‖θ - θ_r‖;
    ``relative_weight_distance``: the same over ‖θ_r‖; ``weight_cosine``: of θ and θ_r; ``weight_change``: ‖θ - θ_o‖ / ‖θ_o‖
    from the original model. θ are all parameters, without buffers. Two runs of training can end far apart in weights
    and compute the same function, so distances in weights are read beside those of the outputs.
    """
    reference = copy.deepcopy(probe.model)
    reference.load_state_dict(probe.retrained or probe.model.state_dict())
    names = [name for name, _ in probe.model.named_parameters()]
    theta = flat(probe.model.state_dict(), names)
    retrained, original = flat(reference.state_dict(), names), flat(probe.original, names)
    gap = (theta - retrained).norm()
    to_retrained = [
        *(
            Value(
                "js_divergence", split, jensen_shannon(logits_of(probe.model, x), logits_of(reference, x)).mean().item()
            )
            for split, x in ((split, probe.examples[split].x) for split in SPLITS)
        ),
        Value("weight_distance", "", gap.item()),
        Value("relative_weight_distance", "", (gap / retrained.norm()).item()),
        Value("weight_cosine", "", (theta @ retrained / (theta.norm() * retrained.norm())).item()),
    ]
    to_original = [Value("weight_change", "", ((theta - original).norm() / original.norm()).item())]
    comparable = bool(probe.retrained) and _finite(theta, retrained)
    return [*_known(to_retrained, comparable), *_known(to_original, _finite(theta, original))]


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Jensen-Shannon divergence (N,) in nats, float64, of the distributions of logits (N, K): the mean of KL(p ‖ m) and
    KL(q ‖ m), m being the mean of p and q (Lin 1991)."""
    p, q = first.double().log_softmax(1), second.double().log_softmax(1)
    middle = torch.logaddexp(p, q) - math.log(2)
    # Round-off makes it a little less than nothing where the two are the same.
    return ((p.exp() * (p - middle) + q.exp() * (q - middle)).sum(1) / 2).clamp(min=0)


def flat(state: Mapping[str, Tensor], names: list[str]) -> Tensor:
    """The named tensors as one float64 vector."""
    return torch.cat([state[name].detach().flatten() for name in names]).double()


def _finite(*weights: Tensor) -> bool:
    return all(bool(each.isfinite().all()) for each in weights)


def _known(values: list[Value], known: bool) -> list[Value]:
    """The values, or NaN in their place."""
    return values if known else [value._replace(value=math.nan) for value in values]
