"""Data sets that are read from files of the user's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Strict, no_repeats, problem
from grokforget.config.data_settings.base import DataSet


def size(value: int | float) -> int | float:
    """A validator: a number of examples, or a share of them."""
    if isinstance(value, float) and not 0 < value < 1:
        raise problem("no size of a part", value, "a whole number of examples, or a share of them between 0 and 1")
    return value


def of_all(wanted: int | float, examples: int) -> int:
    """How many a size is of so many examples."""
    return wanted if isinstance(wanted, int) else round(wanted * examples)


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


class Constants(Strict):
    """What images are normalised by, in units of a pixel's whole range: (pixel / 255 - mean) / std."""

    mean: Annotated[list[float], Field(min_length=1)]
    """A number a channel."""
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    """Likewise."""


class OwnData(DataSet):
    """What all data sets have in common that are read from files: which examples become what."""

    train: Size
    """Training examples: a whole number of them, or a share (.8) of all that are not in a given test set. Drawn anew for
    every seed, as the validation examples."""
    validation: Size = 0.1
    """Validation examples, on which checkpoints are chosen, likewise."""
    test: Size | None = None
    """Test examples, likewise; null is all that are left over. Where the data bring a test set along, it is a number or a share
    of that one's examples; null is all of them, the same for every seed."""
    sampling: Literal["stratified", "balanced"] = "stratified"
    """``stratified``: every class has the share of each part that it has of the data, and at least one example; ``balanced``:
    the same number of each class, in the test set only where ``test`` is given."""
    normalise: Literal["none", "standardise"] | Constants = "none"
    """``standardise``: mean 0 and standard deviation 1 of every feature, or of every channel of images, over all examples that
    are not in a given test set: the same constants for every seed. Of images also ``{mean: [...], std: [...]}``, a number a
    channel."""

    def conflict(self) -> tuple[object, str] | None:
        parts = (self.train, self.validation, 0 if self.may_bring_test() else self.test or 0)
        shares = [part for part in parts if isinstance(part, float)]
        if sum(shares) > 1 + 1e-9:
            return f"shares {' + '.join(map(str, shares))}", "at most 1 in all"
        if isinstance(self.normalise, Constants):
            numbers = (len(self.normalise.mean), len(self.normalise.std))
            if set(numbers) != {self.image_channels or numbers[0]}:
                allowed = f"{self.image_channels or 'as many'} of each, one a channel"
                return f"{numbers[0]} means and {numbers[1]} deviations", allowed
        return None

    def may_bring_test(self) -> bool:
        """Whether there may be a test set among the data, of which a share of ``test`` then is."""
        return True


class OwnFile(OwnData):
    """What is read from a file or a folder of the user's."""

    path: str

    def files(self) -> list[str]:
        return [str(absolute(self.path))]

    def not_settings(self) -> set[str]:
        """The file counts by its content, not by its name."""
        return {"path"} | super().not_settings()


class Arrays(OwnFile):
    """Arrays of a NumPy file: ``x`` and ``y``, and perhaps ``split`` with ``train`` or ``test`` for every example; or
    ``x_train``, ``y_train``, ``x_test`` and ``y_test``."""

    implementation: ClassVar[str] = "grokforget.data.arrays:Arrays"

    kind: Literal["arrays"] = "arrays"
    path: Annotated[str, AfterValidator(file_of(".npz"))]
    """An .npz file. A relative path begins where Snakemake runs, as ``results/`` does."""
    inputs: Literal["vectors", "images"] = "vectors"  # type: ignore[misc]  # here each data set says it of itself
    """``vectors``: x is (N, features); ``images``: (N, height, width) or with channels first or last. Those of uint8 are
    stored as they are, and models see them divided by 255."""
    channels: Literal["first", "last"] | None = None
    """Where the channels of images stand; null is for one or three of them that cannot be mistaken."""

    def conflict(self) -> tuple[object, str] | None:
        if self.inputs == "vectors" and isinstance(self.normalise, Constants):
            return "constants of channels for vectors", "`normalise: standardise`, or `inputs: images`"
        return super().conflict()


class Table(OwnFile):
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

    def may_bring_test(self) -> bool:
        return self.split_column is not None

    def conflict(self) -> tuple[object, str] | None:
        named = [self.label, self.split_column, *self.ignore]
        twice = [name for name in (self.label, self.split_column) if name is not None and named.count(name) > 1]
        if twice:
            return f"the column {twice[0]!r} for several of label, split_column, ignore", "one of them"
        return super().conflict()
