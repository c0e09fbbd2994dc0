"""What inputs are normalised by."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grokforget.data.refusal import DataError

CHUNK_PIXELS = 2**22
"""Of how many pixels at a time statistics are taken."""

How = str | dict[str, list[float]]
"""``none``, ``standardise``, or ``mean`` and ``std``, a number a channel in units of a pixel's whole range."""


def pixel_constants(
    images: np.ndarray, among: np.ndarray, how: How, place: str | Path
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by which a model is to normalise uint8 images (N, C, H, W), each (C,), of pixels as
    numbers in [0, 1].

    Those of ``standardise`` are over the examples ``among``, from exact counts of every value. A channel that is constant there
    has a deviation of 1. DataError where constants are given for another number of channels.
    """
    channels = images.shape[1]
    if isinstance(how, dict):
        check_channels(how, channels, place)
        return tuple(how["mean"]), tuple(how["std"])
    if how == "none":
        return (0.0,) * channels, (1.0,) * channels
    counts = np.zeros((channels, 256), dtype=np.int64)
    rows = max(CHUNK_PIXELS // int(np.prod(images.shape[1:])), 1)
    for start in range(0, len(among), rows):
        for channel, pixels in enumerate(np.moveaxis(images[among[start : start + rows]], 1, 0)):
            counts[channel] += np.bincount(pixels.ravel(), minlength=256)
    values, shares = np.arange(256) / 255, counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * np.square(values - mean[:, None])).sum(axis=1))
    constant = (counts > 0).sum(axis=1) == 1
    return tuple(mean.tolist()), tuple(np.where(constant, 1.0, std).tolist())


def normalised(inputs: np.ndarray, among: np.ndarray, how: How, place: str | Path) -> np.ndarray:
    """Vectors (N, features), or images of floats (N, C, H, W), as numbers of any type. DataError as of ``pixel_constants``."""
    if isinstance(how, dict):
        check_channels(how, inputs.shape[1], place)
        mean, std = (np.array(how[name])[:, None, None] for name in ("mean", "std"))
        return (inputs - mean) / std
    return standardised(inputs, among) if how == "standardise" else inputs


def standardised(inputs: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Every feature (N, features), or every channel of images (N, channels, height, width), with mean 0 and standard deviation
    1 over the examples ``among``: float64. What is constant there becomes 0 where it has that value."""
    values = inputs.astype(np.float64)
    known, how = values[among], {"axis": (0, *range(2, values.ndim)), "keepdims": True}
    # Of a constant, mean and deviation are its own value and 0 only up to rounding.
    low, constant = known.min(**how), known.min(**how) == known.max(**how)
    return (values - np.where(constant, low, known.mean(**how))) / np.where(constant, 1.0, known.std(**how))


def check_channels(how: dict[str, list[float]], channels: int, place: str | Path) -> None:
    """Raise DataError unless there is a mean and a deviation for each channel."""
    numbers = {name: len(values) for name, values in how.items()}
    if set(numbers.values()) != {channels}:
        found = f"{numbers['mean']} means and {numbers['std']} deviations in `normalise`"
        raise DataError(place, "constants for another number of channels", found, f"{channels} of each")
