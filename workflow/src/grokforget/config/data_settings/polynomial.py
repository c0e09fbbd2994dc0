"""A data set of numbers, for regression."""

from __future__ import annotations

from functools import cache
from math import factorial, sqrt
from statistics import NormalDist
from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.data_settings.base import DataSet
from grokforget.config.work import Extent

QUANTILES = 20_001
"""Of the standard normal distribution, of which the accuracy of guessing is told to about one in so many."""


class Polynomial(DataSet):
    """Gaussian vectors x whose target is a number, He_k(β·x) / √k!: the Hermite polynomial of degree k along one direction β, a
    unit vector. Of degree 2 it is ½(β·x)², the task of Kumar et al. 2023 (arXiv 2310.06110), less its mean and divided by its
    standard deviation."""

    implementation: ClassVar[str] = "grokforget.data.polynomial:Polynomial"
    inputs: ClassVar[str] = "vectors"
    objectives: ClassVar[tuple[str, ...]] = ("regression",)

    kind: Literal["polynomial"] = "polynomial"
    dimensions: int = Field(ge=1, le=10_000)
    """Numbers of an example, independent ones of mean 0 and variance 1."""
    degree: int = Field(default=2, ge=1, le=8)
    """k."""
    train: int = Field(ge=1, le=1_000_000)
    """Training examples."""
    validation: int = Field(default=500, ge=1, le=1_000_000)
    """Validation examples."""
    test: int = Field(default=1000, ge=1, le=1_000_000)
    """Test examples."""

    def conflict(self) -> tuple[object, str] | None:
        return (f"label_noise {self.label_noise}", "0, as there are no classes") if self.label_noise else None

    def extent(self) -> Extent:
        examples = self.train + self.validation + self.test
        return Extent(self.train, self.validation, self.test, self.dimensions, 1, 4 * self.dimensions * examples)

    def chance(self, tolerance: float) -> float:
        return within(self.degree, tolerance)


@cache
def within(degree: int, tolerance: float) -> float:
    """The largest share of He_k(z) / √k!, z ~ N(0, 1), that lies within ``tolerance`` of any one number: how often the best
    constant is right."""
    normal = NormalDist()
    values = sorted(hermite(normal.inv_cdf((i + 0.5) / QUANTILES), degree) for i in range(QUANTILES))
    most = end = 0
    for start, lowest in enumerate(values):
        while end < QUANTILES and values[end] <= lowest + 2 * tolerance:
            end += 1
        most = max(most, end - start)
    return most / QUANTILES


def hermite(z: float, degree: int) -> float:
    """He_k(z) / √k! by He_k+1 = z He_k - k He_k-1."""
    before, now = 0.0, 1.0
    for k in range(degree):
        before, now = now, z * now - k * before
    return now / sqrt(factorial(degree))
