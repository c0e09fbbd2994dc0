"""What a language model is asked beside the pairs that it learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from grokforget.data.loader import Examples


@dataclass(frozen=True)
class Beside:
    """What is asked beside a set's pairs, in their order; a row of which the targets are all ``IGNORED`` is not asked.

    ``paraphrased_questions`` have the right answers (N, T), ``paraphrased_answers`` are to the questions themselves, and
    ``wrong_answers``, k of them to every question, stand one pair's after the other's (N * k, T). None: there are none.
    """

    paraphrased_questions: Examples | None = None
    paraphrased_answers: Examples | None = None
    wrong_answers: Examples | None = None

    @classmethod
    def of(cls, extras: Mapping[str, np.ndarray], index: np.ndarray, device: torch.device, of_set: str = "") -> Beside:
        """Those of the pairs ``index`` of a table's ``extras``; of a further set, of its wrong answers alone."""
        names = {"wrong_answers": f"{of_set}_wrong_answers"} if of_set else {name: name for name in cls.__annotations__}
        return cls(**{name: texts(extras, of, index, device) for name, of in names.items() if f"{of}/tokens" in extras})


def texts(extras: Mapping[str, np.ndarray], name: str, index: np.ndarray, device: torch.device) -> Examples:
    """The rows ``index`` of tokens and targets (N, ..., T) as examples, one behind the other."""
    tokens, targets = (
        torch.from_numpy(extras[f"{name}/{part}"][index]).flatten(0, -2) for part in ("tokens", "targets")
    )
    return Examples(tokens.to(device), targets.to(device))
