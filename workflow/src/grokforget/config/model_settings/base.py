"""What all models have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from grokforget.config.base import Component
from grokforget.config.data_settings.base import DataSet
from grokforget.config.work import Extent, ModelWork

Width = Annotated[int, Field(ge=1, le=65536)]


class Model(Component):
    """Settings of a model."""

    needs: ClassVar[str | None] = None
    """``images`` or ``tokens`` where the model takes only one of them."""
    homogeneous: ClassVar[bool] = False
    """Whether its weights can be scaled so that its logits are multiplied by one factor (``models/rescale.py``)."""
    in_paper: ClassVar[str | None] = None
    """The name of its family in ``workflow/resources/paper_numbers.csv``."""
    hidden_matrices: ClassVar[bool] = True
    """Whether it has linear layers beside its output layer, or may have some."""
    has_heads: ClassVar[bool] = False
    """Whether attention heads, and the neurons of its blocks' MLPs, are its modules (``analyses/modules.py``)."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """The libraries beside torch whose locked versions decide what it computes."""
    pretrained: ClassVar[bool] = False
    """Whether its weights are there already: then no factor is put on them."""

    @property
    def has_batch_norm(self) -> bool:
        """Whether it has batch norms with running statistics, or may have some: then it is reported with these recalibrated, and
        also as methods leave them and frozen."""
        return False

    def files(self) -> list[str]:
        """The user's files that it is read from, as absolute paths: what its implementation is given behind the shape of the
        data. What changes in them makes all that is computed with it anew."""
        return []

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        """What was found and what is allowed, where the model cannot work on a data set."""
        if self.needs not in (None, data.inputs):
            return f"a {self.kind} on {data.inputs}", f"data of {self.needs}"
        return None

    def work(self, data: DataSet, extent: Extent) -> ModelWork | None:
        """What it computes of an example, for the expected cost of a study; None where that is not known."""
        return None
