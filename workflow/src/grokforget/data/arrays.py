"""Arrays of a NumPy file."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grokforget.data.own import GIVEN, OwnData, Raw
from grokforget.data.refusal import DataError, listed

WHOLE, HALVES = ("x", "y"), tuple(f"{what}_{part}" for part in GIVEN for what in "xy")
FORMS = (WHOLE, (*WHOLE, "split"), HALVES)
"""The names that the arrays of a file have, together."""


@dataclass(frozen=True, kw_only=True)
class Arrays(OwnData):
    """``x`` and ``y`` of an .npz file, with ``split`` where a test set is given, or ``x_train``, ``y_train``, ``x_test`` and
    ``y_test``.

    ``inputs`` is ``vectors`` or ``images``; ``channels`` says where those of images stand, ``first``, ``last``, or None where
    the shape tells. Images of uint8 stay uint8.
    """

    inputs: str
    channels: str | None

    def read(self, *files: Path) -> Raw:
        (path,) = files
        arrays = arrays_of(path)
        if sorted(arrays) not in [sorted(form) for form in FORMS]:
            allowed = "; or ".join(", ".join(form) for form in FORMS)
            raise DataError(path, "arrays of other names", listed(sorted(arrays)), allowed)
        if "x" in arrays:
            x, y = self.pair(arrays, "x", "y", path)
            parts = arrays.get("split")
            if parts is not None and (parts.shape != y.shape or parts.dtype.kind not in "US"):
                raise DataError(path, "split", described(parts), f"{len(y)} texts, each train or test")
            return Raw(self.arranged(x, "x", path), y, parts)
        halves = [self.pair(arrays, f"x_{part}", f"y_{part}", path) for part in GIVEN]
        for name, first, second in zip("xy", *halves, strict=True):
            if (first.shape[1:], first.dtype.kind) != (second.shape[1:], second.dtype.kind):
                what = f"{name}_test that does not fit {name}_train"
                raise DataError(path, what, described(second), f"as {described(first)}, but for the number of examples")
        x, y = (np.concatenate(half) for half in zip(*halves, strict=True))
        parts = np.repeat(GIVEN, [len(labels) for _, labels in halves])
        return Raw(self.arranged(x, "x_train", path), y, parts, "y_train and y_test", "x_train and x_test")

    def pair(
        self, arrays: dict[str, np.ndarray], x_name: str, y_name: str, path: Path
    ) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and labels of as many examples. DataError for other shapes and types."""
        x, y = arrays[x_name], arrays[y_name]
        if x.dtype.kind not in "biuf":
            raise DataError(path, x_name, described(x), "real numbers")
        dimensions = {"vectors": "(N, features)", "images": "(N, height, width), or with channels"}
        if x.ndim not in {"vectors": (2,), "images": (3, 4)}[self.inputs]:
            hint = "; images need `inputs: images`" if self.inputs == "vectors" else ""
            raise DataError(path, x_name, described(x), f"{self.inputs} {dimensions[self.inputs]}{hint}")
        if y.shape != (len(x),):
            raise DataError(path, y_name, described(y), f"one label for each of the {len(x)} examples of {x_name}")
        return x, y

    def arranged(self, x: np.ndarray, name: str, path: Path) -> np.ndarray:
        """Vectors as they are, images (N, height, width) or (N, ...) with channels as (N, channels, height, width)."""
        if self.inputs == "vectors":
            return x
        if x.ndim == 3:
            return x[:, None]
        told = [place for place, axis in (("first", 1), ("last", 3)) if x.shape[axis] in (1, 3)]
        if not self.channels and len(told) != 1:
            what = f"{name} whose shape does not tell where the channels are"
            raise DataError(path, what, f"shape {x.shape}", "`channels: first` or `channels: last` in the study")
        return x if (self.channels or told[0]) == "first" else np.moveaxis(x, 3, 1)


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file by name. DataError where it is none, or one of them holds Python objects: reading those can
    run code."""
    unreadable = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)
    try:
        file = np.load(path, allow_pickle=False)
    except unreadable as error:
        raise DataError(path, "a file that cannot be read", error, "arrays written by numpy.savez") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(path, "a file that cannot be read", "a single array", "arrays written by numpy.savez")
    arrays = {}
    with file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except unreadable as error:
                allowed = "numbers or texts, written without pickling (texts as `array.astype(str)`)"
                raise DataError(path, f"an array {name} that cannot be read", error, allowed) from error
    return arrays


def described(array: np.ndarray) -> str:
    """Shape and type."""
    return f"{array.dtype} of shape {array.shape}"
