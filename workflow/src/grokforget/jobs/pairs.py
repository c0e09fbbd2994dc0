"""The pairs of a request, and what stands beside them, for all that metrics of answers ask of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from grokforget.data.language.beside import Beside, texts
from grokforget.data.language.tokenizer import from_array
from grokforget.data.loader import Examples
from grokforget.jobs.request import PreparedRequest
from grokforget.metrics.language.answer_probability import OPTIONS
from grokforget.runtime.seeds import derive_seed
from grokforget.training.language_outputs import LanguageOutputs


class OneSet(NamedTuple):
    """Pairs, what is asked beside them, and whose they are, (n,) int64: -1 of nobody that is learned about."""

    pairs: Examples
    beside: Beside
    labels: np.ndarray


class AskedPairs:
    """What is said of every pair of a request, and of questions about real authors and the world, where the data have any and
    wrong answers are asked for; ``settings`` are those of ``LanguageOutputs``."""

    def __init__(self, request: PreparedRequest, **settings: Any) -> None:
        table, device = request.table, request.device
        self.outputs = LanguageOutputs(**settings)
        # Of the validation set, which no metric reads, what is known from one pass.
        self.validation = LanguageOutputs(k=self.outputs.k)
        self.tokenizer = from_array(table.extras["tokenizer"])
        self.end, self.longest = int(table.extras["special_tokens"][0]), table.inputs.shape[1]
        self.seed = request.seed
        self.sets = {
            name: OneSet(request.examples[name], Beside.of(table.extras, index, device), request.labels[name])
            for name, index in request.indices.items()
        }
        further = OPTIONS if self.outputs.wrong_answers else ()
        for name in [name for name in further if f"{name}/tokens" in table.extras]:
            every = np.arange(len(table.extras[f"{name}/tokens"]))
            beside = Beside.of(table.extras, every, device, name)
            self.sets[name] = OneSet(texts(table.extras, name, every, device), beside, np.full(len(every), -1))

    def rows(self, model: nn.Module) -> Iterator[dict[str, np.ndarray]]:
        """Of each set the columns ``split``, ``label`` and those of ``LanguageOutputs``, the same of all sets: what is not asked
        of one is NaN, and None of text."""
        parts = []
        for name, of in self.sets.items():
            columns = (self.validation if name == "validation" else self.outputs).columns(
                model,
                of.pairs,
                of.beside,
                decode=self.decode,
                end=self.end,
                longest=max(self.longest, of.pairs.x.shape[1]),
                seed=derive_seed(self.seed, name),
            )
            parts.append({"split": np.repeat(name, len(of.labels)), "label": of.labels, **columns})
        kinds = {name: values.dtype for part in parts for name, values in part.items()}
        for part in parts:
            n = len(part["label"])
            yield {
                name: part[name] if name in part else np.full(n, None if kind.hasobject else math.nan, kind)
                for name, kind in kinds.items()
            }

    def decode(self, tokens: Sequence[int]) -> str:
        """As text, without special tokens."""
        text: str = self.tokenizer.decode(list(tokens))
        return text
