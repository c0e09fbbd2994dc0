"""Any classification model of torchvision, by its name there, with new weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from grokforget.data.shape import DataShape
from grokforget.data.torchvision_cpu import torchvision
from grokforget.models.images import ConvolutionalModel

COLOURS = 3
"""Channels that torchvision's models take."""


class TorchvisionModel(ConvolutionalModel):
    """torchvision's ``name`` with the keyword arguments ``options``; images of one channel are shown in all three.

    Its activations do not work in place, so that what looks at their inputs and outputs sees them. Raises ValueError for a
    name that torchvision does not know, options or images that the model does not take, and a model whose logits are
    not those of a last linear layer.
    """

    def __init__(self, shape: DataShape, *, name: str, options: Mapping[str, object]) -> None:
        super().__init__(shape)
        channels, *sides = shape.image_shape()
        if channels not in (1, COLOURS):
            raise ValueError(f"torchvision's models take images of {COLOURS} channels, or of one, not of {channels}")
        self.name, self.options, self.n_classes = name, dict(options), shape.n_classes
        self.network = self._new()
        self.output_layer = self._output_layer()
        self._try(channels, sides)
        self.channels_last()

    def reset_parameters(self) -> None:
        """Weights and statistics as of a new model: not all of torchvision's modules can draw theirs anew."""
        self.network.load_state_dict(self._new().state_dict())

    def from_embedding(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x.expand(-1, COLOURS, -1, -1))
        return logits

    def _new(self) -> nn.Module:
        models = torchvision().models
        # Those of whole images alone: others have a prefix and other outputs.
        known = models.list_models(module=models)
        if self.name not in known:
            raise ValueError(f"torchvision has no model {self.name!r}; it has: {', '.join(known)}")
        try:
            network: nn.Module = models.get_model(self.name, weights=None, num_classes=self.n_classes, **self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"torchvision's {self.name} cannot be built with {self.options}: {error}") from error
        if getattr(network, "aux_logits", False):
            raise ValueError(
                f"torchvision's {self.name} gives other outputs in training: add aux_logits: false to options"
            )
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # a flag of activations and dropouts
        return network

    def _output_layer(self) -> str:
        linear = [
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear) and module.out_features == self.n_classes
        ]
        if not linear:
            raise ValueError(f"torchvision's {self.name} has no linear output layer")
        return linear[-1]

    @torch.no_grad()
    def _try(self, channels: int, sides: list[int]) -> None:
        """Raise ValueError where images of this size do not pass."""
        self.eval()
        try:
            found = self.from_embedding(torch.zeros(1, channels, *sides)).shape
        except (RuntimeError, AssertionError, ValueError) as error:
            size = "x".join(map(str, sides))
            raise ValueError(f"images of {size} pixels do not pass torchvision's {self.name}: {error}") from error
        assert found == (1, self.n_classes)
        self.train()
