"""Where a segment's snapshots are kept until it ends: in memory, or each in a file of its own as soon as it occurs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from grokforget.models.states import State, read_state, write_states
from grokforget.runtime.files import check


class Snapshots(Protocol):
    """Keeps weights by step."""

    def keep(self, step: int, weights: State) -> None:
        """Keep the weights as they are now, whatever becomes of the model."""

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        """The weights of the steps, by their names in the segment's file. Raises DamagedFile where some are lost."""


class InMemory:
    """Snapshots as copies in memory, where there is no folder to write to."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {}

    def keep(self, step: int, weights: State) -> None:
        self.states[step] = {name: value.detach().clone() for name, value in weights.items()}

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        return {str(step): self.states[step] for step in steps}


class OnDisk:
    """A file a snapshot in a folder: a long run holds no more than its own weights, and one that was killed finds its
    snapshots there. A file of a step that is reached again is written again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, step: int, weights: State) -> None:
        write_states(self.path(step), {str(step): weights})

    def read(self, steps: Iterable[int]) -> dict[str, State]:
        """The tensors are views of the files (safetensors maps them), so that joining them reads rather than loads them."""
        return {str(step): read_state(self.path(step), str(step)) for step in steps}

    def check(self, steps: Iterable[int]) -> None:
        """Raise DamagedFile unless the snapshots of all steps are there and intact."""
        for step in steps:
            check(self.path(step))

    def path(self, step: int) -> Path:
        """The file of one snapshot."""
        return self.folder / f"snapshot{step}.safetensors"
