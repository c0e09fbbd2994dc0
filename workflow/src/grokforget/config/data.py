"""The data sets: one class of settings each. Nothing heavy is imported here; ``implementation`` names the file that
does the work."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Component, component_union, no_repeats, problem, registry


class DataSet(Component):
    """Settings of a data set."""

    inputs: ClassVar[str]
    """``images`` or ``tokens``, or what else models may ask for."""
    image_side: ClassVar[int] = 0
    """Height and width of images, pixels; 0 where the data are none, or where only the files tell."""
    in_paper: ClassVar[str | None] = None
    """Its name in ``workflow/resources/paper_numbers.csv``, where the paper has numbers of this very data set."""

    def files(self) -> list[str]:
        """The user's files and folders that the data set is read from, as absolute paths: what ``examples`` of the
        implementation is given. What changes in them makes the data, and all that follows, anew."""
        return []


class Digits(DataSet):
    """scikit-learn's ``load_digits``: 1797 real 8x8 grey images of handwritten digits, part of the library (no
    download)."""

    implementation: ClassVar[str] = "grokforget.data.digits:Digits"
    inputs: ClassVar[str] = "images"
    image_side: ClassVar[int] = 8

    kind: Literal["digits"] = "digits"
    train: int = Field(ge=10, le=1500, multiple_of=10)
    """Training examples, the same number of each class. 200 groks most clearly (Omnigrok, arXiv 2210.01117)."""
    validation: int = Field(default=500, ge=10, le=1000, multiple_of=10)
    """Validation examples, the same number of each class; the rest of the 1797 is the test set."""

    def conflict(self) -> tuple[object, str] | None:
        if self.train + self.validation > 1700:
            return (
                f"train {self.train} + validation {self.validation}",
                "at most 1700 together, so that test digits are left",
            )
        return None


class Modular(DataSet):
    """All pairs (a, b) with the label a∘b mod p (Power et al. 2022, arXiv 2201.02177)."""

    implementation: ClassVar[str] = "grokforget.data.modular:Modular"
    inputs: ClassVar[str] = "tokens"

    kind: Literal["modular"] = "modular"
    modulus: int = Field(ge=3, le=1000)
    """p; a prime where the operation is division."""
    operation: Literal["+", "-", "*", "/"] = "+"
    """``/`` is the table of (a·b mod p, b) → a for b ≠ 0, which needs no inverse."""
    train_fraction: float = Field(gt=0, lt=1)
    """Share of all pairs to train on; .3 to .5 groks."""
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of all pairs for choosing checkpoints; what is left is the test set."""

    def conflict(self) -> tuple[object, str] | None:
        if self.operation == "/" and not is_prime(self.modulus):
            return f"division modulo {self.modulus}", "a prime modulus"
        if self.train_fraction + self.validation_fraction >= 1:
            return (
                f"fractions {self.train_fraction} + {self.validation_fraction}",
                "a sum below 1, so that test pairs are left",
            )
        pairs = self.modulus * (self.modulus - (self.operation == "/"))
        sizes = [round(fraction * pairs) for fraction in (self.train_fraction, self.validation_fraction)]
        if min(*sizes, pairs - sum(sizes)) < 1:
            return (
                f"{sizes[0]} training and {sizes[1]} validation pairs of {pairs}",
                "at least one for each and for testing",
            )
        return None


def is_prime(n: int) -> bool:
    """Trial division; n is at most a thousand."""
    return n > 1 and all(n % divisor for divisor in range(2, isqrt(n) + 1))


def size(value: int | float) -> int | float:
    """A validator: a number of examples, or a share of them."""
    if isinstance(value, float) and not 0 < value < 1:
        raise problem("no size of a part", value, "a whole number of examples, or a share of them between 0 and 1")
    return value


Size = Annotated[Annotated[int, Field(ge=1)] | float, AfterValidator(size)]


def absolute(path: str) -> Path:
    """``~`` is the home folder; other paths begin where Snakemake runs, as ``results/`` does."""
    return Path(path).expanduser().absolute()


def file_of(*endings: str) -> Callable[[str], str]:
    """A validator of paths: a file that is there and has one of the endings."""

    def check(path: str) -> str:
        if Path(path).suffix.lower() not in endings:
            raise problem("a file of another kind", path, f"a file that ends in {' or '.join(endings)}")
        return there(path, "file", absolute(path).is_file())

    return check


def folder(path: str) -> str:
    """A validator of paths: a folder that is there."""
    return there(path, "folder", absolute(path).is_dir())


def there(path: str, what: str, found: bool) -> str:
    """The path, or the problem that there is no such file or folder."""
    if not found:
        raise problem(f"no such {what}", path, f"a {what} that is there; relative paths begin at {Path.cwd()}")
    return path


class OwnData(DataSet):
    """What all data sets have in common that are read from files of the user's."""

    path: str
    train: Size
    """Training examples: a whole number of them, or a share (.8) of all that are not in a given test set. Drawn anew for
    every seed, as the validation examples."""
    validation: Size = 0.1
    """Validation examples, on which checkpoints are chosen, likewise."""
    test: Size | None = None
    """Test examples, likewise; null is all that are left over. A test set that the data bring along stays as it is."""
    sampling: Literal["stratified", "balanced"] = "stratified"
    """``stratified``: every class has the share of each part that it has of the data, and at least one example; ``balanced``:
    the same number of each class, in the test set only where ``test`` is given."""
    normalise: Literal["none", "standardise"] = "none"
    """``standardise``: mean 0 and standard deviation 1 of every feature, or of every channel of images, over all examples that
    are not in a given test set: the same constants for every seed."""

    def files(self) -> list[str]:
        return [str(absolute(self.path))]

    def not_settings(self) -> set[str]:
        """The file counts by its content, not by its name."""
        return {"path"}

    def conflict(self) -> tuple[object, str] | None:
        shares = [part for part in (self.train, self.validation, self.test or 0) if isinstance(part, float)]
        if sum(shares) > 1 + 1e-9:
            return f"shares {' + '.join(map(str, shares))}", "at most 1 in all"
        return None


class Arrays(OwnData):
    """Arrays of a NumPy file: ``x`` and ``y``, and perhaps ``split`` with ``train`` or ``test`` for every example; or
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

    implementation: ClassVar[str] = "grokforget.data.arrays:Arrays"

    kind: Literal["arrays"] = "arrays"
    path: Annotated[str, AfterValidator(file_of(".npz"))]
    """An .npz file. A relative path begins where Snakemake runs, as ``results/`` does."""
    inputs: Literal["vectors", "images"] = "vectors"  # type: ignore[misc]  # here each data set says it of itself
    """``vectors``: x is (N, features); ``images``: (N, height, width) or with channels first or last, of which uint8 is divided
    by 255."""
    channels: Literal["first", "last"] | None = None
    """Where the channels of images stand; null is for one or three of them that cannot be mistaken."""


class Table(OwnData):
    """Rows of a table: one column holds the labels, all others are features and numbers."""

    implementation: ClassVar[str] = "grokforget.data.table:Table"
    inputs: ClassVar[str] = "vectors"

    kind: Literal["table"] = "table"
    path: Annotated[str, AfterValidator(file_of(".csv", ".parquet"))]
    """A .csv file with a line of column names, or a .parquet file. A relative path begins where Snakemake runs, as ``results/``
    does."""
    label: str
    """Column of the labels."""
    split_column: str | None = None
    """Column that says ``train`` or ``test`` of every row, where a test set is given."""
    ignore: Annotated[list[str], AfterValidator(no_repeats)] = Field(default=[])
    """Columns to leave out."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    """What stands between the values of a .csv file."""
    normalise: Literal["none", "standardise"] = "standardise"
    """``standardise``: mean 0 and standard deviation 1 of every column, over all rows that are not in a given test set: the
    same constants for every seed."""

    def conflict(self) -> tuple[object, str] | None:
        named = [self.label, self.split_column, *self.ignore]
        twice = [name for name in (self.label, self.split_column) if name is not None and named.count(name) > 1]
        if twice:
            return f"the column {twice[0]!r} for several of label, split_column, ignore", "one of them"
        return super().conflict()


class ImageFolder(OwnData):
    """A folder of images: ``FOLDER/CLASS/*.png``, or, where a test set is given, ``FOLDER/train/CLASS/*.png`` and
    ``FOLDER/test/CLASS/*.png``. Values are in [0, 1]."""

    implementation: ClassVar[str] = "grokforget.data.image_folder:ImageFolder"
    inputs: ClassVar[str] = "images"

    kind: Literal["image-folder"] = "image-folder"
    path: Annotated[str, AfterValidator(folder)]
    """The folder; its images end in .png, .jpg or .jpeg, and hidden files are passed over. A relative path begins where
    Snakemake runs, as ``results/`` does."""
    size: int | None = Field(default=None, ge=1, le=4096)
    """Height and width that every image is brought to, pixels; null is for images that all have one size."""
    colour: Literal["grey", "rgb"] | None = None
    """What every image is turned into; null is for images that all are grey or all in colour."""

    @property
    def image_side(self) -> int:  # type: ignore[override]  # here the settings tell
        return self.size or 0


DATA_SETS = registry(Digits, Modular, Arrays, Table, ImageFolder)
DataSettings = component_union(DATA_SETS)
