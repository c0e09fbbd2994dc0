"""Composition in finite groups: of a known family, or given by their tables."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np

from grokforget.data.examples import ExampleTable
from grokforget.data.pairs import Pairs, examples_of
from grokforget.data.refusal import DataError

MOST_ELEMENTS = 1000


class Group(Pairs):
    """A group by its name: ``S``, ``A``, ``D`` or ``C`` and n."""

    def __init__(self, *, name: str, train_fraction: float, validation_fraction: float) -> None:
        super().__init__(train_fraction=train_fraction, validation_fraction=validation_fraction)
        self.name = name

    def examples(self) -> ExampleTable:
        """Elements of ``Sn`` and ``An`` are named by the images of 1 to n, in whose order they stand; those of ``Dn`` and ``Cn``
        are rotations r0, r1, ... and behind them the reflections r0s, r1s, ..."""
        family, n = self.name[0], int(self.name[1:])
        if family in "SA":
            return examples_of(*permutation_group(n, even=family == "A"))
        return examples_of(*polygon_group(n, reflections=family == "D"))


class GroupTable(Pairs):
    """A group by its table, a .csv file of whole numbers."""

    def examples(self, *files: Path) -> ExampleTable:
        """Raises DataError where the table is that of no group, or too small for the split."""
        (path,) = files
        products = read_products(path)
        check_group(products, path)
        sizes = [round(fraction * products.size) for fraction in self.fractions]
        if min(*sizes, products.size - sum(sizes)) < 1:
            found = f"{sizes[0]} training and {sizes[1]} validation pairs of {products.size}"
            raise DataError(path, "a group that is too small for the split", found, "at least one for each and to test")
        return examples_of(products)


def permutation_group(n: int, *, even: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """The products (m, m) of the permutations of n things, all of them or the ``even`` ones, and their m names: (p∘q)(i) =
    p(q(i))."""
    elements = np.array(list(permutations(range(n))))
    if even:
        later, earlier = np.tril_indices(n, -1)
        elements = elements[(elements[:, later] < elements[:, earlier]).sum(1) % 2 == 0]
    # In the order of their images, so of these as digits: an element is found by its number.
    digits = n ** np.arange(n)[::-1]
    composed = elements[:, elements] @ digits
    names = tuple("".join(str(image + 1) for image in element) for element in elements.tolist())
    return np.searchsorted(elements @ digits, composed), names


def polygon_group(n: int, *, reflections: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """The products (m, m) of the rotations of a regular n-gon, with or without its ``reflections``, and their m names: r the
    turn by one corner, s a reflection, s r = r⁻¹ s."""
    turn, mirrored = np.tile(np.arange(n), 1 + reflections), np.repeat(np.arange(1 + reflections), n)
    turned = (turn[:, None] + np.where(mirrored[:, None], -1, 1) * turn) % n
    names = tuple(f"r{k}{'s' * flag}" for k, flag in zip(turn.tolist(), mirrored.tolist(), strict=True))
    return turned + n * (mirrored[:, None] ^ mirrored), names


def read_products(path: Path) -> np.ndarray:
    """A square table of whole numbers, int64 (n, n) in [0, n). DataError where the file holds none."""
    try:
        products = np.loadtxt(path, delimiter=",", dtype=np.int64, ndmin=2, encoding="utf-8")
    except (OSError, ValueError) as error:
        allowed = "lines of as many whole numbers, with commas between them"
        raise DataError(path, "a table that cannot be read", str(error).splitlines()[0], allowed) from error
    rows, columns = products.shape
    if rows != columns or not 2 <= rows <= MOST_ELEMENTS:
        allowed = f"as many lines as columns, 2 to {MOST_ELEMENTS}"
        raise DataError(path, "a table that is not square", f"{rows} lines of {columns}", allowed)
    outside = np.argwhere((products < 0) | (products >= rows))
    if len(outside):
        a, b = outside[0]
        found = f"{products[a, b]} in line {a + 1}, column {b + 1}"
        raise DataError(path, "a product that is no element", found, f"0 to {rows - 1}")
    return products


def check_group(products: np.ndarray, path: Path) -> None:
    """Raise DataError unless the table (n, n) is that of a group: there is a neutral element, every element has an inverse, and
    it is the same which of two products is formed first."""
    elements = np.arange(len(products))
    neutral = np.flatnonzero((products == elements).all(1) & (products == elements[:, None]).all(0))
    if not len(neutral):
        raise DataError(path, "a table of no group", "no neutral element", "one, whose line and column are 0, 1, ...")
    gives_neutral = products == neutral[0]
    without = np.flatnonzero(~(gives_neutral & gives_neutral.T).any(1))
    if len(without):
        allowed = f"for every element another one whose product with it, both ways, is {neutral[0]}"
        raise DataError(path, "a table of no group", f"no inverse of {without[0]}", allowed)
    for a in elements:
        different = np.argwhere(products[products[a]] != products[a][products])
        if len(different):
            b, c = different[0]
            found = f"({a}∘{b})∘{c} = {products[products[a, b], c]}, {a}∘({b}∘{c}) = {products[a, products[b, c]]}"
            raise DataError(path, "a table of no group", found, "equal ones, for an associative operation")
