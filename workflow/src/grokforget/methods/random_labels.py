"""Random labels: the forget set is learned anew, wrongly (Graves et al. 2021, arXiv 2010.10981; Fan et al. 2024,
arXiv 2310.12508)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grokforget.data.loader import Examples
from grokforget.methods.base import Problem
from grokforget.methods.descent import Descent
from grokforget.training.classification import other_labels
from grokforget.training.evaluate import logits_of


class RandomLabels(Descent):
    """Every epoch SGD on CE over D_f, each example with a label drawn evenly from the other classes, then on CE over D_r with
    its own labels. Of classification.

    Labels are drawn anew in every epoch, as in the code of Fan et al., where the true class may be drawn too; Graves et al.
    draw once, from the other classes. They depend on the seed, the epoch and the example's place in D_f alone.
    """

    sign = 1

    def batches(self, problem: Problem, epoch: int) -> Iterator[Examples]:
        x, y = problem.forget.x, problem.forget.y
        classes = logits_of(problem.model, x[:1]).shape[1]
        wrong = other_labels(y, classes, problem.generator("random labels", epoch))
        relabelled = replace(problem, forget=Examples(x, wrong))
        yield from relabelled.batches("forget", self.batch_size, epoch, self.batch_statistics)
        yield from problem.batches("retain", self.batch_size, epoch, self.batch_statistics)
