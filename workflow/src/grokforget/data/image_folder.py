"""A folder of images, one folder a class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from grokforget.data.own import GIVEN, OwnData, Raw
from grokforget.data.refusal import DataError, listed

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg")
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "P", "RGBA")
"""Modes of Pillow that are read; others (16 bits, CMYK) lose by a conversion to 8 bits."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(OwnData):
    """``CLASS/*.png`` below the folder, or ``train/CLASS/*.png`` and ``test/CLASS/*.png`` where a test set is given.

    ``size``: height and width that images are brought to by Pillow's bilinear filter, whatever their shape, or None for images
    of one size. ``colour``: ``grey`` (ITU-R 601), ``rgb``, or None for images that are all the one or the other. Values are
    in [0, 1].
    """

    size: int | None
    colour: str | None

    def read(self, path: Path) -> Raw:
        found = list(images_of(path))
        images: list[np.ndarray] = []
        for _, _, file in found:
            images.append(self.pixels(file))
            if images[-1].shape != images[0].shape:
                what, allowed = unlike(images[0], images[-1])
                raise DataError(file, what, f"{spoken(images[-1])}, and {spoken(images[0])} in {found[0][2]}", allowed)
        parts = [part for part, _, _ in found]
        return Raw(
            np.stack(images) / np.float32(255),
            np.array([label for _, label, _ in found]),
            np.array(parts) if any(parts) else None,
            labels_at="its folders",
            inputs_at="its images",
            parts_at="its folders",
        )

    def pixels(self, file: Path) -> np.ndarray:
        """An image as uint8 (channels, height, width). DataError where it cannot be read as one."""
        from PIL import Image, ImageOps

        try:
            with Image.open(file) as opened:
                # As a camera held it.
                image = self.converted(ImageOps.exif_transpose(opened), file)
        except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise DataError(file, "an image that cannot be read", error, "a whole PNG or JPEG file") from error
        if self.size:
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)

    def converted(self, image: Image, file: Path) -> Image:
        """As 8-bit grey or RGB."""
        if image.mode not in GREY + COLOUR:
            raise DataError(file, "an image of another kind", f"Pillow's mode {image.mode}", "8-bit grey or RGB")
        if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise DataError(file, "an image of another kind", "transparency", "opaque images")
        grey = self.colour == "grey" or (self.colour is None and image.mode in GREY)
        return image.convert("L" if grey else "RGB")


def unlike(first: np.ndarray, other: np.ndarray) -> tuple[str, str]:
    """In what two images differ, and what is allowed."""
    if len(first) != len(other):
        return "images in grey and in colour", "one of them, or `colour: grey` or `colour: rgb` in the study"
    return "images of several sizes", "one size, or `size` in the study"


def spoken(image: np.ndarray) -> str:
    """Size and colour of (channels, height, width)."""
    return f"{image.shape[2]} x {image.shape[1]} pixels in {'grey' if len(image) == 1 else 'colour'}"


def images_of(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Part (``train``, ``test``, or nothing where no test set is given), class and file of every image, sorted. DataError where
    something else lies there; what begins with a dot is passed over."""
    top = entries(folder)
    parts = [folder / part for part in GIVEN]
    if set(parts) <= set(top) and all(any(one.is_dir() for one in entries(part)) for part in parts if part.is_dir()):
        refuse([one for one in top if one not in parts], folder, "train and test alone")
    else:
        parts = [folder]
    for part in parts:
        classes = entries(part)
        refuse([one for one in classes if not one.is_dir()], part, "folders of classes alone")
        if not classes:
            raise DataError(part, "a folder without images", "nothing", "a folder for every class")
        for one in classes:
            files = entries(one)
            refuse(
                [file for file in files if file.is_dir() or file.suffix.lower() not in ENDINGS], one, " ".join(ENDINGS)
            )
            if not files:
                raise DataError(one, "a class without images", "nothing", "at least one image")
            yield from (("" if part is folder else part.name, one.name, file) for file in files)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def refuse(odd: list[Path], folder: Path, allowed: str) -> None:
    """Raise DataError if there is anything odd."""
    if odd:
        raise DataError(folder, "what does not belong there", listed([path.name for path in odd]), allowed)
