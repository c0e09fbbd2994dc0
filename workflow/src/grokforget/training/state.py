"""Models, snapshots and running training states as safetensors: whole, exact, and unable to run code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from grokforget.storage import opened, read_metadata, sealed, tensor_groups, tensor_metadata
from grokforget.training.loop import Segment, TrainingState, start

State = Mapping[str, Tensor]


def write_states(path: Path, states: Mapping[str, State], metadata: Mapping[str, Any] | None = None) -> None:
    """Several state dicts in one file, as ``{name}/{parameter}``."""
    tensors = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, state in states.items()
        for key, value in state.items()
    }
    with sealed(path) as beside:
        save_file(tensors, beside, tensor_metadata(metadata))


def read_state(path: Path, name: str) -> dict[str, Tensor]:
    """One state dict; KeyError with the names there are where it is missing."""
    prefix = f"{name}/"
    with opened(path, "pt") as file:
        keys = list(file.keys())
        state = {key.removeprefix(prefix): file.get_tensor(key) for key in keys if key.startswith(prefix)}
    if not state:
        raise KeyError(
            f"{path} holds no state {name!r}; it holds: {', '.join(sorted({k.split('/')[0] for k in keys}))}"
        )
    return state


def save_training(path: Path, state: TrainingState) -> None:
    """Everything the next step depends on: weights, optimizer state, torch's random state, and the loop's own memory."""
    write_states(path, *_running(state))


def load_training(path: Path, model: nn.Module, optimizer: Mapping[str, Any]) -> TrainingState:
    """Continue where ``save_training`` stopped, bit for bit; sets torch's random state."""
    memory = read_metadata(path)
    model.load_state_dict(read_state(path, "model"))
    state = start(model, optimizer)
    saved = state.optimizer.state_dict()
    parameters = list(model.parameters())
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _optional(path, "optimizer"):
        index, _, key = name.partition(".")
        like = parameters[int(index)]
        # Same memory layout as the parameter: the fused updates walk both in memory order.
        slots.setdefault(int(index), {})[key] = (
            torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        )
    saved["state"] = slots
    state.optimizer.load_state_dict(saved)
    state.step, state.diverged = memory["step"], memory["diverged"]
    state.seen = tuple(memory["seen"]) if memory["seen"] else None
    torch.set_rng_state(read_state(path, "random")["torch"])
    return state


def save_partial(path: Path, state: TrainingState, segment: Segment) -> None:
    """The running state and what there is of its segment, in one file: both are of the same step, or neither is there."""
    states, memory = _running(state)
    snapshots = {f"snapshots/{step}": weights for step, weights in segment.snapshots.items()}
    # Pairs, for metadata are sorted by their keys: the order of a row's is that of the table's columns.
    curve = [list(row.items()) for row in segment.curve]
    write_states(path, {**states, **snapshots}, {**memory, "curve": curve, "snapshots": list(segment.snapshots)})


def load_partial(path: Path, model: nn.Module, optimizer: Mapping[str, Any]) -> tuple[TrainingState, Segment]:
    """Continue where ``save_partial`` stopped, bit for bit."""
    state = load_training(path, model, optimizer)
    memory = read_metadata(path)
    snapshots = {step: read_state(path, f"snapshots/{step}") for step in memory["snapshots"]}
    return state, Segment([dict(row) for row in memory["curve"]], snapshots)


def _running(state: TrainingState) -> tuple[dict[str, State], dict[str, Any]]:
    slots = state.optimizer.state_dict()["state"]
    optimizer = {
        f"{index}.{key}": torch.as_tensor(value)
        for index, values in slots.items()
        for key, value in values.items()
        if value is not None
    }
    memory = {"step": state.step, "diverged": state.diverged, "seen": state.seen}
    return {
        "model": state.model.state_dict(),
        "optimizer": optimizer,
        "random": {"torch": torch.get_rng_state()},
    }, memory


def _optional(path: Path, name: str) -> Iterable[tuple[str, Tensor]]:
    """Plain SGD has no state to keep."""
    return read_state(path, name).items() if name in tensor_groups(path) else ()
