"""The two methods that unlearn nothing: what unlearning starts from, and what it should end at."""

from __future__ import annotations

from collections.abc import Iterator

from grokforget.methods.base import Method, Problem


class Original(Method):
    """The checkpoint as it is."""

    def run(self, problem: Problem) -> Iterator[None]:
        yield from ()


class Retrain(Method):
    """The model trained on the retain set alone, from the same initialisation."""

    def run(self, problem: Problem) -> Iterator[None]:
        problem.model.load_state_dict(dict(problem.retrained))
        yield from ()
