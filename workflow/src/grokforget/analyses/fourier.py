"""Fourier measures of models of a cyclic group (after Nanda et al. 2023, arXiv 2301.05217, section 5)."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.analyses.base import Probe, Value, nan_where_diverged
from grokforget.analyses.cyclic import Cyclic, cyclic_task, tokens_of
from grokforget.analyses.run_probe import RunProbe
from grokforget.data.loader import Examples
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer

SETS = {"train": "retain", "test": "test"}
PAIRS = 8192
"""Pairs whose logits are computed at once, about."""


@nan_where_diverged
def fourier(probe: Probe, *, share: float) -> list[Value]:
    """How much of the model is waves of the answer's place in the group, in float64 from float32 logits and weights.

    Tokens have places i in Z_n (``cyclic.py``), and the answer to a pair stands at c = i + s·j. A wave of frequency k, from 1 to
    n/2, is cos(2πkc/n) and sin(2πkc/n) in the logits, their mean over classes, which softmax does not see, taken off. The key
    frequencies are the fewest that have ``share`` of the power of all waves in the last snapshot of the run (``RunProbe``), or in
    the model itself where no run is known: Nanda et al. read five off the last one.

    ``wave_share``: of the variance of the logits over all pairs what is waves. ``key_frequencies``: how many have ``share`` of
    the waves' power in this snapshot; ``key_power``: the share that the run's have in it; ``frequency_power``, part k: that of
    each. ``restricted_loss`` of ``train`` and ``test``: mean cross-entropy (nats) where the logits are their mean over all pairs
    and the waves of the key frequencies alone; ``excluded_loss``: where these waves are taken out and all else stays.
    ``fourier_gini``: Gini coefficient of the norms of the Fourier components, frequency by frequency, of the ``embedding``, or of
    ``embedding.0`` and ``embedding.1``, the first layer's part of either token, over the tokens' places, and of ``output``, the
    weights from the last hidden neurons to the classes, over the classes'; 0 where all are equal, near 1 where one is all.

    The train set is ``retain``. No rows for data that are no pairs of a cyclic group; no ``fourier_gini`` for models other than
    ``mlp`` and ``transformer``.
    """
    task = cyclic_task(probe)
    if task is None:
        return []
    waves = waves_of(probe.model, task)
    last = waves
    if isinstance(probe, RunProbe) and probe.last:
        at_the_end = copy.deepcopy(probe.model)
        at_the_end.load_state_dict(dict(probe.last))
        last = waves_of(at_the_end, task)
    key = key_frequencies(last.power, share)
    power = waves.power / waves.power.sum()
    values = [
        Value("wave_share", "", (waves.power.sum() / waves.total).item()),
        Value("key_frequencies", "", float(len(key_frequencies(waves.power, share)))),
        Value("key_power", "", power[key - 1].sum().item()),
        *(Value("frequency_power", str(k), one) for k, one in enumerate(power.tolist(), start=1)),
    ]
    for name, split in SETS.items():
        restricted, excluded = losses(probe.model, probe.examples[split], task, waves, key)
        values += [Value("restricted_loss", name, restricted), Value("excluded_loss", name, excluded)]
    for name, matrix in over_places(probe.model, task).items():
        values.append(Value("fourier_gini", name, gini(component_norms(matrix))))
    return values


class Waves(NamedTuple):
    """The logits' means by the answer's place c: ``means`` (n, K); ``power`` (n/2,) of their waves by frequency from 1, a mean
    over pairs of squares summed over classes; ``total``, the variance of the logits, alike. Without their mean over classes;
    float64."""

    means: Tensor
    power: Tensor
    total: Tensor


@torch.no_grad()
def waves_of(model: nn.Module, task: Cyclic) -> Waves:
    """Of the logits of all n² pairs, a few rows of which are computed at once."""
    n, device = task.n, next(model.parameters()).device
    places = torch.arange(n)
    means = squares = torch.zeros((), dtype=torch.float64, device=device)
    for rows in places.split(max(PAIRS // n, 1)):
        pairs = torch.cartesian_prod(rows, places)
        logits = centred(model(model.encode(task.tokens[pairs]).to(device)))  # type: ignore[operator]
        sums = logits.new_zeros(n, logits.shape[1])
        means = means + sums.index_add_(0, task.answer(pairs).to(device), logits) / n
        squares = squares + logits.square().sum() / n**2
    spectrum = torch.fft.rfft(means, dim=0) / n
    power = spectrum.abs().square().sum(1) * twice(n, device)
    return Waves(means, power[1:], squares - means.mean(0).square().sum())


def twice(n: int, device: torch.device) -> Tensor:
    """How often the frequencies of ``rfft`` stand for one of the n of ``fft``: (n // 2 + 1,)."""
    k = torch.arange(n // 2 + 1, device=device)
    return torch.where((k == 0) | (2 * k == n), 1.0, 2.0).double()


def key_frequencies(power: Tensor, share: float) -> Tensor:
    """The fewest frequencies, from 1, that have a share of the power (frequencies,); int64, the strongest first. All where
    the power is not finite."""
    strongest = power.argsort(descending=True, stable=True)
    missing = power[strongest].cumsum(0) < share * power.sum()
    return strongest[: int(missing.sum()) + 1] + 1 if power.isfinite().all() else strongest + 1


def losses(model: nn.Module, examples: Examples, task: Cyclic, waves: Waves, key: Tensor) -> tuple[float, float]:
    """Restricted and excluded loss of examples whose tokens have places; NaN where there are none."""
    pairs = task.places[tokens_of(model, examples.x).cpu()]
    known = (pairs >= 0).all(1)
    if not known.any():
        return math.nan, math.nan
    index = known.nonzero()[:, 0].to(examples.y.device)
    spectrum = torch.fft.rfft(waves.means, dim=0)
    kept = torch.zeros_like(spectrum)
    kept[key] = spectrum[key]
    of_key = torch.fft.irfft(kept, n=task.n, dim=0)[task.answer(pairs[known]).to(waves.means.device)]
    with torch.no_grad():
        logits = centred(model(examples.x[index]))
    labels = examples.y[index]
    restricted = functional.cross_entropy(waves.means.mean(0) + of_key, labels)
    return restricted.item(), functional.cross_entropy(logits - of_key, labels).item()


def centred(logits: Tensor) -> Tensor:
    """Without their mean over classes, (N, K) float64."""
    logits = logits.double()
    return logits - logits.mean(1, keepdim=True)


def over_places(model: nn.Module, task: Cyclic) -> dict[str, Tensor]:
    """Weights with a row a place of a token, or of a class, float64 (n, ...), by name; none of other models."""
    if isinstance(model, MLP):
        first = model.features[0].get_parameter("weight").detach().double().T
        tables = {f"embedding.{number}": part for number, part in enumerate(first.split(model.vocabulary))}
        to_classes = model.output.weight
    elif isinstance(model, Transformer):
        tables = {"embedding": model.token.weight.detach().double()}
        to_classes = model.output.weight @ model.blocks[-1].mlp_out.weight  # type: ignore[operator, union-attr]
    else:
        return {}
    tables["output"] = to_classes.detach().double()
    return {name: table[task.tokens.to(table.device)] for name, table in tables.items()}


def component_norms(matrix: Tensor) -> Tensor:
    """Norm of each frequency's part, from 1, of the columns of a matrix (n, m): (n // 2,)."""
    n = len(matrix)
    power = torch.fft.rfft(matrix, dim=0).abs().square().sum(1) * twice(n, matrix.device) / n
    return power[1:].sqrt()


def gini(sizes: Tensor) -> float:
    """Gini coefficient of sizes (N,) ≥ 0 (Hurley & Rickard 2009, arXiv 0811.4706): 1 - 2 Σ_k c_k/‖c‖₁ (N - k + 1/2)/N of the
    sizes c_1 ≤ ... ≤ c_N; NaN where all are 0."""
    ordered, n = sizes.sort().values, len(sizes)
    weights = (n - torch.arange(1, n + 1, device=sizes.device) + 0.5) / n
    return (1 - 2 * (ordered / ordered.sum() * weights).sum()).item()
