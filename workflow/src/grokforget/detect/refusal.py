"""What is wrong with a log, said before anything is read off it."""

from __future__ import annotations

from pathlib import Path


class LogError(Exception):
    """A log that cannot be read: which file, what was found in it, and what would do."""

    def __init__(self, path: Path, found: str, allowed: str) -> None:
        super().__init__(path, found, allowed)
        self.path, self.found, self.allowed = path, found, allowed

    def __str__(self) -> str:
        return f"{self.path}: {self.found}; {self.allowed}."
