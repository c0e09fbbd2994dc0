"""Weights of models as safetensors: whole, exact, and unable to run code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from grokforget.runtime.files import opened, sealed, tensor_metadata

State = Mapping[str, Tensor]


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """A copy of a model's weights and buffers."""
    return {name: value.clone() for name, value in model.state_dict().items()}


def write_states(path: Path, states: Mapping[str, State], metadata: Mapping[str, Any] | None = None) -> None:
    """Several state dicts in one file, as ``{name}/{parameter}``."""
    tensors = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, state in states.items()
        for key, value in state.items()
    }
    with sealed(path) as beside:
        save_file(tensors, beside, tensor_metadata(metadata))


def rounded(state: State, dtype: torch.dtype) -> State:
    """The state with what is float32 in the dtype; what has it already is not copied."""
    return {name: value.to(dtype) if value.dtype is torch.float32 else value for name, value in state.items()}


def read_state(path: Path, name: str) -> dict[str, Tensor]:
    """One state dict, of which what was rounded to bfloat16 to be kept is float32 again; KeyError with the names there are
    where it is missing."""
    prefix = f"{name}/"
    with opened(path, "pt") as file:
        keys = list(file.keys())
        state = {key.removeprefix(prefix): _exact(file.get_tensor(key)) for key in keys if key.startswith(prefix)}
    if not state:
        raise KeyError(
            f"{path} holds no state {name!r}; it holds: {', '.join(sorted({k.split('/')[0] for k in keys}))}"
        )
    return state


def _exact(value: Tensor) -> Tensor:
    return value.float() if value.dtype is torch.bfloat16 else value
