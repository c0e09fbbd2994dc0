"""What enters the ReLUs of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from torch import Tensor, nn

See = Callable[[str, Tensor], None]


class ReluInputs:
    """Within it, a call with an input x forwards x and shows the name of each ``nn.ReLU`` and what enters it, in their order.

    The first call passes the whole model, the others stop at the last ReLU: what follows is computed for nothing. A module
    that is used several times is seen as often, under one name. The hooks are there from ``__enter__`` to ``__exit__``.
    """

    def __init__(self, model: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
        self.model, self.forward = model, forward
        self.calls = 0

    def __enter__(self) -> Self:
        self.handles = [
            module.register_forward_pre_hook(lambda _, entering, name=name: self._enters(name, entering[0]))
            for name, module in self.model.named_modules()
            if isinstance(module, nn.ReLU)
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for handle in self.handles:
            handle.remove()

    def __call__(self, x: Tensor, see: See) -> None:
        self.see, self.seen = see, 0
        with suppress(Enough):
            self.forward(x)
        self.calls = self.seen

    def _enters(self, name: str, entering: Tensor) -> None:
        self.see(name, entering)
        self.seen += 1
        if self.seen == self.calls:
            raise Enough


class Enough(Exception):
    """The last ReLU has been seen."""


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Within it the model's weights and buffers are rounded to float32; after it they are the very numbers they were."""
    held = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()]
    try:
        for tensor, data in held:
            tensor.data = data.float()
        yield
    finally:
        for tensor, data in held:
            tensor.data = data
