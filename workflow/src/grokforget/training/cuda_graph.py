"""The gradient of a batch as a CUDA graph: hundreds of kernels, launched by one call."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from grokforget.data.loader import Examples
from grokforget.models.states import state_of

WARM_UP = 3
"""Passes before the recording, in which libraries choose and set up what they compute with; as many as torch's own."""


class RecordedGradient:
    """Puts the gradient of ``loss`` on a batch into ``.grad`` of the model's parameters, as ``loss(batch).backward()`` does,
    for batches of the shape of the one that it is made with.

    Making it leaves weights, buffers (running statistics of batch norms) and the GPU's random state as they were; a replay
    moves them as the passes themselves would. ``loss`` must not wait for the GPU, and do the same at every call but for
    what the batch holds and what torch draws. Raises RuntimeError, with all as it was, where it cannot be recorded.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Examples], Tensor], batch: Examples) -> None:
        self.x, self.y = batch.x.clone(), batch.y.clone()
        self.parameters = list(model.parameters())
        before, random, stream = state_of(model), torch.cuda.get_rng_state(), torch.cuda.current_stream()
        try:
            self._warm_up(loss)
            self.graph = torch.cuda.CUDAGraph()
            self._forget()
            with torch.cuda.graph(self.graph):
                loss(Examples(self.x, self.y)).backward()
            self.gradients = [parameter.grad for parameter in self.parameters]
        finally:
            # A recording that fails leaves its own stream the current one.
            torch.cuda.set_stream(stream)
            self._forget()
            model.load_state_dict(before)
            torch.cuda.set_rng_state(random)

    def __call__(self, batch: Examples) -> None:
        self.x.copy_(batch.x)
        self.y.copy_(batch.y)
        self.graph.replay()
        # Again and again: a batch that was not recorded leaves its own.
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient

    def _warm_up(self, loss: Callable[[Examples], Tensor]) -> None:
        """On a stream of its own, as the recording is made on one."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._forget()
                loss(Examples(self.x, self.y)).backward()
        current.wait_stream(aside)

    def _forget(self) -> None:
        """No gradients: the next pass makes new ones, where it runs."""
        for parameter in self.parameters:
            parameter.grad = None
