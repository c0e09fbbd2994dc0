"""Settings of the methods that change the weights once, beside Fisher forgetting."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from grokforget.config.method_settings.base import Count, Method
from grokforget.config.work import Request, Work


class SelectiveSynapticDampening(Method):
    """SSD (Foster et al. 2024, arXiv 2308.07707): make weights smaller that matter more to the forget set than to all."""

    implementation: ClassVar[str] = "grokforget.methods.ssd:SelectiveSynapticDampening"
    in_common: ClassVar[bool] = True

    kind: Literal["ssd"] = "ssd"
    alpha: float = Field(default=10.0, gt=0)
    """α: weights are selected whose importance to the forget set is more than this times that to the whole train set; with a
    batch size of 1 there are none from |D| / |D_f| on (published: 10)."""
    dampening: float = Field(default=1.0, gt=0)
    """λ: a selected weight is multiplied by λ times the inverse ratio of the two importances, at most by 1 (published: 1)."""
    batch_size: Count = 1
    """Examples whose mean gradient is squared for an importance: 1, the mean squared gradient of the paper; the authors' code
    squares the mean gradient of batches of 128."""

    def work(self, request: Request) -> Work:
        return Work(2, 4 * (request.forget + request.retain))


class Influence(Method):
    """Influence unlearning with WoodFisher's inverse, as in Jia et al. (2023, arXiv 2304.04934): one Newton step."""

    implementation: ClassVar[str] = "grokforget.methods.influence:Influence"

    kind: Literal["influence"] = "influence"
    alpha: float = Field(default=1.0, gt=0)
    """α, length of the step in units of the influence function's own, and what to tune (the authors' command line has 0.2,
    comparisons by others 2 to 16)."""
    examples: Count = 1000
    """N: retain examples whose single gradients the Fisher matrix is made of; all where there are fewer (published: 1000)."""
    damping: float = Field(default=1.0, gt=0)
    """λ: the Fisher matrix has this on its diagonal beside (published: 1, the identity that the updates start from)."""

    def work(self, request: Request) -> Work:
        """A hundred steps of conjugate gradients, each of three passes back."""
        return Work(300, 900 * min(self.examples, request.retain))
