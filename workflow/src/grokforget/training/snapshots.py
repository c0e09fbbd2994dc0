"""Where a segment's snapshots are kept until it ends: in memory, or each in a file of its own as soon as it occurs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch

from grokforget.models.states import State, read_state, rounded, write_states
from grokforget.runtime.files import check


class Snapshots(Protocol):
    """Keeps weights by step."""

    def keep(self, step: int, weights: State) -> None:
        """Keep the weights as they are now, whatever becomes of the model."""

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        """The weights of the steps, by their names in the segment's file. Raises DamagedFile where some are lost."""


class InMemory:
    """Snapshots as copies in memory, in a precision, where there is no folder to write to."""

    def __init__(self, precision: str = "float32") -> None:
        self.states: dict[int, State] = {}
        self.dtype: torch.dtype = getattr(torch, precision)

    def keep(self, step: int, weights: State) -> None:
        copies = {name: value.detach().clone() for name, value in weights.items()}
        self.states[step] = rounded(copies, self.dtype)

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        return {str(step): self.states[step] for step in steps}


class OnDisk:
    """A file a snapshot in a folder: a long run holds no more than its own weights, and one that was killed finds its
    snapshots there. A file of a step that is reached again is written again."""

    def __init__(self, folder: Path, precision: str = "float32") -> None:
        self.folder = folder
        self.dtype: torch.dtype = getattr(torch, precision)

    def keep(self, step: int, weights: State) -> None:
        write_states(self.path(step), {str(step): rounded(weights, self.dtype)})

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        """The tensors are views of the files (safetensors maps them), so that joining them reads rather than loads them."""
        return {str(step): rounded(read_state(self.path(step), str(step)), self.dtype) for step in steps}

    def check(self, steps: Iterable[int]) -> None:
        """Raise DamagedFile unless the snapshots of all steps are there and intact."""
        for step in steps:
            check(self.path(step))

    def path(self, step: int) -> Path:
        """The file of one snapshot."""
        return self.folder / f"snapshot{step}.safetensors"
