"""The data sets: one class of settings each. Nothing heavy is imported here; ``implementation`` names the file that
does the work."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import component_union, registry
from grokforget.config.data_settings.base import DataSet as DataSet  # also for those who import it from here
from grokforget.config.data_settings.folder import ImageFolder
from grokforget.config.data_settings.language import FictitiousAuthors, QuestionAnswers, Tofu
from grokforget.config.data_settings.own import Arrays, Table
from grokforget.config.data_settings.pairs import Group, GroupTable, Modular
from grokforget.config.data_settings.polynomial import Polynomial
from grokforget.config.data_settings.vision import CIFAR10, CIFAR100, MNIST, SVHN, FashionMNIST
from grokforget.config.work import Extent


class Digits(DataSet):
    """scikit-learn's ``load_digits``: 1797 real 8x8 grey images of handwritten digits, part of the library (no
    download)."""

    implementation: ClassVar[str] = "grokforget.data.digits:Digits"
    inputs: ClassVar[str] = "images"
    image_side: ClassVar[int] = 8
    image_channels: ClassVar[int] = 1

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

    def extent(self) -> Extent:
        return Extent(self.train, self.validation, 1797 - self.train - self.validation, 64, 10, 1797 * 64 * 4)


class SparseParity(DataSet):
    """Vectors of random signs, labelled by the parity of the first few of them (Barak et al. 2022, arXiv 2207.08799)."""

    implementation: ClassVar[str] = "grokforget.data.sparse_parity:SparseParity"
    inputs: ClassVar[str] = "vectors"

    kind: Literal["sparse-parity"] = "sparse-parity"
    bits: int = Field(default=40, ge=2, le=60)
    """n, the signs of an example."""
    relevant: int = Field(default=3, ge=1, le=60)
    """k: how many of them, the first ones, decide the label. n 40, k 3 and 1,000 training examples in Merrill et al. 2023 (arXiv
    2303.11873)."""
    train: int = Field(default=1000, ge=1, le=1_000_000)
    """Training examples. All examples of all parts are different ones."""
    validation: int = Field(default=1000, ge=1, le=1_000_000)
    """Validation examples."""
    test: int = Field(default=1000, ge=1, le=1_000_000)
    """Test examples."""

    def conflict(self) -> tuple[object, str] | None:
        if self.relevant > self.bits:
            return f"{self.relevant} relevant bits of {self.bits}", "at most as many as there are"
        if (examples := self.train + self.validation + self.test) > 2**self.bits:
            return f"{examples} examples of {self.bits} bits", f"at most {2**self.bits}, so that all are different"
        return None

    def extent(self) -> Extent:
        examples = self.train + self.validation + self.test
        return Extent(self.train, self.validation, self.test, self.bits, 2, 4 * self.bits * examples)


DATA_SETS = registry(
    *(Digits, Modular, Group, GroupTable, SparseParity, Polynomial),
    *(Arrays, Table, ImageFolder),
    *(CIFAR10, CIFAR100, SVHN, MNIST, FashionMNIST),
    *(FictitiousAuthors, Tofu, QuestionAnswers),
)
DataSettings = component_union(DATA_SETS)
