"""The data sets that torchvision knows."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from grokforget.config.base import problem
from grokforget.config.data_settings.own import Constants, OwnData, Size, absolute, of_all
from grokforget.config.work import Extent
from grokforget.runtime.components import ComponentSpec


class VisionData(OwnData):
    """Images with a test set of their own, in the files that torchvision reads, or as arrays in ``FOLDER/KIND.npz``:
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``, uint8 images with channels last."""

    implementation: ClassVar[str] = "grokforget.data.torchvision_sets:VisionData"
    inputs: ClassVar[str] = "images"
    original_side: ClassVar[int] = 32
    sizes: ClassVar[tuple[int, int]]
    """How many there are for training and for testing."""
    n_classes: ClassVar[int] = 10
    archives: ClassVar[tuple[str, ...]]
    """The files that torchvision reads, below ``folder``; those of MNIST's kind may be as they were downloaded, ending in .gz."""

    folder: str = "data"
    """Where the files lie, or are put; a relative path begins where Snakemake runs, as ``results/`` does."""
    download: bool = False
    """Whether torchvision fetches them where they are not there, and looks at their checksums."""
    side: int | None = Field(default=None, ge=1)
    """Height and width that images are brought to, pixels, by the mean over squares of them: a divisor of their own."""
    sampling: Literal["stratified", "balanced"] = "balanced"
    """``balanced``: the same number of each class in every part that has a size; ``stratified``: in the classes' proportions."""
    test: Size | None = None
    """How many examples of the test set, or which share of it, drawn anew for every seed; null is all of it."""
    normalise: Literal["none", "standardise"] | Constants = "standardise"
    """``standardise``: mean 0 and standard deviation 1 of every channel over all images that are not in the test set;
    ``none``: pixels in [0, 1]; or ``{mean: [...], std: [...]}``, a number a channel."""

    @property
    def image_side(self) -> int:  # type: ignore[override]  # here the settings tell
        return self.side or self.original_side

    @property
    def arrays(self) -> Path:
        return absolute(self.folder) / f"{self.kind}.npz"

    def files(self) -> list[str]:
        """What is read: nothing where torchvision is to see to it that the files are those whose checksums it knows."""
        if self.arrays.is_file():
            return [str(self.arrays)]
        return [] if self.download else [str(path) for path in self.found()]

    def found(self) -> list[Path]:
        """Of ``archives`` those that are there, as they were downloaded rather than unpacked: of that the checksum is known."""
        choices = [[absolute(self.folder) / f"{name}{end}" for end in (".gz", "")] for name in self.archives]
        return [next(file for file in both if file.is_file()) for both in choices if any(map(Path.is_file, both))]

    @model_validator(mode="after")
    def _there(self) -> Self:
        if not self.arrays.is_file() and not self.download:
            there = {str(file.relative_to(absolute(self.folder))).removesuffix(".gz") for file in self.found()}
            missing = [name for name in self.archives if name not in there]
            if missing:
                allowed = f"{', '.join(self.archives)} there, or {self.arrays.name}, or `download: true`"
                raise problem(f"no {missing[0]} in {absolute(self.folder)}", self.folder, allowed, at=["folder"])
        return self

    def conflict(self) -> tuple[object, str] | None:
        if self.original_side % self.image_side:
            return f"side {self.side}", f"a divisor of the images' own {self.original_side}"
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        counts = {name: size for name, size in parts.items() if isinstance(size, int)}
        for name, size in counts.items() if self.sampling == "balanced" else ():
            if size % self.n_classes:
                return f"{name} {size}, balanced", f"a multiple of the {self.n_classes} classes"
        learned = counts.get("train", 0) + counts.get("validation", 0)
        for what, size, most in zip(
            ("train + validation", "test"), (learned, counts.get("test", 0)), self.sizes, strict=True
        ):
            if size > most:
                return f"{what} {size}", f"at most {most}"
        return super().conflict()

    def extent(self) -> Extent:
        learned, tested = self.sizes
        features = self.image_channels * self.image_side**2
        test = tested if self.test is None else of_all(self.test, tested)
        parts = (of_all(self.train, learned), of_all(self.validation, learned), test)
        return Extent(*parts, features, self.n_classes, (learned + tested) * features)

    def not_settings(self) -> set[str]:
        """Files count by their contents."""
        return {"folder", "download"} | super().not_settings()

    def spec(self) -> ComponentSpec:
        """Which data set, and, where torchvision is to see to the files, where: no content tells that."""
        fetched = self.folder if self.download and not self.arrays.is_file() else None
        spec = super().spec()
        return ComponentSpec(
            implementation=spec.implementation, settings={**spec.settings, "kind": self.kind, "fetch_into": fetched}
        )


class CIFAR10(VisionData):
    """CIFAR-10: 50,000 + 10,000 colour images of 32x32 pixels, 10 classes."""

    image_channels: ClassVar[int] = 3
    sizes: ClassVar[tuple[int, int]] = (50_000, 10_000)
    archives: ClassVar[tuple[str, ...]] = tuple(
        f"cifar-10-batches-py/{name}"
        for name in (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta")
    )
    in_paper: ClassVar[str | None] = "cifar10"

    kind: Literal["cifar10"] = "cifar10"


class CIFAR100(VisionData):
    """CIFAR-100: 50,000 + 10,000 colour images of 32x32 pixels, 100 (fine) classes."""

    image_channels: ClassVar[int] = 3
    sizes: ClassVar[tuple[int, int]] = (50_000, 10_000)
    n_classes: ClassVar[int] = 100
    archives: ClassVar[tuple[str, ...]] = tuple(f"cifar-100-python/{name}" for name in ("train", "test", "meta"))

    kind: Literal["cifar100"] = "cifar100"


class SVHN(VisionData):
    """Street View House Numbers: 73,257 + 26,032 colour images of 32x32 pixels, 10 classes of different sizes."""

    image_channels: ClassVar[int] = 3
    sizes: ClassVar[tuple[int, int]] = (73_257, 26_032)
    archives: ClassVar[tuple[str, ...]] = ("train_32x32.mat", "test_32x32.mat")
    in_paper: ClassVar[str | None] = "svhn"

    kind: Literal["svhn"] = "svhn"


def idx_files(folder: str) -> tuple[str, ...]:
    """MNIST's four files, and those of the data sets that are made after it."""
    names = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    return tuple(f"{folder}/raw/{name}" for name in names)


class MNIST(VisionData):
    """MNIST: 60,000 + 10,000 grey images of 28x28 pixels, 10 classes."""

    original_side: ClassVar[int] = 28
    image_channels: ClassVar[int] = 1
    sizes: ClassVar[tuple[int, int]] = (60_000, 10_000)
    archives: ClassVar[tuple[str, ...]] = idx_files("MNIST")

    kind: Literal["mnist"] = "mnist"


class FashionMNIST(VisionData):
    """Fashion-MNIST: 60,000 + 10,000 grey images of 28x28 pixels, 10 classes."""

    original_side: ClassVar[int] = 28
    image_channels: ClassVar[int] = 1
    sizes: ClassVar[tuple[int, int]] = (60_000, 10_000)
    archives: ClassVar[tuple[str, ...]] = idx_files("FashionMNIST")

    kind: Literal["fashion-mnist"] = "fashion-mnist"
