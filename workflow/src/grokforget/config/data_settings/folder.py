"""Images of the user's, one folder a class."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.data_settings.own import OwnFile, absolute, file_of, folder, of_all
from grokforget.config.work import Extent
from grokforget.runtime.components import ComponentSpec


class ImageFolder(OwnFile):
    """A folder of images: ``FOLDER/CLASS/*.png``, or, where a test set is given, ``FOLDER/train/CLASS/*.png`` and
    ``FOLDER/test/CLASS/*.png``. Pixels are stored as uint8, and models see them in [0, 1]."""

    implementation: ClassVar[str] = "grokforget.data.image_folder:ImageFolder"
    inputs: ClassVar[str] = "images"
    threads: ClassVar[int] = 16

    kind: Literal["image-folder"] = "image-folder"
    path: Annotated[str, AfterValidator(folder)]
    """The folder; its images end in .png, .jpg or .jpeg, and hidden files are passed over. A relative path begins where
    Snakemake runs, as ``results/`` does."""
    classes: Annotated[str, AfterValidator(file_of(".txt"))] | None = None
    """A .txt file with the names of the folders of classes to read, one a line: ImageNet-100 out of ImageNet's folder. null is
    all that are there."""
    size: int | None = Field(default=None, ge=1, le=4096)
    """Height and width that every image is brought to, pixels; null is for images that all have one size."""
    fit: Literal["stretch", "crop"] = "stretch"
    """How an image that is no square is brought to ``size``: ``stretch`` changes its proportions; ``crop`` keeps them and cuts
    off what is too much, the same on both sides."""
    colour: Literal["grey", "rgb"] | None = None
    """What every image is turned into; null is for images that all are grey or all in colour."""
    paper: Literal["imagenet100"] | None = None
    """Given where these are images of the paper: beside which of its numbers they stand."""

    @property
    def image_side(self) -> int:  # type: ignore[override]  # here the settings tell
        return self.size or 0

    @property
    def in_paper(self) -> str | None:  # type: ignore[override]  # likewise
        return self.paper

    @property
    def image_channels(self) -> int:  # type: ignore[override]  # likewise
        return {"grey": 1, "rgb": 3, None: 0}[self.colour]

    def named(self) -> list[str]:
        """The classes that are asked for by name, sorted."""
        if self.classes is None:
            return []
        return sorted(line.strip() for line in absolute(self.classes).read_text("utf-8").splitlines() if line.strip())

    def files(self) -> list[str]:
        """The folder, or of ``classes`` their folders in it."""
        folders = [str(absolute(self.path))]
        if self.classes is None:
            return folders
        return [str(Path(part, name)) for part in (self.parts() or folders) for name in self.named()]

    def parts(self) -> list[str]:
        """``FOLDER/train`` and ``FOLDER/test``, where a test set is given."""
        parts = [absolute(self.path) / part for part in ("train", "test")]
        return [str(part) for part in parts] if all(part.is_dir() for part in parts) else []

    def may_bring_test(self) -> bool:
        return bool(self.parts())

    def conflict(self) -> tuple[object, str] | None:
        if self.fit == "crop" and not self.size:
            return "`fit: crop` without a size", "`size` beside it"
        names = self.named()
        twice = [name for name, following in pairwise(names) if name == following]
        if self.classes is not None and (len(names) < 2 or twice):
            found = f"{twice[0]!r} twice" if twice else f"{len(names)} names"
            return f"{found} in {self.classes}", "two classes or more, each once"
        missing = [path for path in self.files() if not Path(path).is_dir()]
        if missing:
            more = f" and {len(missing) - 1} more folders" if len(missing) > 1 else ""
            return f"no folder {missing[0]}{more}", f"a folder for each of the {len(names)} names in {self.classes}"
        return super().conflict()

    def extent(self) -> Extent | None:
        """By the number of files in the folders; None where the images alone tell their size or their channels."""
        if not (self.size and self.colour):
            return None
        folders = [absolute(part) for part in self.parts() or [self.path]]
        names = self.named() or [entry.name for entry in folders[0].iterdir() if entry.is_dir()]
        found, *tested = (sum(len(os.listdir(folder / name)) for name in names) for folder in folders)
        train, validation = of_all(self.train, found), of_all(self.validation, found)
        left = tested[0] if tested else found - train - validation
        test = left if self.test is None else of_all(self.test, tested[0] if tested else found)
        features = self.image_channels * self.size**2
        return Extent(train, validation, test, features, len(names), sum((found, *tested)) * features)

    def not_settings(self) -> set[str]:
        return {"classes", "paper"} | super().not_settings()

    def spec(self) -> ComponentSpec:
        """With the names of the classes: the job is given their folders, of which it takes the contents alone."""
        spec = super().spec()
        return ComponentSpec(implementation=spec.implementation, settings={**spec.settings, "classes": self.named()})
