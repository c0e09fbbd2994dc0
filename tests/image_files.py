"""Stand-ins for image files that no study can fetch."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def put_imagenet(folder: Path) -> None:
    """A hundred classes of an image each, and their names, where ``paper-vision`` looks for them below the working folder."""
    names = [f"n{number:08}" for number in range(100)]
    for part in ("train", "test"):
        for name in names:
            path = folder / "data" / "imagenet" / part / name / "one.JPEG"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(path)
    (folder / "data" / "imagenet100.txt").write_text("\n".join(names))
