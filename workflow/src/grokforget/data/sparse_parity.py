"""The parity of a few of many random bits."""

from __future__ import annotations

import numpy as np

from grokforget.data.examples import ExampleTable, Split
from grokforget.runtime.seeds import numpy_generator


class SparseParity:
    """Vectors (bits,), float32, of -1 and 1, no two of them the same. The label, 0 or 1, is the parity of how many of the first
    ``relevant`` are -1."""

    def __init__(self, *, bits: int, relevant: int, train: int, validation: int, test: int) -> None:
        self.bits, self.relevant, self.sizes = bits, relevant, (train, validation, test)

    def examples(self) -> ExampleTable:
        """The same for every seed, which draws what becomes of them."""
        generator = numpy_generator(0, "sparse parity")
        numbers = generator.choice(2**self.bits, sum(self.sizes), replace=False)
        bits = numbers[:, None] >> np.arange(self.bits) & 1
        labels = bits[:, : self.relevant].sum(1) % 2
        return ExampleTable((1 - 2 * bits).astype(np.float32), labels.astype(np.int64), n_classes=2)

    def split(self, labels: np.ndarray, generator: np.random.Generator) -> Split:
        """A random draw."""
        train, validation, _ = self.sizes
        parts = np.split(generator.permutation(len(labels)), [train, train + validation])
        return Split(*map(np.sort, parts))
