"""Every analysis of a model that has diverged: the usual rows, and no number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from grokforget.analyses.base import Probe
from grokforget.config.analyses import ANALYSES
from grokforget.config.training import TrainingSettings
from grokforget.data.loader import Examples
from grokforget.data.shape import DataShape
from grokforget.models.cnn import CNN
from grokforget.models.mlp import MLP
from grokforget.models.transformer import Transformer
from grokforget.runtime.components import ComponentSpec

TRAINING = TrainingSettings.model_validate(
    {
        "loss": "cross-entropy",
        "optimizer": {"name": "sgd", "learning_rate": 1e-3},
        "steps": 100,
        "segment_steps": 100,
    }
)
SIZES = {"forget": 9, "retain": 21, "validation": 6, "test": 12}


def built(kind: str) -> nn.Module:
    torch.manual_seed(0)
    if kind == "mlp":
        return MLP(DataShape((6,), 3), hidden=[8, 5], activation="relu", bias=True, initialisation="default").eval()
    if kind == "cnn":
        return CNN(DataShape((1, 8, 8), 3), channels=[2, 3], kernel_size=3, hidden=5).eval()
    return Transformer(DataShape((2,), 3, 5), layers=1, width=8, heads=2, mlp_width=6).eval()


def inputs(kind: str, n: int, drawn: torch.Generator) -> Tensor:
    if kind == "transformer":
        return torch.randint(5, (n, 2), generator=drawn)
    return torch.rand((n, 6) if kind == "mlp" else (n, 1, 8, 8), generator=drawn)


def probe(kind: str) -> Probe:
    drawn, model = torch.Generator().manual_seed(0), built(kind)
    examples = {name: Examples(inputs(kind, n, drawn), torch.arange(n) % 3) for name, n in SIZES.items()}
    other = {name: value + 0.05 for name, value in model.state_dict().items()}
    return Probe(model, examples, TRAINING.objective().build(), 0, TRAINING.recipe(), other, other)


def values_of(analysis: str, given: Probe) -> dict[tuple[str, str], float]:
    spec: ComponentSpec = ANALYSES[analysis]().spec()
    return {(row.measure, row.part): row.value for row in spec.build(given)}


def one_weight(model: nn.Module) -> None:
    next(model.parameters()).view(-1)[0] = math.nan


def all_weights(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.fill_(math.nan)


def outputs_alone(model: nn.Module) -> None:
    """Every weight is finite, and its logits are beyond the largest number of float32."""
    for parameter in model.parameters():
        parameter.mul_(1e30)


# Tokens have no neighbourhood in the maximum norm to be attacked in.
PAIRS = [(name, kind) for name in ANALYSES for kind in ("mlp", "cnn", "transformer")]
PAIRS.remove(("robustness", "transformer"))
# Nor is any of these the data of a group: what is said of such is in test_fourier.py.
PAIRS = [pair for pair in PAIRS if pair[0] != "fourier"]


@pytest.mark.parametrize("spoil", [one_weight, all_weights, outputs_alone])
@pytest.mark.parametrize(("analysis", "kind"), PAIRS)
def test_an_analysis_of_a_diverged_model_has_the_usual_rows_and_no_number(analysis: str, kind: str, spoil) -> None:  # type: ignore[no-untyped-def]
    sound = values_of(analysis, probe(kind))
    assert sound
    assert any(math.isfinite(value) for value in sound.values())
    spoilt = probe(kind)
    with torch.no_grad():
        spoil(spoilt.model)
    found = values_of(analysis, spoilt)
    assert found.keys() == sound.keys()
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize("split", SIZES)
def test_one_output_that_is_not_finite_on_any_split_is_enough(split: str) -> None:
    assert probe("mlp").finite
    given = probe("mlp")
    given.examples[split].x[3, 2] = math.inf
    assert not given.finite
    assert all(math.isnan(value) for value in values_of("ablation", given).values())


def test_an_original_that_has_diverged_is_never_come_back_to() -> None:
    given = probe("mlp")
    for value in given.original.values():
        value.mul_(1e30)
    assert all(math.isnan(value) for value in values_of("relearning", given).values())
