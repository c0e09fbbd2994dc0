"""Another weight norm with the same predictions, for models that are homogeneous in their weights.

In a chain of layers z_l = W_l a_(l-1) + b_l with activations of degree d (φ(s z) = s^d φ(z) for s > 0: 1 for ReLU and max
pooling, 2 for x²), multiplying every W_l by c and b_l by c^(e_l), e_l = d e_(l-1) + 1 and e_0 = 0, multiplies z_l by
c^(e_l): the logits by one factor, and so no prediction changes. With ReLU e_l is l.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from torch import Tensor, nn

Value = TypeVar("Value", Tensor, np.ndarray[Any, Any])
NEWTON_STEPS = 100


class Homogeneous(Protocol):
    """A model that passes every example through one chain of layers."""

    def chain(self) -> Sequence[nn.Module]:
        """All layers, activations and poolings in the order in which an example passes them."""


def degrees(model: nn.Module) -> dict[str, int]:
    """By parameter, the power of c that it is multiplied with.

    Raises TypeError for a model that gives no ``chain``, has an unknown module in it, or parameters outside it.
    """
    if not hasattr(model, "chain"):
        raise TypeError(f"{type(model).__name__} is not homogeneous in its weights: it cannot be rescaled")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, int] = {}
    power = 0
    for module in cast(Homogeneous, model).chain():
        if isinstance(module, nn.Linear | nn.Conv2d):
            power += 1
            found[names[id(module.weight)]] = 1
            if module.bias is not None:
                found[names[id(module.bias)]] = power
        elif not isinstance(module, nn.ReLU | nn.MaxPool2d | nn.Flatten):
            # An activation of another degree says so itself.
            if not hasattr(module, "degree"):
                raise TypeError(f"{type(module).__name__} is not known to be homogeneous")
            power *= cast(int, module.degree)
    if found.keys() != set(names.values()):
        raise TypeError(f"parameters outside the chain: {', '.join(sorted(set(names.values()) - found.keys()))}")
    return found


def rescaled(state: Mapping[str, Value], powers: Mapping[str, int], norm: float) -> dict[str, Value]:
    """The state with the Euclidean norm ``norm`` (in float64, before it is rounded to the state's dtype).

    A state or a norm that is not finite, and a state that is all zero, have no such state: weights of NaN come back, as
    from a run that diverged. A norm of 0 is reached only by zeros. Raises KeyError for a parameter without a power.
    """
    squares = {name: float(np.square(_double(value)).sum()) for name, value in state.items()}
    c = _factor([(squares[name], powers[name]) for name in state], norm)
    return {name: _times(value, c ** powers[name]) for name, value in state.items()}


def rescaled_state(model: nn.Module, memorised: Mapping[str, Value], grokked: Mapping[str, Value]) -> dict[str, Value]:
    """Checkpoint ``rescaled``: what ``memorised`` predicts, with the weight norm of ``grokked``.

    ``model`` is any model of the architecture, for its layers' order; the states are its parameters by name, as tensors on
    the CPU or as arrays, and the result is of the same kind. Raises TypeError for a model that is not homogeneous.
    """
    norm = math.sqrt(sum(float(np.square(_double(value)).sum()) for value in grokked.values()))
    return rescaled(memorised, degrees(model), norm)


def _factor(parts: Sequence[tuple[float, int]], norm: float) -> float:
    """c > 0 with Σ_j a_j c^(2 e_j) = norm², for pairs (a_j, e_j).

    Newton in t = ln c on ln Σ a_j exp(2 e_j t) - 2 ln norm, which is convex and rises with a slope of 2 at least: it comes
    down on the root from the right after one step.
    """
    parts = [(a, e) for a, e in parts if a]
    if not (parts and math.isfinite(norm) and all(math.isfinite(a) for a, _ in parts)):
        return math.nan
    if norm == 0:
        return 0.0
    a, e = (np.array(column, dtype=np.float64) for column in zip(*parts, strict=True))
    logs, t = np.log(a), 0.0
    for _ in range(NEWTON_STEPS):
        terms = logs + 2 * e * t
        top = terms.max()
        shares = np.exp(terms - top)
        step = (top + math.log(shares.sum()) - 2 * math.log(norm)) / float(2 * e @ shares / shares.sum())
        t -= step
        if abs(step) < 1e-14:
            break
    return math.exp(t)


def _double(value: Tensor | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(value, dtype=np.float64)


def _times(value: Value, factor: float) -> Value:
    if isinstance(value, Tensor):
        return (value.double() * factor).to(value.dtype)
    return (value.astype(np.float64) * factor).astype(value.dtype)
