"""Gradient ascent: maximise the cross-entropy of the forget set."""

from grokforget.unlearning.descent import Descent


class GradientAscent(Descent):
    """SGD on -CE over D_f."""

    examples = "forget"
    sign = -1
