"""A folder of images, one folder a class.

Every image is read once, by as many threads as there are cores for this process (Pillow lets others run while it decodes and
scales), and goes into one temporary file that is mapped into memory, in the folder that TMPDIR names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from grokforget.data.own import GIVEN, OwnData, Raw
from grokforget.data.refusal import DataError, listed

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg")
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "P", "RGBA")
"""Modes of Pillow that are read; others (16 bits, CMYK) lose by a conversion to 8 bits."""

BLOCK = 1024
"""Images that are under way at a time."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(OwnData):
    """``CLASS/*.png`` below the folder, or ``train/CLASS/*.png`` and ``test/CLASS/*.png`` where a test set is given; where
    ``classes`` names any, the folders of these, of each part in turn.

    ``size``: height and width that images are brought to by Pillow's bilinear filter, or None for images of one size; ``fit``
    says what becomes of the proportions of others than squares: ``stretch`` changes them, ``crop`` takes the largest square
    in the middle. ``colour``: ``grey`` (ITU-R 601), ``rgb``, or None for images that are all the one or the other.
    """

    size: int | None
    colour: str | None
    fit: str = "stretch"
    classes: Sequence[str] = ()

    def read(self, *files: Path) -> Raw:
        found = list(self.images_of(files))
        first = self.pixels(found[0][2])
        images = self.all_pixels([file for _, _, file in found], first)
        parts = [part for part, _, _ in found]
        return Raw(
            images,
            np.array([label for _, label, _ in found]),
            np.array(parts) if any(parts) else None,
            labels_at="its folders",
            inputs_at="its images",
            parts_at="its folders",
        )

    def images_of(self, folders: Sequence[Path]) -> Iterator[tuple[str, str, Path]]:
        """Part, class and file of every image, as the function of that name says."""
        if not self.classes:
            (folder,) = folders
            yield from images_of(folder)
            return
        parted = len(folders) > len(self.classes)
        for one in folders:
            yield from ((one.parent.name if parted else "", one.name, file) for file in files_of(one))

    def all_pixels(self, files: Sequence[Path], first: np.ndarray) -> np.ndarray:
        """All images (N, channels, height, width), uint8, as large as the ``first`` one, mapped from a file that goes with them.
        DataError, of the first file that is wrong, where one cannot be read or has another shape."""
        with TemporaryFile() as file:
            images = np.memmap(file, np.uint8, "w+", shape=(len(files), *first.shape))

        def put(position: int) -> None:
            pixels = self.pixels(files[position])
            if pixels.shape != first.shape:
                what, allowed = unlike(first, pixels)
                found = f"{spoken(pixels)}, and {spoken(first)} in {files[0]}"
                raise DataError(files[position], what, found, allowed)
            images[position] = pixels

        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(files), BLOCK):
                for _ in pool.map(put, range(start, min(start + BLOCK, len(files)))):
                    pass
        return np.asarray(images)

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
            square = (self.size, self.size)
            bilinear = Image.Resampling.BILINEAR
            image = ImageOps.fit(image, square, bilinear) if self.fit == "crop" else image.resize(square, bilinear)
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
            yield from (("" if part is folder else part.name, one.name, file) for file in files_of(one))


def files_of(folder: Path) -> list[Path]:
    """The images of a class."""
    files = entries(folder)
    refuse([file for file in files if file.suffix.lower() not in ENDINGS or file.is_dir()], folder, " ".join(ENDINGS))
    if not files:
        raise DataError(folder, "a class without images", "nothing", "at least one image")
    return files


def cores() -> int:
    """How many cores this process is to use: as many as numerical libraries are told to."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdecimal() and int(told) else os.cpu_count() or 1


def entries(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden, sorted by name."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def refuse(odd: list[Path], folder: Path, allowed: str) -> None:
    """Raise DataError if there is anything odd."""
    if odd:
        raise DataError(folder, "what does not belong there", listed([path.name for path in odd]), allowed)
