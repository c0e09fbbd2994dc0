"""The exact diagonal of the Fisher information, in K backward passes over whole batches, and the empirical one in one.

F_j = 1/N Σ_x Σ_y p(y|x) (∂_j[-log p(y|x)])², with a sum over classes: it is defined for classification. The empirical one,
1/N Σ_n (∂_j ℓ_n)², has each example's loss of its own target in the sum's place. Squaring the gradient of a batch mean, as
is often seen, gives another quantity. The per-example gradients are never formed where a layer sees an example once: for a
linear layer with input a and output gradient δ, Σ_n (δ_no a_ni)² = (δ²)ᵀ(a²). Where it sees an example at L positions (a
convolution after unfolding, a token's layer), the gradient is a sum over positions, and for small L its square is expanded
into L(L+1)/2 such products. What follows from no layer's inputs and outputs (a layer called twice, shared weights, a
parameter of the model itself, a grouped convolution) is formed example by example.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokforget.data.loader import Examples
from grokforget.models.linear import Linear
from grokforget.training.modes import batch_norms, in_eval_mode

EXPANDED_POSITIONS = 4
"""Up to so many positions L the square is expanded; above, per-example gradients (N, out, in) are formed in chunks."""
CHUNK_FLOATS = 2**22
"""Largest number of floats of such a chunk: 16 MB stays near the cache."""

Forward = Callable[[Tensor], Tensor]
Terms = Callable[[Tensor, Tensor], Iterable[Tensor]]
"""Outputs and targets of N examples → tensors (N,), the squares of whose gradients, example by example, are summed."""


def fisher_diagonal(model: nn.Module, examples: Examples, batch_size: int = 1024) -> dict[str, Tensor]:
    """F for every parameter, shaped as it is, by name; see ``mean_squares``. Outputs are logits (N, K)."""
    return mean_squares(model, examples, _weighted_classes, batch_size)


def _weighted_classes(logits: Tensor, _: Tensor) -> list[Tensor]:
    """√p(y|x) · log p(y|x) by class: a constant √p on each example's gradient is p on its square."""
    # Also where p is 1 to the last bit of float32: F is then that of the other classes, whose p keep their digits.
    log_p = functional.log_softmax(logits, 1)
    weight = (log_p.detach() / 2).exp()
    return [weight[:, y] * log_p[:, y] for y in range(logits.shape[1])]


@torch.enable_grad()
def mean_squares(model: nn.Module, examples: Examples, terms: Terms, batch_size: int = 1024) -> dict[str, Tensor]:
    """1/N Σ_n Σ_terms (∂_j term_n)² for every parameter, shaped as it is, by name; eval mode, so that a batch norm is the
    fixed linear map of its running statistics, whose weight and bias have exact squares like any other.

    A model whose ``forward`` shares work between examples offers ``per_example_forward``. Raises TypeError for a batch norm
    without running statistics, which makes examples depend on each other, and for parameters whose per-example gradients
    ``torch.func.vmap`` cannot form (it says why).
    """
    forward: Forward = getattr(model, "per_example_forward", model)
    refuse_mixed_examples(model)
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    with in_eval_mode(model):
        layers = _plain_layers(model, forward, examples.x[:1])
        covered = {f"{name}.{key}" for name, layer in layers.items() for key in dict(layer.named_parameters())}
        rest = [name for name in total if name not in covered]
        for x, y in zip(examples.x.split(batch_size), examples.y.split(batch_size), strict=True):
            part = Examples(x, y)
            sums = _from_calls(layers, forward, part, terms) | _from_examples(model, rest, part, terms)
            for name, value in sums.items():
                total[name] += value
    return {name: value / len(examples) for name, value in total.items()}


def refuse_mixed_examples(model: nn.Module) -> None:
    """Raise TypeError for a batch norm without running statistics, with which a single example has no gradient of its own."""
    for norm in batch_norms(model):
        if norm.running_mean is None:
            raise TypeError("no exact Fisher diagonal: a batch norm without running statistics mixes examples")


# layers whose squares follow from what goes in and comes out


@dataclass
class _Call:
    """One use of a layer: what went in, in which version of its memory, and its output in the graph."""

    inputs: Tensor
    version: int
    output: Tensor


def _plain_layers(model: nn.Module, forward: Forward, x: Tensor) -> dict[str, nn.Module]:
    """The layers that ``_squares`` knows, that are called once, with the examples along the first dimension, and whose
    parameters serve nothing but that call.

    Found by trying with 2 and with 3 examples: neither another dimension, nor one into which positions are merged, is as
    long as the batch both times.
    """
    owners = Counter(id(p) for module in model.modules() for p in module.parameters(recurse=False))
    layers = {
        name: module
        for name, module in model.named_modules()
        if name and _known(module) and all(owners[id(p)] == 1 for p in module.parameters(recurse=False))
    }
    for n in (2, 3):
        calls, logits = _recorded(layers, forward, torch.cat([x] * n), cut=True)
        own = [p for layer in layers.values() for p in layer.parameters() if p.requires_grad]
        # The graph is cut behind every layer: what an input, or the logits, still depend on is used beside its layer's call.
        ends = [
            end.sum() for end in (logits, *(c.inputs for some in calls.values() for c in some)) if end.requires_grad
        ]
        reached = torch.autograd.grad(ends, own, allow_unused=True) if own and ends else ()
        beside = {id(p) for p, gradient in zip(own, reached, strict=False) if gradient is not None}
        layers = {
            name: layer
            for name, layer in layers.items()
            if [(len(call.inputs), len(call.output)) for call in calls[name]] == [(n, n)]
            and beside.isdisjoint(map(id, layer.parameters()))
        }
    return layers


def _known(module: nn.Module) -> bool:
    """Whether the module's squares have a formula here; not a subclass's, which may compute something else."""
    if not {"weight"} <= {key for key, _ in module.named_parameters()} <= {"weight", "bias"}:
        return False
    if isinstance(module, nn.Conv2d):
        plain = module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return plain and type(module) is nn.Conv2d
    if isinstance(module, nn.Embedding):
        plain = module.padding_idx is None and module.max_norm is None and not module.scale_grad_by_freq
        return plain and type(module) is nn.Embedding
    return type(module) in (
        nn.Linear,
        Linear,
        nn.LayerNorm,
        nn.GroupNorm,
        nn.BatchNorm1d,
        nn.BatchNorm2d,
        nn.BatchNorm3d,
    )


def _recorded(
    layers: Mapping[str, nn.Module], forward: Forward, x: Tensor, cut: bool = False
) -> tuple[dict[str, list[_Call]], Tensor]:
    """The calls of every layer and the logits (N, K); with ``cut`` no gradient flows back through a layer."""
    calls: dict[str, list[_Call]] = {name: [] for name in layers}

    def record(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], dict[str, Tensor], Tensor], Tensor]:
        def hook(_: nn.Module, args: tuple[Tensor, ...], named: dict[str, Tensor], output: Tensor) -> Tensor:
            if cut or not output.requires_grad:  # as behind frozen weights
                output = output.detach().requires_grad_()
            (inputs,) = (*args, *named.values())
            calls[name].append(_Call(inputs, inputs._version, output))
            return output.clone()  # which an activation that works in place may overwrite

        return hook

    handles = [layer.register_forward_hook(record(name), with_kwargs=True) for name, layer in layers.items()]
    try:
        logits = forward(x)
    finally:
        for handle in handles:
            handle.remove()
    return calls, logits


def _from_calls(
    layers: Mapping[str, nn.Module], forward: Forward, examples: Examples, terms: Terms
) -> dict[str, Tensor]:
    """Σ_n Σ_terms of the layers' parameters, by name."""
    if not layers:
        return {}
    recorded, logits = _recorded(layers, forward, examples.x)
    for name, calls in recorded.items():
        if [len(call.output) for call in calls] != [len(examples)] or calls[0].inputs._version != calls[0].version:
            raise TypeError(f"no exact Fisher diagonal: {name} is called in another way, or its input changed in place")
    inputs = [_seen(layer, recorded[name][0].inputs.detach()) for name, layer in layers.items()]
    outputs = [recorded[name][0].output for name in layers]
    total: dict[str, Tensor] = {}
    for term in terms(logits, examples.y):
        # Zeros for a layer that the logits do not depend on.
        gradients = torch.autograd.grad(term.sum(), outputs, retain_graph=True, materialize_grads=True)
        for (name, layer), a, gradient in zip(layers.items(), inputs, gradients, strict=True):
            for key, value in _squares(layer, a, gradient).items():
                total[f"{name}.{key}"] = total.get(f"{name}.{key}", 0) + value
    return total


def _seen(layer: nn.Module, inputs: Tensor) -> Tensor:
    """What meets the weight, by position: (N, L, features), or an embedding's indices (N, L)."""
    match layer:
        case nn.Embedding():
            return inputs.flatten(1)
        case nn.Conv2d():
            unfolded = functional.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
            return unfolded.mT
        case nn.LayerNorm():
            inputs = functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        case nn.GroupNorm():
            inputs = functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            inputs = functional.batch_norm(inputs, layer.running_mean, layer.running_var, eps=layer.eps)
    return _by_position(layer, inputs)


def _by_position(layer: nn.Module, x: Tensor) -> Tensor:
    """(N, L, features) of what goes into or comes out of a layer, whose features are its channels or its last dimensions."""
    n = len(x)
    if isinstance(layer, nn.LayerNorm):
        return x.reshape(n, -1, layer.weight.numel())
    if isinstance(layer, nn.Linear | nn.Embedding):
        return x.reshape(n, -1, x.shape[-1])
    return x.reshape(n, x.shape[1], -1).mT


def _squares(layer: nn.Module, seen: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Σ_n (per-example gradient)² of the layer's parameters, from what its weight met and the gradient of its output."""
    delta, weight = _by_position(layer, gradient), layer.get_parameter("weight")
    if isinstance(layer, nn.Embedding):
        return {"weight": _scattered(seen, delta, weight)}
    if isinstance(layer, nn.Linear | nn.Conv2d):
        squares = {"weight": _products(seen, delta).view(weight.shape)}
    else:
        squares = {"weight": (seen * delta).sum(1).square().sum(0).view(weight.shape)}
    if layer.bias is not None:
        squares["bias"] = delta.sum(1).square().sum(0).view(layer.get_parameter("bias").shape)
    return squares


def _products(inputs: Tensor, delta: Tensor) -> Tensor:
    """Σ_n (Σ_l δ_nlo a_nli)², (out, in)."""
    positions, n_out, n_in = delta.shape[1], delta.shape[2], inputs.shape[2]
    if positions <= EXPANDED_POSITIONS:
        total = delta.new_zeros(n_out, n_in)
        for i in range(positions):
            for j in range(i + 1):
                product = (delta[:, i] * delta[:, j]).T @ (inputs[:, i] * inputs[:, j])
                total += product if i == j else 2 * product
        return total
    rows = max(CHUNK_FLOATS // (n_out * n_in), 1)
    chunks = zip(delta.split(rows), inputs.split(rows), strict=True)
    return torch.stack([(d.mT @ a).square_().sum(0) for d, a in chunks]).sum(0)


def _scattered(index: Tensor, delta: Tensor, weight: Tensor) -> Tensor:
    """An embedding's: rows that an example uses at several positions get the square of the sum over those positions."""
    same = index[:, :, None] == index[:, None, :]
    first = same.tril(-1).any(2).logical_not()  # one position stands for all that share its row
    summed = (same.to(delta.dtype) @ delta) * first[..., None]
    return torch.zeros_like(weight).index_add_(0, index.flatten(), (summed**2).flatten(0, 1))


# all other parameters


def _from_examples(model: nn.Module, names: Sequence[str], examples: Examples, terms: Terms) -> dict[str, Tensor]:
    """Σ_n Σ_terms of the parameters named, from every example's gradients as they are."""
    if not names:
        return {}
    wrapped = _PerExample(model)
    others = {f"model.{name}": p.detach() for name, p in model.named_parameters()}
    chosen = {name: others.pop(f"model.{name}") for name in names}

    def values_of(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        own = {f"model.{name}": value for name, value in parameters.items()}
        outputs = torch.func.functional_call(wrapped, others | own, (x[None],))
        return torch.stack([term[0] for term in terms(outputs, y[None])])

    with torch.no_grad():
        n_terms = len(list(terms(wrapped(examples.x[:1]), examples.y[:1])))
    rows = max(CHUNK_FLOATS // (n_terms * sum(p.numel() for p in chosen.values())), 1)
    total = {name: torch.zeros_like(p) for name, p in chosen.items()}
    jacobians = torch.func.vmap(torch.func.jacrev(values_of), (None, 0, 0))
    for x, y in zip(examples.x.split(rows), examples.y.split(rows), strict=True):
        try:
            jacobian = jacobians(chosen, x, y)
        except RuntimeError as error:
            raise TypeError(f"no exact Fisher diagonal for {', '.join(names)}, example by example: {error}") from error
        for name, value in total.items():
            value += jacobian[name].square().sum((0, 1))
    return total


class _PerExample(nn.Module):
    """``per_example_forward`` as a module, which ``functional_call`` wants."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self.model, "per_example_forward", self.model)(x)
