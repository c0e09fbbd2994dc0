"""Fine-tuning: go on training on the retain set alone, and let the rest be forgotten."""

from grokforget.unlearning.descent import Descent


class FineTune(Descent):
    """SGD on CE over D_r."""

    examples = "retain"
    sign = 1
