"""Fisher forgetting (Golatkar et al. 2020, arXiv 1911.04933)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from grokforget.data.subset import subset
from grokforget.methods.base import UNLEARNING, Method, Problem
from grokforget.methods.fisher_diagonal import fisher_diagonal
from grokforget.runtime.seeds import derive_seed

CLAMP, OUTPUT_CLAMP, FORGOTTEN_ROW = 1e3, 1e2, 1e-4


class FisherForgetting(Method):
    """One shot: θ ← μ + √v · N(0, 1), where v falls with what the retain set, or so many ``examples`` of it drawn evenly, says
    of a weight. Of classification."""

    def __init__(self, *, alpha: float, examples: int | None = None) -> None:
        self.alpha, self.examples = alpha, examples

    def run(self, problem: Problem) -> Iterator[None]:
        model = problem.model
        drawn = subset(problem.retain, self.examples, derive_seed(problem.seed, UNLEARNING, "fisher examples"))
        fisher = problem.once("fisher diagonal", lambda: fisher_diagonal(model, drawn))
        forgotten = whole_class(problem.forget.y, problem.retain.y)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                mean, variance = noise(model, name, fisher[name], self.alpha, forgotten)
                draw = torch.randn(parameter.shape, generator=problem.generator("noise", name)).to(parameter.device)
                parameter.copy_(mean + variance.sqrt() * draw)
        self.diagnostics = {"fisher_saturated_share": saturated_share(model, fisher)}
        yield


def noise(model: nn.Module, name: str, fisher: Tensor, alpha: float, forgotten: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of one parameter.

    v = min(1/(F + 1e-8), 1e3), in the output layer at most 1e2; times α; in weight tensors the mean over the layer's
    inputs. For ``forgotten`` classes (none but in whole-class forgetting) the output row has mean 0 and v = 1e-4. Then
    ×10 in the output layer, else ×10 in 1-d tensors. The authors' code guesses the output layer by its shape; here the
    model names it.
    """
    parameter = model.get_parameter(name)
    is_output = in_output_layer(model, name)
    variance = alpha * (1 / (fisher + 1e-8)).clamp(max=OUTPUT_CLAMP if is_output else CLAMP)
    if parameter.dim() > 1:
        owner = model.get_submodule(name.rpartition(".")[0])
        # An embedding is a linear layer on one-hot inputs, stored the other way round.
        inputs = 0 if isinstance(owner, nn.Embedding) else 1
        variance = variance.mean(dim=inputs, keepdim=True).expand_as(parameter).clone()
    mean = parameter.clone()
    if is_output:
        mean[forgotten] = 0
        variance[forgotten] = FORGOTTEN_ROW
    if is_output or parameter.dim() == 1:
        variance = variance * 10
    return mean, variance


def in_output_layer(model: nn.Module, name: str) -> bool:
    """Whether the parameter belongs to the model's ``output_layer``."""
    return name.startswith(f"{model.output_layer}.")


def whole_class(forget_labels: Tensor, retain_labels: Tensor) -> Tensor:
    """The classes of which nothing is retained."""
    classes = forget_labels.unique()
    return classes[~torch.isin(classes, retain_labels)]


def saturated_share(model: nn.Module, fisher: dict[str, Tensor]) -> float:
    """Share of weights at the clamp: where it is large the noise says nothing of the data any more."""
    at_clamp = sum(
        int((1 / (value + 1e-8) >= (OUTPUT_CLAMP if in_output_layer(model, name) else CLAMP)).sum())
        for name, value in fisher.items()
    )
    return at_clamp / sum(value.numel() for value in fisher.values())
