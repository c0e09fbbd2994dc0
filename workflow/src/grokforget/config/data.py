"""The data sets: one class of settings each. Nothing heavy is imported here; ``implementation`` names the file that
does the work."""

from __future__ import annotations

from math import isqrt
from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.base import component_union, registry
from grokforget.config.data_settings.base import DataSet as DataSet  # also for those who import it from here
from grokforget.config.data_settings.folder import ImageFolder
from grokforget.config.data_settings.language import FictitiousAuthors, QuestionAnswers, Tofu
from grokforget.config.data_settings.own import Arrays, Table
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
        train, validation, test, *_ = self.extent()
        if min(train, validation, test) < 1:
            return (
                f"{train} training and {validation} validation pairs of {train + validation + test}",
                "at least one for each and for testing",
            )
        return None

    def extent(self) -> Extent:
        pairs = self.modulus * (self.modulus - (self.operation == "/"))
        train, validation = (round(fraction * pairs) for fraction in (self.train_fraction, self.validation_fraction))
        return Extent(train, validation, pairs - train - validation, 2 * self.modulus, self.modulus, 16 * pairs)


def is_prime(n: int) -> bool:
    """Trial division; n is at most a thousand."""
    return n > 1 and all(n % divisor for divisor in range(2, isqrt(n) + 1))


IMAGES = (ImageFolder, CIFAR10, CIFAR100, SVHN, MNIST, FashionMNIST)
DATA_SETS = registry(Digits, Modular, Arrays, Table, *IMAGES, FictitiousAuthors, Tofu, QuestionAnswers)
DataSettings = component_union(DATA_SETS)
