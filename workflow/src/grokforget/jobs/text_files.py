"""Text files that appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

from grokforget.runtime.files import whole


def write_text(path: Path, content: str) -> None:
    """In UTF-8."""
    with whole(path) as beside:
        beside.write_text(content, encoding="utf-8")
