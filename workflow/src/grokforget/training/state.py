"""Running training states as safetensors: whole, exact, and unable to run code."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grokforget.models.states import State, read_state, write_states
from grokforget.runtime.files import read_metadata, tensor_groups
from grokforget.training.loop import Segment, TrainingState, start

if TYPE_CHECKING:
    from grokforget.config.training import OptimizerSpec
    from grokforget.training.snapshots import OnDisk


def save_training(path: Path, state: TrainingState) -> None:
    """Everything the next step depends on: weights, optimizer state, what a gradient filter remembers, torch's random state
    (that of the CPU and, where CUDA is in use, of every GPU), and the loop's own memory."""
    write_states(path, *_running(state))


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: OptimizerSpec,
    takes_over: Collection[str] = ("optimizer", "gradient_filter"),
) -> TrainingState:
    """Continue where ``save_training`` stopped, bit for bit, or with the memory of those alone that ``takes_over`` names; sets
    torch's random state."""
    memory = read_metadata(path)
    model.load_state_dict(read_state(path, "model"))
    state = start(model, optimizer)
    saved = state.optimizer.state_dict()
    # In the optimizer's order, which numbers them: that of its groups, which is the model's own where there is one.
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _optional(path, "optimizer") if "optimizer" in takes_over else ():
        index, _, key = name.partition(".")
        like = parameters[int(index)]
        # Same memory layout as the parameter: the fused updates walk both in memory order.
        slots.setdefault(int(index), {})[key] = (
            torch.empty_like(like).copy_(value) if value.shape == like.shape else value
        )
    saved["state"] = slots
    state.optimizer.load_state_dict(saved)
    if state.gradient_filter and "gradient_filter" in takes_over:
        # Copies, for what was read may be a view of the file. A count is read every update, and stays on the CPU.
        device = next(model.parameters()).device
        state.gradient_filter.memory = {
            name: value.to(device if value.is_floating_point() else "cpu", copy=True)
            for name, value in _optional(path, "gradient_filter")
        }
    state.step, state.diverged = memory["step"], memory["diverged"]
    state.seen = tuple(memory["seen"]) if memory["seen"] else None
    _set_random(read_state(path, "random"))
    return state


def save_partial(path: Path, state: TrainingState, segment: Segment) -> None:
    """The running state and what there is of its segment, in one file: both are of the same step, or neither is there.

    The snapshots have files of their own, which were written before: of them only the steps are noted.
    """
    states, memory = _running(state)
    # Pairs, for metadata are sorted by their keys: the order of a row's is that of the table's columns.
    curve = [list(row.items()) for row in segment.curve]
    write_states(path, states, {**memory, "curve": curve, "snapshots": segment.snapshots})


def load_partial(
    path: Path, model: nn.Module, optimizer: OptimizerSpec, snapshots: OnDisk
) -> tuple[TrainingState, Segment]:
    """Continue where ``save_partial`` stopped, bit for bit. Raises DamagedFile, with the model left as it was, where the
    file or a snapshot that it notes is damaged or missing."""
    memory = read_metadata(path)
    snapshots.check(memory["snapshots"])
    state = load_training(path, model, optimizer)
    return state, Segment([dict(row) for row in memory["curve"]], memory["snapshots"])


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
        "random": _random(),
        "gradient_filter": state.gradient_filter.memory if state.gradient_filter else {},
    }, memory


def _random() -> dict[str, Tensor]:
    """torch's random state: ``torch`` on the CPU, ``cuda<number>`` on each GPU where CUDA is in use."""
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return {"torch": torch.get_rng_state(), **{f"cuda{number}": value for number, value in enumerate(gpus)}}


def _set_random(saved: State) -> None:
    """Put back what ``_random`` gave; of GPUs that this machine does not have there is nothing to put back."""
    torch.set_rng_state(saved["torch"])
    for number in range(torch.cuda.device_count()):
        if f"cuda{number}" in saved:
            torch.cuda.set_rng_state(saved[f"cuda{number}"], number)


def _optional(path: Path, name: str) -> Iterable[tuple[str, Tensor]]:
    """Plain SGD has no state to keep, nor have filters without memory."""
    return read_state(path, name).items() if name in tensor_groups(path) else ()
