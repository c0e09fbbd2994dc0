"""What all data sets have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from grokforget.config.base import Component
from grokforget.config.work import Extent


class DataSet(Component):
    """Settings of a data set."""

    inputs: ClassVar[str]
    """``images`` or ``tokens``, or what else models may ask for."""
    image_side: ClassVar[int] = 0
    """Height and width of images, pixels; 0 where the data are none, or where only the files tell."""
    image_channels: ClassVar[int] = 0
    """Channels of images, 1 (grey) or 3; 0 likewise."""
    threads: ClassVar[int] = 1
    """How many cores it makes use of while it is prepared."""
    in_paper: ClassVar[str | None] = None
    """Its name in ``workflow/resources/paper_numbers.csv``, where the paper has numbers of this very data set."""

    label_noise: Annotated[float, Field(ge=0, lt=1)] | Literal["random"] = 0.0
    """Share of the training examples that get the label of another class, drawn evenly for every seed. Validation and test
    examples keep theirs. Which ones they are stands in the file of the split. ``random``: the share (K - 1)/K with which of K
    classes every one is as likely for every example, so that labels say nothing of inputs (Zhang et al. 2017, arXiv 1611.03530):
    a control that can be memorised, and not be learned."""

    def not_settings(self) -> set[str]:
        """Noise is a matter of the split, which is drawn anew for every seed, and not of the data."""
        return {"label_noise"}

    def files(self) -> list[str]:
        """The user's files and folders that the data set is read from, as absolute paths: what ``examples`` of the
        implementation is given. What changes in them makes the data, and all that follows, anew."""
        return []

    def chance(self, tolerance: float) -> float | None:
        """Of numbers the accuracy of guessing: how many the best single guess has within the tolerance. None where they are no
        numbers."""
        return None

    def extent(self) -> Extent | None:
        """How large it is, for the expected cost of a study; None where only its files tell."""
        return None
